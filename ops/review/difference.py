"""What differs between two plans of a stack: resources, and the values inside them and inside the files they hold."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ops.review.model import ABSENT, Path, Planned, StackPlan
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
