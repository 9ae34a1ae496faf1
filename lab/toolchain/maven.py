"""Files from Maven: an artifact alone, or artifacts with everything that they need at run time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from lab.toolchain.steps import run_logged

_MAVEN = ("mvn", "-B", "-ntp", "-q")
_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


def maven_libraries(artifacts: Iterable[str], target: Path, log: Path) -> None:
    """Put the artifacts (``group:name:version``) and their runtime dependencies into ``target``."""
    rows = []
    for artifact in artifacts:
        group, name, version = (escape(part) for part in artifact.split(":"))
        rows.append(
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        )
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "pom.xml").write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            "<groupId>lab</groupId><artifactId>libraries</artifactId><version>1</version><packaging>pom</packaging>"
            f"<dependencies>{''.join(rows)}</dependencies></project>"
        )
        goal = f"{_DEPENDENCY_PLUGIN}:copy-dependencies"
        command = [*_MAVEN, goal, f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        run_logged(command, cwd=Path(project), log=log)


def maven_file(artifact: str, target: Path, log: Path) -> None:
    """Put one file (``group:name:version:type``) into the folder ``target``."""
    options = [f"-Dartifact={artifact}", f"-DoutputDirectory={target}"]
    with tempfile.TemporaryDirectory() as empty:
        run_logged([*_MAVEN, f"{_DEPENDENCY_PLUGIN}:copy", *options], cwd=Path(empty), log=log)
