"""Every protective setting of a rendered platform, removed or weakened one at a time.

The tables say what protects; the walk finds it wherever it is, so that a new workload, listener or file is attacked
without a line here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policy.documents import Format, parse
from policy.model import Resource
from tests.support import mutation_alerting, mutation_backups, mutation_regions, mutation_storage
from tests.support import mutation_tables as tables

WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob")
_GONE = tables.GONE
_OURS = (mutation_backups, mutation_regions)
"""Programs of ours: which workloads run them, which files are their settings, and how these can be weakened."""
_WHOLE = {Format.ALERTMANAGER: mutation_alerting.alertmanager, Format.RULES: mutation_alerting.rules}
"""Files whose parts weaken each other: what changes them sees the whole file."""


@dataclass(frozen=True)
class Mutation:
    """One weakened platform.

    Attributes:
        name: Resource, path and new value.
        index: Which resource it changes.
        changed: The resource as it would be; None when it is taken away.
    """

    name: str
    index: int
    changed: Resource | None

    def applied(self, resources: Sequence[Resource]) -> list[Resource]:
        """The whole platform with this one change."""
        put = [self.changed] if self.changed else []
        return [*resources[: self.index], *put, *resources[self.index + 1 :]]


def mutations(resources: Sequence[Resource]) -> Iterator[Mutation]:
    """Every mutation of a platform."""
    for index, resource in enumerate(resources):
        for name, changed in _of(resource):
            yield Mutation(f"{resource.label}: {name}", index, changed)
    for index, name, changed in mutation_storage.exchanged(resources):
        yield Mutation(f"{resources[index].label}: {name}", index, changed)


def _of_the_mirror(resource: Resource) -> bool:
    """Whether it is a permission of a region's mirror.

    Without it Kafka refuses the mirror, which is told (MirrorTaskFailed, MirrorStalled); and where no mirror runs,
    nothing in the stack says that it is needed.
    """
    return resource.kind == "Acl" and resource.props.get("aclPrincipal") in ("User:mirror", "User:mirror-maker")


def _of(resource: Resource) -> Iterator[tuple[str, Resource | None]]:
    kept = resource.kind in WORKLOADS and any(module.keeps(resource.props) for module in _OURS)
    if kept or (resource.kind in tables.NEEDED and not _of_the_mirror(resource)):
        yield "taken away", None
    yield from _fields(resource)
    if resource.kind in WORKLOADS:
        yield from _pods(resource)
    if resource.kind in ("ConfigMap", "Secret"):
        yield from _files(resource)
    if resource.kind == "Secret" and resource.type.startswith("kubernetes:core"):
        yield from _published(resource)


def _with(resource: Resource, props: dict[str, Any]) -> Resource:
    return Resource(resource.type, resource.name, props, resource.urn)


def _fields(resource: Resource) -> Iterator[tuple[str, Resource]]:
    for path, values in tables.FIELDS.get(resource.kind, {}).items():
        if "ClaimRetention" in path and not _get(resource.props, ["spec", "volumeClaimTemplates"]):
            continue
        if path == "aclResourceName" and resource.props.get("aclOperation") == "Describe":
            continue  # To see the names of all, and none of their records, is what the lag exporter may too.
        for secrets in _paths(resource.props, _keys(path)):
            for value in values:
                if callable(value) or value != _get(resource.props, secrets):
                    yield _label(secrets, value), _with(resource, _set(resource.props, secrets, value))


def _pods(resource: Resource) -> Iterator[tuple[str, Resource]]:
    base = ["spec", "template"] if resource.kind != "CronJob" else ["spec", "jobTemplate", "spec", "template"]
    for path, values in tables.POD.items():
        if resource.kind == "DaemonSet" and "topologySpread" in path:
            continue
        for property_path in _paths(resource.props, [*base, *_keys(path)]):
            for value in values:
                yield _label(property_path, value), _with(resource, _set(resource.props, property_path, value))
    for group in ("containers", "initContainers"):
        for index, container in enumerate(_get(resource.props, [*base, "spec", group]) or []):
            place = [*base, "spec", group, index]
            table = tables.CONTAINER if group == "containers" else tables.INIT_CONTAINER
            for path, values in table.items():
                for path_in_container in _paths(container, _keys(path)):
                    for value in values:
                        yield (
                            _label([*place, *path_in_container], value),
                            _with(resource, _set(resource.props, [*place, *path_in_container], value)),
                        )
            yield from _arguments(resource, place, container)


def _arguments(resource: Resource, place: list[Any], container: dict[str, Any]) -> Iterator[tuple[str, Resource]]:
    for field in ("command", "args"):
        words = container.get(field) or []
        for position, word in enumerate(words):
            if isinstance(word, str) and any(mark in word.split("=")[0] for mark in tables.FLAGS):
                rest = [*words[:position], *words[position + 1 :]]
                yield (
                    f"{container['name']}: {word.split('=')[0]} removed",
                    _with(resource, _set(resource.props, [*place, field], rest)),
                )


def _files(resource: Resource) -> Iterator[tuple[str, Resource]]:
    for field in ("data", "stringData"):
        for name, text in (resource.props.get(field) or {}).items():
            encoded = resource.kind == "Secret" and field == "data"
            content = base64.b64decode(text).decode(errors="replace") if encoded else text
            kind, parsed = parse(name, content)
            for label, changed in _contents(kind, name, parsed):
                written = base64.b64encode(changed.encode()).decode() if encoded else changed
                yield f"{name}: {label}", _with(resource, _set(resource.props, [field, name], written))


def _contents(kind: Format, name: str, parsed: Any) -> Iterator[tuple[str, str]]:
    if kind in (Format.KAFKA_SERVER, Format.KAFKA_CLIENT):
        for key in parsed:
            for bad in tables.properties(parsed, key):
                changed = {**parsed, key: bad} if bad is not _GONE else {k: v for k, v in parsed.items() if k != key}
                yield _label([key], bad), "\n".join(f"{k}={v}" for k, v in changed.items())
        return
    if kind in _WHOLE and isinstance(parsed, dict):
        for label, changed in _WHOLE[kind](parsed):
            yield label, json.dumps(changed)
    for module in _OURS:
        if kind is Format.OTHER and module.ours(parsed):
            for path, bad in module.settings(parsed, _GONE):
                yield _label(path, bad), json.dumps(_set(parsed, path, bad))
    if kind in (Format.OTHER, Format.RULES, Format.GRAFANA) or not isinstance(parsed, dict | list):
        return
    for path in _all_paths(parsed):
        for bad in tables.document(kind, path, _get(parsed, path)):
            # JSON is YAML too, and much quicker to write and read.
            yield _label(path, bad), json.dumps(_set(parsed, path, bad))


def _published(resource: Resource) -> Iterator[tuple[str, Resource]]:
    """The Secret as a ConfigMap: everybody who may list ConfigMaps reads it."""
    props = {key: value for key, value in resource.props.items() if key not in ("stringData", "data", "type", "kind")}
    texts = dict(resource.props.get("stringData") or {})
    texts |= {k: base64.b64decode(v).decode(errors="replace") for k, v in (resource.props.get("data") or {}).items()}
    yield (
        "a ConfigMap instead of a Secret",
        Resource("kubernetes:core/v1:ConfigMap", resource.name, {**props, "kind": "ConfigMap", "data": texts}),
    )


def _keys(path: str) -> list[str]:
    """Keys of a table's path; ``|`` separates where keys have dots."""
    return path.split("|" if "|" in path else ".")


