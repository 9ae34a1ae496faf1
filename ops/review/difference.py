"""What differs between two plans of a stack: resources, and the values inside them and inside the files they hold;
which pods restart then, how and in which order, and what is replaced.

Some changes a provider cannot make in place: the resource is deleted and made anew.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ops.review.model import ABSENT, WORKLOADS, Path, Planned, StackPlan, at, listed, replicas, short
from policy import documents
from policy.model import UNKNOWN

_NAMES = ("alert", "record", "name", "job_name", "containerPort", "port", "topologyKey", "ip", "key", "id", "title")
"""Keys that name an element of a list, so that it keeps its identity when others come or go."""


class Kind(StrEnum):
    """What happens to a resource."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class Entry:
    """One value that differs.

    Attributes:
        where: Way to the value; for a file inside a resource the file's name, then the way inside it.
        before: Value before, or ``ABSENT``.
        after: Value after, or ``ABSENT``.
        path: Top of the way: the property of the resource.
        secret: Whether the values must not be shown.
    """

    where: str
    before: Any
    after: Any
    path: Path
    secret: bool = False


@dataclass(frozen=True)
class Change:
    """A resource that is added, removed or changed.

    Attributes:
        kind: Which of the three.
        before: The resource before; None when added.
        after: The resource after; None when removed.
        entries: Values that differ; empty unless changed.
    """

    kind: Kind
    before: Planned | None
    after: Planned | None
    entries: tuple[Entry, ...] = ()

    @property
    def planned(self) -> Planned:
        """The resource after, or before when it is removed."""
        planned = self.after or self.before
        assert planned is not None
        return planned

    def touches(self, *path: str) -> bool:
        """Whether a value at or below a property differs."""
        return any(entry.path[: len(path)] == path for entry in self.entries)


def compare(before: StackPlan, after: StackPlan) -> list[Change]:
    """Every resource that differs, in the order of their components and names."""
    changes: list[Change] = []
    for urn in {**before.planned, **after.planned}:
        old, new = before.planned.get(urn), after.planned.get(urn)
        if old is None or new is None:
            changes.append(Change(Kind.ADDED if old is None else Kind.REMOVED, old, new))
        elif entries := tuple(_entries(old, new)):
            changes.append(Change(Kind.CHANGED, old, new, entries))
    return sorted(changes, key=lambda change: (change.planned.component, change.planned.resource.label))


