"""OpenSearch's home folder, assembled from Maven Central: ``python3 -m ops.images.search_home server.json FOLDER``.

It is the small distribution, the modules that it lacks, and plugins. The Dockerfile runs this too, so it imports
nothing but Python's own modules and its neighbour.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.images.maven import Run, maven_file, maven_libraries

HOME = "home"
"""Folder of the assembled server inside the folder that `assemble` fills."""
_STEP_LIMIT_S = 40 * 60
_JAR = re.compile(r"(.+?)-\d[^/]*\.jar")
_SAMPLES = (
    "config/opensearch-security",
    "plugins/opensearch-security/tools",
    "plugins/opensearch-security/securityconfig",
)
"""Demonstration users with known passwords, and tools that would install them: never in an image."""


@dataclass(frozen=True, kw_only=True)
class SearchModule:
    """A module of the search server that its small distribution lacks; its jars come from Maven.

    Attributes:
        artifact: ``group:artifact``, of the distribution's version.
        name: Folder under ``modules``.
        main_class: Class that the server loads.
        extends: Modules whose classes it needs.
        policy: Java permissions that it is granted.
    """

    artifact: str
    name: str
    main_class: str
    extends: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SearchServer:
    """A search server: a small distribution, the modules that it lacks, and plugins; all of it from Maven.

    Attributes:
        distribution: ``group:artifact:version`` of a zip.
        modules: Modules to add.
        plugins: ``group:artifact:version`` of plugin zips.
    """

    name: str
    version: str
    distribution: str
    modules: tuple[SearchModule, ...]
    plugins: tuple[str, ...]


def read(file: Path) -> SearchServer:
    """The server as ``images/opensearch/server.json`` describes it."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    version = content["version"]
    return SearchServer(
        name="opensearch",
        version=version,
        distribution=f"{content['distribution']}:{version}",
        modules=tuple(map(_described, content["modules"])),
        plugins=tuple(f"{plugin}:{version}.0" for plugin in content["plugins"]),
    )


def _described(module: Mapping[str, Any]) -> SearchModule:
    lists = {key: tuple(module.get(key, ())) for key in ("extends", "policy")}
    return SearchModule(artifact=module["artifact"], name=module["name"], main_class=module["main_class"], **lists)


def assemble(recipe: SearchServer, work: Path, run: Run) -> None:
    """Fill ``work`` with the server's home folder."""
    home = work / HOME
    downloads = work / "downloads"
    _unpack(recipe.distribution, downloads, run, work / "unpacked")
    inner = [path for path in (work / "unpacked").iterdir() if path.is_dir()]
    if len(inner) != 1:
        raise ValueError(f"{recipe.distribution} holds {len(inner)} folders at its top; one was expected")
    inner[0].rename(home)
    for module in recipe.modules:
        _module(recipe, module, home, downloads / module.name, run)
    for path in (home / "bin").iterdir():
        path.chmod(0o755)
    for plugin in recipe.plugins:
        _plugin(plugin, home, downloads, run)
    for sample in _SAMPLES:
        shutil.rmtree(home / sample, ignore_errors=True)
    for waste in (*(home / "bin").glob("*.bat"), *(home / "bin").glob("*.exe")):
        waste.unlink()
    shutil.rmtree(downloads)
    shutil.rmtree(work / "unpacked")


def _unpack(artifact: str, downloads: Path, run: Run, target: Path) -> None:
    with zipfile.ZipFile(_download(artifact, downloads, run)) as archive:
        archive.extractall(target)


def _download(artifact: str, downloads: Path, run: Run) -> Path:
    maven_file(f"{artifact}:zip", downloads, run)
    _, name, version = artifact.split(":")
    return downloads / f"{name}-{version}.zip"


def _module(recipe: SearchServer, module: SearchModule, home: Path, libraries: Path, run: Run) -> None:
    """Lay a module from its jars; what the server has in ``lib`` already must not be loaded twice."""
    maven_libraries([f"{module.artifact}:{recipe.version}"], libraries, run)
    target = home / "modules" / module.name
    target.mkdir(parents=True)
    present = {match[1] for path in (home / "lib").glob("*.jar") if (match := _JAR.fullmatch(path.name))}
    for jar in sorted(libraries.glob("*.jar")):
        match = _JAR.fullmatch(jar.name)
        if match is None or match[1] not in present:
            shutil.copy(jar, target)
    descriptor = {
        "description": module.name,
        "version": recipe.version,
        "name": module.name,
        "classname": module.main_class,
        "java.version": "11",
        "opensearch.version": recipe.version,
        "custom.foldername": "",
        "extended.plugins": ",".join(module.extends),
        "has.native.controller": "false",
    }
    (target / "plugin-descriptor.properties").write_text(
        "".join(f"{key}={value}\n" for key, value in descriptor.items())
    )
    if module.policy:
        grants = " ".join(f"permission {permission};" for permission in module.policy)
        (target / "plugin-security.policy").write_text(f"grant {{ {grants} }};\n")


def _plugin(artifact: str, home: Path, downloads: Path, run: Run) -> None:
    """Install a plugin with the server's own installer, which checks its version."""
    archive = _download(artifact, downloads, run)
    command = [str(home / "bin" / "opensearch-plugin"), "install", "-b", archive.as_uri()]
    java = Path(shutil.which("java") or "/").resolve().parents[1]
    run(command, home, {"JAVA_HOME": os.environ.get("JAVA_HOME", str(java))})


def _run(command: list[str], cwd: Path, variables: Mapping[str, str]) -> None:
    subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, check=True, timeout=_STEP_LIMIT_S)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        assemble(read(Path(sys.argv[1])), Path(work), _run)
        shutil.move(Path(work) / HOME, sys.argv[2])
