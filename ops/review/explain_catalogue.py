"""What the gate lets in, in plain words: layers, clients, metrics with keys and types, budgets, reserved names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ops.review.model import Statement, Subject, at, came_and_went, code, elements, listed, number
from policy.documents import documents
from policy.model import Resource, UnknownValueError

_PARTS = {"clients", "attributes", "layers", "reserved"}
_SHOWN = 12
"""Names in one sentence; of further ones only the number."""
_HASHED, _SEARCHED = "id", "text"
_UNSEARCHED = frozenset({"code"})
_BUDGETS = {
    "series": "time series",
    "client_series": "time series of one resource",
    "span_names": "different names of spans",
}
_PLACES = {"resource": "resources", "spans": "spans", "logs": "logs"}

_Said = dict[tuple[str, bool], list[str]]
"""What is said about layers, and whether it weakens -> the layers."""


def catalogue(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of the gate's catalogue, wherever its file is."""
    old, new = _file(before), _file(after)
    if new is None:
        if old is not None:
            yield _about("the gate's catalogue is gone", weakens=True)
        return
    if old is None:
        layers = listed(sorted(_group(new, "layers")))
        yield _about(f"the gate lets in what its catalogue lists, of the layers {layers}")
        return
    yield from _clients(_group(old, "clients"), _group(new, "clients"))
    yield from _layers(old, new)
    yield from _types(_group(old, "attributes"), _group(new, "attributes"))
    yield from _reserved(_group(old, "reserved"), _group(new, "reserved"))
    yield from _limits(_group(old, "limits"), _group(new, "limits"))


def _file(resources: Sequence[Resource]) -> Mapping[str, Any] | None:
    for resource in resources:
        try:
            for document in documents(resource):
                content = document.node.raw
                if isinstance(content, Mapping) and set(content) >= _PARTS:
                    return content
        except UnknownValueError:
            continue
    return None


def _group(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, Mapping) else {}


