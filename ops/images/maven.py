"""Files from Maven Central, put into a folder. Dockerfiles run it too, so it imports nothing but Python's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

Run = Callable[[list[str], Path, Mapping[str, str]], None]
"""Runs a command in a folder with further variables of the environment; raises where it fails."""
_MAVEN = ("mvn", "-B", "-ntp", "-q")
_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


def maven_libraries(artifacts: Iterable[str], target: Path, run: Run) -> None:
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
        run([*_MAVEN, goal, f"-DoutputDirectory={target}", "-DincludeScope=runtime"], Path(project), {})


def maven_file(artifact: str, target: Path, run: Run) -> None:
    """Put one file (``group:name:version:type``) into the folder ``target``."""
    options = [f"-Dartifact={artifact}", f"-DoutputDirectory={target}"]
    with tempfile.TemporaryDirectory() as empty:
        run([*_MAVEN, f"{_DEPENDENCY_PLUGIN}:copy", *options], Path(empty), {})
