"""Secrets stay in Secrets: no password, key or token where everybody can read it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from policy.documents import files
from policy.model import UNKNOWN, Finding, Node, Option, Options, Resource, Rule, UnknownValueError
from policy.rules._kubernetes import WORKLOADS, at, containers, name_of, template
from policy.rules._secret_material import in_file, in_text
from policy.rules._values import each_known

_PASSWORD = "RandomPassword"  # noqa: S105
_RESULTS = ("result", "bcryptHash")
_FIX_FILE = "put it into a Secret and name the mounted file"


def _config_maps(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kubernetes:
        binary = ((name, _decoded(node.text())) for name, node in resource.node["binaryData"].items())
        yield from each_known((_shown_by(resource, files(resource)), _shown_by(resource, binary)))


def _shown_by(resource: Resource, contents: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    for name, text in contents:
        for where, what in in_file(name, text):
            yield Finding(resource=resource, where=where, problem=f"the ConfigMap shows {what}", fix=_FIX_FILE)


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except ValueError:
        return ""


def _commands(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in containers(template(resource)["spec"]):
        yield from each_known(_variable(resource, container, node) for node in container["env"].elements())
        yield from each_known(_arguments(resource, container, container[group]) for group in ("command", "args"))


def _variable(resource: Resource, container: Node, variable: Node) -> Iterator[Finding]:
    name, value = variable["name"].text(), variable["value"]
    if what := in_text(name, value.value):
        yield at(resource, value, f"{name} of {name_of(container)} shows {what}", _FIX_FILE)


def _arguments(resource: Resource, container: Node, words: Node) -> Iterator[Finding]:
    previous = ""
    for word in words.elements():
        key, separator, value = word.text().partition("=")
        if not separator:
            key, value = (previous, word.text()) if previous.startswith("-") else ("", word.text())
        following = value if separator or not value.startswith("-") else ""
        if what := in_text(key.lstrip("-"), following) or in_text("", word.text()):
            shown = f"{key} of {name_of(container)}" if key else f"an argument of {name_of(container)}"
            yield at(resource, word, f"{shown} shows {what}", _FIX_FILE)
        previous = "" if separator else word.text()


def _annotations(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    for metadata in (resource.node["metadata"], template(resource)["metadata"]):
        for group in ("annotations", "labels"):
            yield from each_known(_label(resource, group, *annotation) for annotation in metadata[group].items())


def _label(resource: Resource, group: str, key: str, node: Node) -> Iterator[Finding]:
    if what := in_text(key.rsplit("/", 1)[-1], node.value):
        yield at(resource, node, f"{group.rstrip('s')} {key} shows {what}", "remove it, and use a Secret")


def _length(resource: Resource, options: Options) -> Iterator[Finding]:
    node = resource.node["length"]
    if resource.type.startswith("random:") and (node.value or 0) < options["least"]:
        yield at(resource, node, f"the password has {node.value or 0:g} characters", f"make it {options['least']} long")


def _results(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    passwords: dict[str, str] = {}
    unknown = ""
    for resource in resources:
        if resource.kind != _PASSWORD:
            continue
        for key in _RESULTS:
            value = resource.props.get(key)
            if value is UNKNOWN:
                unknown = unknown or f"{resource.label}, {key}"
            elif isinstance(value, str) and value:
                passwords[value] = f"{resource.name} ({key})"
                passwords[base64.b64encode(value.encode()).decode()] = f"{resource.name} ({key}, base64)"
    for resource in resources:
        if resource.kubernetes:
            yield from _shown(resource, passwords)
    if unknown:
        raise UnknownValueError(unknown)


def _shown(resource: Resource, passwords: Mapping[str, str]) -> Iterator[Finding]:
    hidden = (
        ("data", "stringData") if resource.kind == "Secret" and resource.type.startswith("kubernetes:core/") else ()
    )
    for key, part in resource.node.items():
        if key in hidden:
            continue
        for node in part.walk():
            if not isinstance(node.raw, str):
                continue
            for password, name in passwords.items():
                if password in node.raw:
                    yield at(
                        resource, node, f"it shows the password {name}", "put it into a Secret and mount it as a file"
                    )


RULES = (
    Rule(
        id="secret-in-config-map",
        promise="No ConfigMap holds a password, key, token or hash of one.",
        why="Everybody who may look at the namespace reads it, and it is neither encrypted nor audited.",
        sources=("K5", "P2", "O3"),
        kinds=frozenset({"ConfigMap"}),
        resource=_config_maps,
    ),
    Rule(
        id="secret-in-command",
        promise="No variable and no argument of a container is a secret.",
        why="Command lines and variables are shown by the API server, by the node's process list and in crash reports.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_commands,
    ),
    Rule(
        id="secret-in-metadata",
        promise="No annotation and no label is a secret.",
        why="Metadata is shown wherever the object is listed.",
        sources=("K5", "P2"),
        resource=_annotations,
    ),
    Rule(
        id="password-length",
        promise="Every password that the program makes is long.",
        why="A short one can be guessed from its hash.",
        sources=("K5", "P2"),
        options={"least": Option(default=24, schema={"type": "integer"}, meaning="least characters of a password")},
        kinds=frozenset({_PASSWORD}),
        resource=_length,
    ),
    Rule(
        id="password-only-in-secrets",
        promise="A password that the program makes appears in Secrets alone.",
        why="A copy anywhere else is a password for everybody who may read that object.",
        sources=("K5", "P2", "O3"),
        stack=_results,
    ),
)
"""Rules of this concern."""
