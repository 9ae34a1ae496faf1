"""Panels of a dashboard's JSON, as the data that the platform's pages are drawn of.

Everything in the JSON is what somebody saved: what is not of the expected form is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.dashboards.model import GRID, Column, Kind, Limit, Panel, Query, State, Tone

Json = Mapping[str, Any]

KINDS: Final[Mapping[str, Kind]] = {
    **{kind.value: kind for kind in Kind},
    "gauge": Kind.STAT,
    "graph": Kind.SERIES,
    "barchart": Kind.BARS,
}
"""Types of panels that are drawn of series."""
TABLES: Final = ("table", "logs", "traces")
"""Types of panels whose frames are shown as they come."""
_UNITS: Final = {
    "none": "",
    "short": "",
    "percentunit": "1",
    "percent": "%",
    "bytes": "By",
    "decbytes": "By",
    "binBps": "By/s",
    "Bps": "By/s",
    "hertz": "Hz",
    "bps": "bit/s",
    "celsius": "Cel",
    "volt": "V",
    "watt": "W",
}
"""Grafana's name of a unit -> UCUM; others are shown as they are."""
_TONES: Final[Mapping[str, Tone]] = {
    "green": "good",
    "blue": "note",
    "purple": "note",
    "yellow": "warning",
    "orange": "warning",
    "red": "bad",
}
_WORST: Final[Sequence[Tone]] = ("good", "note", "warning", "bad")
_SINCE: Final = re.compile(r"[1-9]\d{0,4}[smhd]")
_MOST: Final = 100
"""Rows, thresholds, words or columns that are read of one list, at most."""


def mapping(value: object) -> Json:
    """A JSON object; what is none is an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """The objects of a JSON list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object, most: int = 2000) -> str:
    """A text; what is none is empty."""
    return value[:most] if isinstance(value, str) else ""


def rows_of(model: Json) -> list[tuple[str, list[Json]]]:
    """Panels under the heading of their row, from top to bottom; those of a row that is folded in as well."""
    rows: list[tuple[str, list[Json]]] = [("", [])]
    for panel in sorted(objects(model.get("panels")), key=_place):
        if panel.get("type") == "row":
            rows.append((text(panel.get("title")), sorted(objects(panel.get("panels")), key=_place)))
        else:
            rows[-1][1].append(panel)
    return [(title, panels) for title, panels in rows if panels]


def _place(panel: Json) -> tuple[float, float]:
    place = mapping(panel.get("gridPos"))
    return _number(place.get("y")) or 0.0, _number(place.get("x")) or 0.0


def targets_of(panel: Json) -> list[Json]:
    """Queries of a panel that are not switched off."""
    return [target for target in objects(panel.get("targets")) if target.get("hide") is not True]


def panel_of(panel: Json) -> Panel:
    """A panel, with a query for each of its targets."""
    defaults = mapping(mapping(panel.get("fieldConfig")).get("defaults"))
    kind, names = KINDS.get(text(panel.get("type")), Kind.TABLE), _headings(panel)
    targets, width = targets_of(panel), _number(mapping(panel.get("gridPos")).get("w")) or GRID / 2
    since = text(panel.get("timeFrom"))
    return Panel(
        title=text(panel.get("title")),
        description=text(panel.get("description")),
        kind=kind,
        unit=unit_of(defaults.get("unit")),
        queries=tuple(_query(panel, target, len(targets), names) for target in targets),
        width=int(min(GRID, max(1, width))),
        limits=_limits(mapping(defaults.get("thresholds"))),
        states=_states(objects(defaults.get("mappings"))),
        columns=tuple(
            Column(label=label, heading=heading) for label, heading in names.items() if not label.startswith("Value")
        ),
        since=since if _SINCE.fullmatch(since) else "",
        top=_top(objects(panel.get("transformations"))),
    )


def unit_of(name: object) -> str:
    """UCUM unit of one of Grafana."""
    written = text(name, 40)
    return written.removeprefix("suffix:").strip() if written.startswith("suffix:") else _UNITS.get(written, written)


def overrides_of(panel: Json, column: str) -> dict[str, Any]:
    """What overrides say of a column, by property."""
    properties: dict[str, Any] = {}
    for override in objects(mapping(panel.get("fieldConfig")).get("overrides"))[:_MOST]:
        if _matches(mapping(override.get("matcher")), column):
            properties |= {text(item.get("id")): item.get("value") for item in objects(override.get("properties"))}
    return properties


def _matches(matcher: Json, column: str) -> bool:
    wanted = text(matcher.get("options"), 200)
    if matcher.get("id") == "byName":
        return wanted == column
    if matcher.get("id") != "byRegexp":
        return False
    # A plain pattern only: one that somebody saved could keep a thread busy for ever.
    pattern, _, flags = wanted.removeprefix("/").rpartition("/") if wanted.startswith("/") else (wanted, "", "")
    if not re.fullmatch(r"\^?[\w ]+(?:\?[\w ]+)*\$?", pattern):
        return False
    return re.search(pattern, column, re.IGNORECASE if "i" in flags else 0) is not None


def _query(panel: Json, target: Json, count: int, names: Mapping[str, str]) -> Query:
    legend = text(target.get("legendFormat"), 500)
    value = "Value" if count == 1 else f"Value #{text(target.get('refId'))}"
    heading = names.get(value) or ("" if legend == "__auto" else legend)
    unit = overrides_of(panel, heading).get("unit") if panel.get("type") == "table" else None
    return Query(expr=text(target.get("expr"), 100_000), legend=heading, unit=unit_of(unit))


def _headings(panel: Json) -> dict[str, str]:
    """Column of a table -> its heading, in the order that the table gives them."""
    for transformation in objects(panel.get("transformations")):
        options = mapping(transformation.get("options"))
        order = mapping(options.get("indexByName"))
        if transformation.get("id") == "organize" and order:
            names = sorted((name for name in order if name != "Time"), key=lambda name: _number(order[name]) or 0.0)
            renamed = mapping(options.get("renameByName"))
            return {name: text(renamed.get(name), 200) or name for name in names[:_MOST]}
    return {}


def _top(transformations: Sequence[Json]) -> int:
    limits = [mapping(item.get("options")).get("limitField") for item in transformations if item.get("id") == "limit"]
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), 0)


def _limits(thresholds: Json) -> tuple[Limit, ...]:
    """Thresholds where a colour changes to a worse one (too high), or from a worse one (too low)."""
    if thresholds.get("mode") == "percentage":
        return ()
    limits: list[Limit] = []
    before: Tone | None = None
    for step in objects(thresholds.get("steps"))[:_MOST]:
        tone, value = _tone(step.get("color")), _number(step.get("value"))
        if value is not None and tone and before and tone != before:
            worse = _WORST.index(tone) > _WORST.index(before)
            limits.append(
                Limit(value=value, label="limit", bad="above" if worse else "below", tone=tone if worse else before)
            )
        before = tone or before
    return tuple(limits)


def _states(mappings: Sequence[Json]) -> tuple[State, ...]:
    words = [mapping(item.get("options")) for item in mappings if item.get("type") == "value"]
    pairs = [(value, mapping(word)) for options in words for value, word in options.items()][:_MOST]
    return tuple(
        State(value=int(value), text=text(word.get("text"), 200), tone=_tone(word.get("color")) or "note")
        for value, word in pairs
        if re.fullmatch(r"-?\d{1,9}", value)
    )


def _tone(colour: object) -> Tone | None:
    return _TONES.get(text(colour, 40).rpartition("-")[2])


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else None
