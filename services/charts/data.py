"""What a line chart shows, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Literal

from services.charts.units import Scale, scale


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        label: Name in the legend.
        points: Seconds since 1970 and value, oldest first; a value that is no finite number is a gap.
        emphasis: Whether it is what the chart is about.
    """

    label: str
    points: Sequence[tuple[float, float]]
    emphasis: bool = False


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A threshold, in the unit of the series.

    Attributes:
        value: Where it is.
        label: What it is called.
        bad: The side of it that is bad.
    """

    value: float
    label: str
    bad: Literal["above", "below", ""] = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened at one moment (seconds since 1970)."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that lasted, from ``start`` to ``end`` (seconds since 1970)."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """What one chart shows.

    Attributes:
        title: Over the chart.
        unit: UCUM unit of the values (``s``, ``1`` for a ratio, ``By``, ``{thing}``); empty when there is none.
        start: Left end, seconds since 1970.
        end: Right end.
        series: The lines.
        limits: Thresholds.
        marks: Events; they are numbered in the order of their time.
        spans: Shaded periods.
        gap_s: Samples further apart than this are not joined; 0 joins all.
        zone: Time zone of the axis.
        empty: Shown where there is no value at all.
        more: Legend of the series that have no line of their own in it; ``{}`` is their number.
    """

    title: str
    unit: str
    start: float
    end: float
    series: Sequence[Series]
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    spans: Sequence[Span] = ()
    gap_s: float = 0.0
    zone: tzinfo = field(default=UTC)
    empty: str = "no data"
    more: str = "{} more"

    @property
    def values(self) -> list[float]:
        """All values that are numbers."""
        return [value for series in self.series for _, value in series.points if math.isfinite(value)]

    @property
    def scale(self) -> Scale:
        """How its values are written."""
        every = [*self.values, *(limit.value for limit in self.limits)]
        return scale(self.unit, max((abs(value) for value in every), default=0.0))