def _paths(value: Any, path: Sequence[str]) -> Iterator[list[Any]]:
    """Concrete paths of a pattern: ``*`` is every element; a last key may be absent only when it starts with ``+``."""
    if not path:
        yield []
        return
    head, rest = path[0], path[1:]
    if head == "*":
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value or [])))
    elif head.startswith("+"):
        keys = [head[1:]]
    else:
        keys = [head] if isinstance(value, dict) and value.get(head) is not None else []
    for key in keys:
        inner = value[key] if isinstance(value, list) else (value or {}).get(key)
        for inner_path in _paths(inner, rest):
            yield [key, *inner_path]


def _all_paths(value: Any) -> Iterator[list[Any]]:
    keys: Sequence[Any] = (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    )
    for key in keys:
        yield [key]
        for path in _all_paths(value[key]):
            yield [key, *path]


def _get(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key] if isinstance(value, list) else value.get(key) if isinstance(value, dict) else None
    return value


def _set(value: Any, path: Sequence[Any], new: Any) -> Any:
    """A value in which one place is new or gone; what is beside the path is shared with the original."""
    head, rest = path[0], path[1:]
    changed = list(value) if isinstance(value, list) else dict(value or {})
    if rest:
        changed[head] = _set(changed[head] if isinstance(changed, list) else changed.get(head), rest, new)
    elif new is _GONE:
        del changed[head]
    else:
        old = changed[head] if isinstance(changed, list) else changed.get(head)
        changed[head] = new(old) if callable(new) else new
    return changed


def _label(path: Sequence[Any], value: Any) -> str:
    shown = "removed" if value is _GONE else f"= {getattr(value, '__name__', None) or json.dumps(value)}"
    return f"{'.'.join(map(str, path))} {shown}"
