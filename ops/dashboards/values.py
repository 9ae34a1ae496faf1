"""Values for people: with their unit, with the word that a value stands for, and how good that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from components.dashboards.model import Limit, Panel, Tone
from ops.core.metrics import Found
from ops.incidents.report import labels_of
from services.charts.figure import number, scale

NOTHING = "no data"
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_COUNTED = re.compile(r"\{[^{}]*\}")


def shown(value: float | None, unit: str) -> str:
    """A value with its unit; of counted things the number alone, since the panel says what is counted."""
    if value is None:
        return NOTHING
    if unit == "1":
        return f"{number(round(value * 100, 2))} %"
    if unit in ("s", "By", "By/s", "ms"):
        return scale(unit, abs(value)).text(value)
    rest = _COUNTED.sub("", unit)
    return f"{number(value)} {rest}".strip()


def worded(panel: Panel, value: float | None) -> str:
    """A value of a panel, or the word that it stands for."""
    word = next((state.text for state in panel.states if value is not None and round(value) == state.value), "")
    return word or shown(value, panel.unit)


def tone(panel: Panel, value: float | None) -> Tone | str:
    """How good a value is; empty where the panel does not tell."""
    if value is None:
        return ""
    if panel.states:
        return next((state.tone for state in panel.states if round(value) == state.value), "")
    beyond = [limit for limit in panel.limits if _beyond(limit, value)]
    if beyond:
        return "bad" if any(limit.tone == "bad" for limit in beyond) else beyond[0].tone
    return "good" if panel.limits else ""


def _beyond(limit: Limit, value: float) -> bool:
    return value > limit.value if limit.bad == "above" else value <= limit.value


def legends(panel: Panel, legend: str, series: Sequence[Found]) -> list[str]:
    """Names of a query's series."""
    if not legend:
        return labels_of([line.labels for line in series])
    return [_filled(legend, line.labels) for line in series]


def last(series: Found) -> float | None:
    """Newest value that is a number."""
    return next((value for _, value in reversed(series.points) if value is not None), None)


def _filled(legend: str, labels: Mapping[str, str]) -> str:
    text = _TEMPLATE.sub(lambda match: labels.get(match.group(1), ""), legend).strip()
    return text.replace("SPAN_KIND_", "") or "-"
