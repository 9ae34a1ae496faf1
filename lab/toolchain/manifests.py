"""What images of ours are made of, as their Dockerfiles say it: jars, parts of the collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import yaml

from lab.paths import CHECKOUT
from ops.images.search_home import SearchServer, read

POM = CHECKOUT / "images" / "kafka" / "pom.xml"
_SEARCH = CHECKOUT / "images" / "opensearch" / "server.json"
_BUILDER = CHECKOUT / "collector" / "builder.yaml"
_MAVEN = "{http://maven.apache.org/POM/4.0.0}"
_KINDS = ("receivers", "processors", "exporters", "connectors", "extensions")


def kafka_artifacts(release: str = "") -> tuple[str, ...]:
    """Artifacts of Kafka's image as ``group:name:version``; of a release of Kafka, or of the one that is pinned."""
    project = ElementTree.parse(POM).getroot()  # noqa: S314  (a file of this checkout)
    revision = release or project.findtext(f"{_MAVEN}properties/{_MAVEN}revision", "")
    return tuple(
        ":".join(dependency.findtext(f"{_MAVEN}{part}", "") for part in ("groupId", "artifactId", "version")).replace(
            "${revision}", revision
        )
        for dependency in project.iter(f"{_MAVEN}dependency")
    )


def search_server() -> SearchServer:
    """The search server of OpenSearch's image."""
    return read(_SEARCH)


def collector_modules() -> dict[str, tuple[str, ...]]:
    """Kind of component -> modules of the collector's release."""
    return {kind: tuple(part["gomod"].split()[0] for part in parts if "import" not in part) for kind, parts in _parts()}


def collector_packages() -> dict[str, tuple[str, ...]]:
    """Kind of component -> packages of our own module."""
    own = {
        kind: tuple(part["import"].rpartition("/")[2] for part in parts if "import" in part) for kind, parts in _parts()
    }
    return {kind: packages for kind, packages in own.items() if packages}


def _parts() -> list[tuple[str, list[Mapping[str, str]]]]:
    manifest: Mapping[str, Any] = yaml.safe_load(_BUILDER.read_text(encoding="utf-8"))
    return [(kind, manifest[kind]) for kind in _KINDS]