def _clients(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    for user in dict.fromkeys((*old, *new)):
        added, gone = _differing(elements(old.get(user)), elements(new.get(user)))
        if added:
            yield _about(f"user {user} may now send as {_as(added)}", weakens=True)
        if gone:
            yield _about(f"user {user} may no longer send as {_as(gone)}")


def _layers(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    before, after = _group(old, "layers"), _group(new, "layers")
    types = _group(new, "attributes")
    said: _Said = {}
    for name, layer in after.items():
        for text, weakens in _layer(before.get(name) or {}, layer, types):
            said.setdefault((text, weakens), []).append(name)
    for (text, weakens), layers in said.items():
        yield _about(f"{_as(layers, len(after))} {text}", weakens=weakens)
    for name in before:
        if name not in after:
            yield _about(f"layer {name} may no longer send anything")


def _layer(old: Mapping[str, Any], new: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    if bool(old.get("open")) != bool(new.get("open")):
        yield (
            ("is now open: names that the catalogue lacks pass as free text", True)
            if new.get("open")
            else ("is no longer open: what the catalogue lacks is refused", False)
        )
    yield from _changed_names("may now send", "may no longer send", old, new, "signals")
    yield from _changed_names("may now send as service", "may no longer send as service", old, new, "services")
    yield from _metrics(_group(old, "metrics"), _group(new, "metrics"), types)
    for key, place in _PLACES.items():
        added, gone = _differing(elements(old.get(key)), elements(new.get(key)))
        if added:
            yield f"may now have on {place}: {_typed(added, types)}", True
        if gone:
            yield f"may no longer have on {place}: {_named(gone)}", False
    added, gone = _differing(elements(old.get("required")), elements(new.get("required")))
    if added:
        yield f"must now have {_named(added)}", False
    if gone:
        yield f"need no longer have {_named(gone)}", True
    for key, what in _BUDGETS.items():
        was, now = at(old, "budget", key), at(new, "budget", key)
        if was != now and isinstance(now, int):
            more = not isinstance(was, int) or now > was
            instead = f" instead of {number(was)}" if isinstance(was, int) else ""
            yield f"may now create {number(now)} {what}{instead}", more


def _changed_names(
    may: str, may_not: str, old: Mapping[str, Any], new: Mapping[str, Any], key: str
) -> Iterator[tuple[str, bool]]:
    added, gone = _differing(elements(old.get(key)), elements(new.get(key)))
    if added:
        yield f"{may} {_named(added)}", True
    if gone:
        yield f"{may_not} {_named(gone)}", False


def _metrics(old: Mapping[str, Any], new: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    added, gone, changed = came_and_went(old, new)
    for name in added:
        keys = elements(new[name].get("attributes"))
        by = f" by {_typed(keys, types)}" if keys else ""
        yield f"may now send metric {code(name)}, {_instrument(new[name])}{by}", True
    if gone:
        yield f"may no longer send {'metric' if len(gone) == 1 else 'metrics'} {_named(gone)}", False
    for name in changed:
        was, now = _instrument(old[name]), _instrument(new[name])
        if was != now:
            yield f"may send metric {code(name)} as {now} instead of {was}", "any unit" in now
        more, less = _differing(elements(old[name].get("attributes")), elements(new[name].get("attributes")))
        if more:
            yield f"may now send metric {code(name)} also by {_typed(more, types)}", True
        if less:
            yield f"may no longer send metric {code(name)} by {_named(less)}", False


def _types(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    """Changes of types; new keys are told where they may stand."""
    for key in new:
        was, now = old.get(key), new[key]
        if was is None or was == now:
            continue
        kind, before = now.get("type"), was.get("type")
        if kind != before:
            effect = {_HASHED: ": its values are hashed", _SEARCHED: ": its values are masked"}.get(kind, "")
            weakens = before == _HASHED or (before == _SEARCHED and kind in _UNSEARCHED)
            yield _about(f"{code(key)} is now {_type(now)} instead of {_type(was)}{effect}", weakens=weakens)
            continue
        added, gone = _differing(elements(was.get("values")), elements(now.get("values")))
        if added:
            yield _about(f"{code(key)} may now be {_named(added)}", weakens=True)
        if gone:
            yield _about(f"{code(key)} may no longer be {_named(gone)}")
        if not (added or gone):
            yield _about(f"{code(key)} is now {_type(now)} instead of {_type(was)}", weakens=_wider(was, now))


def _reserved(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    for key, what in (("labels", "label"), ("metrics", "metric"), ("services", "service")):
        added, gone = _differing(elements(old.get(key)), elements(new.get(key)))
        if added:
            yield _about(f"reserved for the platform now: {what} {_named(added)}")
        if gone:
            yield _about(f"no longer reserved for the platform: {what} {_named(gone)}", weakens=True)


def _limits(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            was, now = (str(limits.get(key, "the default")) for limits in (old, new))
            yield _about(f"limit {code(key)} is now {now} instead of {was}", weakens=True)


def _type(attribute: Mapping[str, Any]) -> str:
    """``number from 0 to 16``, ``enum (a, b)``, ``text``."""
    kind = str(attribute.get("type"))
    if values := elements(attribute.get("values")):
        return f"{kind} ({listed(map(str, values))})"
    low, high = attribute.get("minimum"), attribute.get("maximum")
    below = "" if low is None else f" from {number(low)}"
    return f"{kind}{below}{'' if high is None else f' to {number(high)}'}"


def _wider(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    lower = bool(new.get("minimum", -math.inf) < old.get("minimum", -math.inf))
    higher = bool(new.get("maximum", math.inf) > old.get("maximum", math.inf))
    return lower or higher


def _instrument(metric: Mapping[str, Any]) -> str:
    unit = metric.get("unit")
    return f"a {metric.get('kind')} in {'any unit' if unit is None else code(unit or 'no unit')}"


def _typed(keys: Sequence[Any], types: Mapping[str, Any]) -> str:
    return _some([f"{code(key)} ({_type(types.get(key) or {'type': 'text'})})" for key in keys])


def _named(names: Sequence[Any]) -> str:
    return _some([code(name) for name in names])


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{listed(words[:_SHOWN])}{more}"


def _as(layers: Sequence[Any], of: int = 0) -> str:
    if len(layers) == of and of > 1:
        return "every layer"
    return f"{'layer' if len(layers) == 1 else 'layers'} {listed(map(str, layers))}"


def _differing(old: Iterable[Any], new: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """What is new and what is gone, in the order of the lists."""
    before, after = list(old), list(new)
    return [item for item in after if item not in before], [item for item in before if item not in after]


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.CATALOGUE, text, weakens)
