"""What was agreed on to be there, as one text for each thing: flags, settings, elements of lists, jobs and targets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policy.documents import Document, Format, documents
from policy.model import Node, Resource
from policy.rules._edges import CATALOGUE, counted
from policy.rules._servers import all_containers

_FORMATS: Final = (Format.OTHER, Format.THANOS_CLIENT, Format.PROBER, Format.PROMETHEUS)
_FREE: Final = frozenset({"analysis", "egress_targets", "languages", "mail", "mappings", "recipients"})
"""Sections that are up to a stack file, and those of index templates that only say what fields are like."""
_SIZED: Final = re.compile(r"-X(ms|mx|ss)")
_NAMESPACE: Final = re.compile(r"\.[a-z0-9-]+\.svc\b")
_MODULE: Final = "__param_module"


@dataclass(frozen=True)
class Holding:
    """What a file or a container has.

    Attributes:
        who: Name in the section ``kept`` of ``policy/edges.yaml``.
        texts: What it has.
        resource: What holds it.
        node: Where.
    """

    who: str
    texts: frozenset[str]
    resource: Resource
    node: Node


def holdings(resource: Resource) -> Iterator[Holding]:
    """What the containers of a workload, or the files of a ConfigMap, have.

    Raises:
        UnknownValueError: A file is not known yet; known ones come first.
    """
    for container in all_containers(resource):
        who = f"{counted(resource.object_name)}/{container.node['name'].text()}"
        yield Holding(who, frozenset(_started(container.node)), resource, container.node)
    for document in documents(resource, *_FORMATS) if resource.kind == "ConfigMap" else ():
        content = document.node.value
        if (
            isinstance(content, Mapping)
            and document.name.endswith((".yml", ".yaml"))
            and not content.keys() >= CATALOGUE
        ):
            who = f"{counted(resource.object_name)}/{document.name}"
            yield Holding(who, frozenset(_of(document, content)), resource, document.node)


def _started(container: Node) -> Iterator[str]:
    """Flags and variables by their names: their values have rules of their own."""
    for word in (*container["command"].texts(), *container["args"].texts()):
        if word.startswith("-"):
            size = _SIZED.match(word)
            yield f"flag {size[0] if size else word.partition('=')[0]}"
    for variable in container["env"].elements():
        yield f"variable {variable['name'].text()}"


def _of(document: Document, content: Mapping[str, Any]) -> Iterator[str]:
    if document.format is Format.PROMETHEUS:
        yield from _jobs(document.node)
        return
    for text in _settings(content, ""):
        yield _NAMESPACE.sub(".svc", text)


def _jobs(node: Node) -> Iterator[str]:
    """Jobs, how each of the endpoints that have a name is looked at, and what becomes a label."""
    yield from _settings(node["otlp"].value, "otlp")
    for job in node["scrape_configs"].elements():
        name = job["job_name"].text()
        yield f"job {name}"
        for group in job["static_configs"].elements():
            labels = group["labels"]
            if labels[_MODULE].text():
                yield f"job {name}: {labels['instance'].text()} is {labels[_MODULE].text()}"


def _settings(value: Any, path: str) -> Iterator[str]:
    """Settings that are set, by their paths, and elements of lists, by what they say."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            if key not in _FREE:
                yield from _settings(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for element in value:
            yield from _element(element, path)
    elif value is not None:
        yield path


def _element(element: Any, path: str) -> Iterator[str]:
    if not isinstance(element, Mapping):
        yield f"{path}: {element}"
    elif "name" in element:
        yield from _settings(element, f"{path}: {element['name']}")
    else:
        words = (str(part) for part in element.values() if not isinstance(part, Mapping | list))
        yield f"{path}: {' '.join(words)}"
