"""Assembles a search server from Maven: the small distribution, the modules that it lacks, and plugins."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.toolchain.maven import maven_file, maven_libraries
from lab.toolchain.recipes import SearchModule, SearchServer
from lab.toolchain.steps import run_logged

HOME = "home"
"""Folder of the assembled server inside the recipe's folder."""
_JAR = re.compile(r"(.+?)-\d[^/]*\.jar")
_SAMPLES = (
    "config/opensearch-security",
    "plugins/opensearch-security/tools",
    "plugins/opensearch-security/securityconfig",
)
"""Demonstration users with known passwords, and tools that would install them: never in an image."""


def assemble(recipe: SearchServer, work: Path, log: Path) -> None:
    """Fill ``work`` with the server's home folder."""
    home = work / HOME
    downloads = work / "downloads"
    _unpack(recipe.distribution, downloads, log, work / "unpacked")
    inner = [path for path in (work / "unpacked").iterdir() if path.is_dir()]
    if len(inner) != 1:
        raise LabError(f"{recipe.distribution} holds {len(inner)} folders at its top; one was expected")
    inner[0].rename(home)
    for module in recipe.modules:
        _module(recipe, module, home, downloads / module.name, log)
    for path in (home / "bin").iterdir():
        path.chmod(0o755)
    for plugin in recipe.plugins:
        _plugin(plugin, home, downloads, log)
    for sample in _SAMPLES:
        shutil.rmtree(home / sample, ignore_errors=True)
    for waste in (*(home / "bin").glob("*.bat"), *(home / "bin").glob("*.exe")):
        waste.unlink()
    shutil.rmtree(downloads)
    shutil.rmtree(work / "unpacked")


def _unpack(artifact: str, downloads: Path, log: Path, target: Path) -> None:
    with zipfile.ZipFile(_download(artifact, downloads, log)) as archive:
        archive.extractall(target)


def _download(artifact: str, downloads: Path, log: Path) -> Path:
    maven_file(f"{artifact}:zip", downloads, log)
    _, name, version = artifact.split(":")
    return downloads / f"{name}-{version}.zip"


def _module(recipe: SearchServer, module: SearchModule, home: Path, libraries: Path, log: Path) -> None:
    """Lay a module from its jars; what the server has in ``lib`` already must not be loaded twice."""
    maven_libraries([f"{module.artifact}:{recipe.version}"], libraries, log)
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


def _plugin(artifact: str, home: Path, downloads: Path, log: Path) -> None:
    """Install a plugin with the server's own installer, which checks its version."""
    archive = _download(artifact, downloads, log)
    command = [str(home / "bin" / "opensearch-plugin"), "install", "-b", archive.as_uri()]
    java = Path(shutil.which("java") or "/").resolve().parents[1]
    run_logged(command, cwd=home, log=log, env={"JAVA_HOME": os.environ.get("JAVA_HOME", str(java))})