def values(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Every value that differs between two pieces of data."""
    if before is after or (before == after and type(before) is type(after)):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from values(before.get(key, ABSENT), after.get(key, ABSENT), (*path, str(key)))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, path)
    else:
        yield path, before, after


def _lists(before: list[Any], after: list[Any], path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Elements by their name; else what came and what went."""
    named = _named(before), _named(after)
    if named[0] is not None and named[1] is not None and (before or after):
        for name in {**named[0], **named[1]}:
            yield from values(named[0].get(name, ABSENT), named[1].get(name, ABSENT), (*path, f"[{name}]"))
        if list(named[0]) != list(named[1]) and set(named[0]) == set(named[1]):
            yield (*path, "(order)"), list(named[0]), list(named[1])
        return
    texts = [repr(element) for element in before], [repr(element) for element in after]
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        old, new = before[start:end], after[new_start:new_end]
        for index in range(max(len(old), len(new))):
            was = old[index] if index < len(old) else ABSENT
            now = new[index] if index < len(new) else ABSENT
            yield from values(was, now, (*path, (start if was is not ABSENT else new_start) + index))


def _named(elements: list[Any]) -> dict[str, Any] | None:
    """Elements by their name, or None when they have none or share one."""
    elements_by_name = {name: element for element in elements if (name := _name(element)) is not None}
    return elements_by_name if len(elements_by_name) == len(elements) else None


def _name(element: Any) -> str | None:
    """What an element of a list is called."""
    if not isinstance(element, Mapping):
        return None
    metadata = element.get("metadata")
    inner = metadata if isinstance(metadata, Mapping) else {}
    return next(
        (
            str(candidate[key])
            for candidate in (element, inner)
            for key in _NAMES
            if isinstance(candidate.get(key), str | int)
        ),
        None,
    )


def _entries(old: Planned, new: Planned) -> Iterator[Entry]:
    """Differences of one resource, inside its files as well."""
    for path, before, after in values(old.resource.props, new.resource.props):
        secret = old.secret(path) or new.secret(path)
        name = str(path[-1]) if path else ""
        parsed = _parsed(name, before), _parsed(name, after)
        if parsed[0] is None and parsed[1] is None:
            yield Entry(shown(path), before, after, path, secret)
            continue
        for inner, was, now in _inside(before, after, parsed):
            yield Entry(f"{name}: {shown(inner)}" if inner else name, was, now, (*path, *inner), secret)
    if old.protect != new.protect:
        yield Entry("(protected from deletion)", old.protect, new.protect, ("(protect)",))
    if old.ignore_changes != new.ignore_changes:
        was, now = list(old.ignore_changes), list(new.ignore_changes)
        yield Entry("(changes that are ignored)", was, now, ("(ignore)",))


def _inside(before: Any, after: Any, parsed: tuple[Any, Any]) -> Iterator[tuple[Path, Any, Any]]:
    if before is ABSENT or after is ABSENT:
        whole = "(a whole file)"
        yield (), ABSENT if before is ABSENT else whole, ABSENT if after is ABSENT else whole
        return
    if isinstance(parsed[0], str) or isinstance(parsed[1], str):
        yield from _changed_lines(str(before).splitlines(), str(after).splitlines())
        return
    changes = list(values(*parsed))
    yield from changes or [(("(layout or comments)",), ABSENT, "changed")]


def _changed_lines(before: list[str], after: list[str]) -> Iterator[tuple[Path, Any, Any]]:
    """Lines that differ; a path tells the line after the change."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed, added = "\n".join(before[start:end]), "\n".join(after[new_start:new_end])
            yield (f"(line {new_start + 1})",), removed or ABSENT, added or ABSENT


def _parsed(name: str, value: Any) -> Any:
    """Content of a value that is a file: data, or text of several lines; None for any other value."""
    if not isinstance(value, str) or value is UNKNOWN:
        return None
    named = f"{name}.json" if name.lower().endswith("json") and not name.endswith(".json") else name
    kind, content = documents.parse(named, value)
    if kind is documents.Format.OTHER and isinstance(content, str):
        return value if "\n" in value else None
    return content if isinstance(content, Mapping | list) else None


def shown(path: Sequence[str | int]) -> str:
    """A way to a value as people write it: ``spec.template.spec.containers[gateway].image``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.startswith(("[", "(")):
            text += part if part.startswith("[") else f" {part}"
        else:
            quoted = part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text.strip()


_WORKLOAD_SELECTOR = ("spec.selector",)
_FORCE_NEW: Mapping[str, tuple[str, ...]] = {
    "kubernetes:apps/v1:StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "kubernetes:apps/v1:Deployment": _WORKLOAD_SELECTOR,
    "kubernetes:apps/v1:DaemonSet": _WORKLOAD_SELECTOR,
    "kubernetes:batch/v1:Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "kubernetes:core/v1:PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "kubernetes:core/v1:Secret": ("type",),
    "kubernetes:core/v1:Service": ("spec.clusterIP",),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": ("roleRef",),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": ("roleRef",),
    "kubernetes:storage.k8s.io/v1:StorageClass": ("parameters", "provisioner"),
    "kafka:index/topic:Topic": ("name",),
    "kafka:index/acl:Acl": ("",),
    "kafka:index/quota:Quota": ("",),
    "kafka:index/userScramCredential:UserScramCredential": ("username", "scramMechanism"),
    "random:index/randomPassword:RandomPassword": ("",),
    "pulumi:providers:kubernetes": ("context", "cluster", "kubeconfig"),
}
"""Type -> properties, as the Kubernetes provider (its ``diff.go``) and the Kafka and random providers have them."""
_FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kubernetes:core/v1:ConfigMap": ("enableConfigMapMutable", ("data", "binaryData")),
    "kubernetes:core/v1:Secret": ("enableSecretMutable", ("data", "stringData")),
}
"""Type -> option of the provider without which changed files replace the object (ADR 0005)."""


def replaced_by(change: Change, planned: Mapping[str, Planned]) -> list[str]:
    """The properties that make a provider replace the resource; none when it changes in place.

    Args:
        change: A change of a resource.
        planned: Everything after the change: the provider's options are among it.
    """
    if change.kind is not Kind.CHANGED or change.after is None:
        return []
    resource = change.after.resource
    fixed = [
        *_FORCE_NEW.get(resource.type, ()),
        *(("metadata.name", "metadata.namespace") if resource.kubernetes else ()),
    ]
    option, held = _FILES.get(resource.type, ("", ()))
    if option and (not _allows(planned.get(change.after.provider), option) or resource.props.get("immutable") is True):
        fixed += held
    entries = [entry for entry in change.entries if not ignored(change.after, entry)]
    properties = [property_path for entry in entries for property_path in fixed if _below(entry.path, property_path)]
    return list(dict.fromkeys(property_path or "any change" for property_path in properties))


def ignored(planned: Planned, entry: Entry) -> bool:
    """Whether Pulumi leaves the property as it is; ``[*]`` in what it ignores stands for any element."""
    return any(
        len(parts) <= len(entry.path)
        and all(part in ("[*]", str(at)) for part, at in zip(parts, entry.path, strict=False))
        for parts in (ignore.replace("[*]", ".[*]").split(".") for ignore in planned.ignore_changes)
    )


