"""Data frames as Grafana writes them into JSON: columns with a schema, and values that JSON has no number for apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_KINDS: Final = {"time": "time.Time", "number": "float64", "string": "string", "other": "json.RawMessage"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: Its name.
        kind: ``time`` (milliseconds since 1970), ``number``, ``string``, or ``other`` (anything that JSON can hold).
        values: Its values.
        labels: Labels of a series.
        config: How it is shown.
    """

    name: str
    kind: str
    values: Sequence[Any]
    labels: Mapping[str, str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def frame(ref: str, columns: Sequence[Column], *, meta: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """One frame.

    Args:
        ref: Which query it answers.
        columns: Its columns, all of the same length.
        meta: What kind of frame it is.
        name: Its name.
    """
    written = [
        _numbers(column.values) if column.kind == "number" else (list(column.values), None) for column in columns
    ]
    data: dict[str, Any] = {"values": [values for values, _ in written]}
    if any(odd for _, odd in written):
        data["entities"] = [odd for _, odd in written]
    schema = {"refId": ref, "meta": dict(meta), "fields": [_field(column) for column in columns]}
    return {"schema": {"name": name, **schema} if name else schema, "data": data}


def _field(column: Column) -> dict[str, Any]:
    frame_field: dict[str, Any] = {
        "name": column.name,
        "type": column.kind,
        "typeInfo": {"frame": _KINDS[column.kind]},
    }
    if column.labels is not None:
        frame_field["labels"] = dict(column.labels)
    if column.config:
        frame_field["config"] = dict(column.config)
    return frame_field


def _numbers(values: Sequence[float | None]) -> tuple[list[float | None], dict[str, list[int]] | None]:
    """Values with those left out that JSON has no number for, and the places of these."""
    odd: dict[str, list[int]] = {"NaN": [], "Inf": [], "NegInf": []}
    plain: list[float | None] = []
    for place, value in enumerate(values):
        if value is None or math.isfinite(value):
            plain.append(value)
            continue
        plain.append(None)
        odd["NaN" if math.isnan(value) else "Inf" if value > 0 else "NegInf"].append(place)
    places_by_name = {name: places for name, places in odd.items() if places}
    return plain, places_by_name or None
