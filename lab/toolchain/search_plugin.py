"""A search server with a small plugin of this checkout, compiled against the server's own jars."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from lab import LabError
from lab.toolchain.recipes import ExtendedServer
from ops.images.maven import Run
from ops.images.search_home import HOME, assemble

_JAVA = "17"
"""Oldest Java that the server runs on, which may be newer than the compiler's."""


def extended_server(recipe: ExtendedServer, sources: Path, work: Path, run: Run) -> None:
    """Fill ``work`` with the server's home folder, its plugin installed by the server's own installer.

    Args:
        recipe: The server.
        sources: Folder of the folder `ExtendedServer.source`.
        work: Empty folder.
        run: Runs a command.

    Raises:
        LabError: The Java compiler is not there.
    """
    assemble(recipe, work, run)
    archive = work / "plugin.zip"
    _pack(recipe, sources / recipe.source, work, archive, run)
    installer = work / HOME / "bin" / f"{recipe.name}-plugin"
    run([str(installer), "install", "-b", archive.as_uri()], work, {"ES_JAVA_HOME": str(_java_home())})
    archive.unlink()


def _pack(recipe: ExtendedServer, source: Path, work: Path, archive: Path, run: Run) -> None:
    """Compile the plugin and lay it into the archive that the installer takes."""
    classes, jar = work / "classes", work / "plugin.jar"
    java = sorted(str(file) for file in source.glob("*.java"))
    compiler = [str(_java_home() / "bin" / "javac"), "--release", _JAVA, "-proc:none", "-Xlint:all", "-Werror"]
    run([*compiler, "-cp", f"{work / HOME}/lib/*", "-d", str(classes), *java], work, {})
    with zipfile.ZipFile(jar, "w") as packed:
        for file in sorted(classes.rglob("*.class")):
            packed.write(file, file.relative_to(classes).as_posix())
    descriptor = {
        "name": recipe.source,
        "description": recipe.source,
        "version": recipe.version,
        "elasticsearch.version": recipe.version,
        "java.version": _JAVA,
        "classname": recipe.main_class,
    }
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(jar, f"{recipe.source}.jar")
        lines = "".join(f"{key}={value}\n" for key, value in descriptor.items())
        packed.writestr("plugin-descriptor.properties", lines)
    shutil.rmtree(classes)
    jar.unlink()


def _java_home() -> Path:
    compiler = shutil.which("javac")
    if compiler is None:
        raise LabError("javac is not there: install a JDK of Java 17 or newer, not its runtime alone")
    return Path(compiler).resolve().parents[1]