def _below(path: Path, prefix: str) -> bool:
    parts = tuple(prefix.split(".")) if prefix else ()
    return path[: len(parts)] == parts and not (path and str(path[0]).startswith("("))


def _allows(provider: Planned | None, option: str) -> bool:
    return provider is not None and str(provider.resource.props.get(option)).lower() == "true"


_TEMPLATE = ("spec", "template")
_REASONS = (
    ("checksum", "files"),
    ("image", "image"),
    ("resources", "resources"),
    ("command", "command line"),
    ("args", "command line"),
    ("env", "environment"),
    ("Probe", "probes"),
    ("securityContext", "security"),
    ("volume", "volumes"),
    ("labels", "labels"),
)


def restarts(changes: Sequence[Change], planned: Mapping[str, Planned], replaced: frozenset[str]) -> Iterator[str]:
    """One sentence per workload whose pods restart, in the order of the update.

    Args:
        changes: All changes of the stack.
        planned: Everything after the change.
        replaced: URNs of what is replaced as a whole, and is told elsewhere.
    """
    rolled = {
        change.planned.urn: change
        for change in changes
        if change.kind is Kind.CHANGED
        and change.planned.resource.kind in WORKLOADS
        and change.planned.urn not in replaced
        and change.touches(*_TEMPLATE)
    }
    steps = _steps(rolled, planned)
    for urn in sorted(rolled, key=lambda workload: (steps[workload], workload)):
        change = rolled[urn]
        yield f"step {steps[urn]}: {short(change.planned.resource)}: {_way(change.planned)} ({_reasons(change)})"


def _steps(rolled: Mapping[str, Change], planned: Mapping[str, Planned]) -> dict[str, int]:
    """Step of each workload: one later than the last of those that it depends on."""
    steps: dict[str, int] = {}

    def step(urn: str) -> int:
        if urn not in steps:
            earlier = [other for other in _needs(urn, planned) if other in rolled and other != urn]
            steps[urn] = 1 + max((step(other) for other in earlier), default=0)
        return steps[urn]

    for urn in rolled:
        step(urn)
    return steps


def _needs(urn: str, planned: Mapping[str, Planned]) -> set[str]:
    """Everything that a resource depends on, however indirectly."""
    seen: set[str] = set()
    pending = [urn]
    while pending:
        current = planned.get(pending.pop())
        for other in (*current.dependencies, current.provider) if current else ():
            if other and other not in seen:
                seen.add(other)
                pending.append(other)
    return seen - {urn}


def _way(planned: Planned) -> str:
    """How the pods are replaced."""
    resource = planned.resource
    count = replicas(resource)
    if "spec.replicas" in planned.ignore_changes:
        count = None
    pods = "pods" if count is None else "its pod" if count == 1 else f"{count} pods"
    if resource.kind == "StatefulSet":
        return _one_by_one(planned, pods, count)
    strategy = at(resource.props, "spec", "strategy") or {}
    if at(strategy, "type") == "Recreate":
        return f"{pods} {'stops' if count == 1 else 'stop'} before the new one starts: away meanwhile"
    missing = at(strategy, "rollingUpdate", "maxUnavailable")
    if missing in (0, "0", "0%"):
        return "its pod goes after the new one is ready" if count == 1 else f"{pods} go, each after a new one is ready"
    return f"{pods} {'is' if count == 1 else 'are'} replaced, at most {missing or '25%'} of them away at a time"


def _one_by_one(planned: Planned, pods: str, count: int | None) -> str:
    resource = planned.resource
    strategy = at(resource.props, "spec", "updateStrategy") or {}
    if at(strategy, "type") == "OnDelete":
        return f"{pods} {'keeps' if count == 1 else 'keep'} running as before until deleted by hand (OnDelete)"
    if count == 1:
        return "its pod restarts: away meanwhile"
    first = at(strategy, "rollingUpdate", "partition") or 0
    if count is None:
        return "its pods restart one by one, the last one first"
    names = [f"{resource.object_name}-{index}" for index in range(count - 1, int(first) - 1, -1)]
    rest = f"; {first} stay as they are (partition)" if first else ""
    return f"{len(names)} pods restart one by one, each after the one before is ready: {listed(names)}{rest}"


def _reasons(change: Change) -> str:
    """What in the pod template differs, in a few words."""
    reasons = [_reason(entry) for entry in change.entries if entry.path[:2] == _TEMPLATE]
    return listed(dict.fromkeys(reasons))


def _reason(entry: Entry) -> str:
    inner = ".".join(str(part) for part in entry.path[2:])
    return next((words for mark, words in _REASONS if mark in inner), inner.rpartition(".")[2])
