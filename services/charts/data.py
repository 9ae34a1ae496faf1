"""What a line chart shows, as data, and the units of its axis: UCUM in, something that people read out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Literal

_COUNTED = re.compile(r"\{([^{}]*)\}")
_TIMES = (
    (86_400.0, "d", 2.0),
    (3600.0, "h", 2.0),
    (60.0, "min", 2.0),
    (1.0, "s", 1.0),
    (1e-3, "ms", 1.0),
    (1e-6, "µs", 1.0),
)
"""Factor, symbol, and how many of them there must be: two minutes are better read as 120 s."""
_BYTES = tuple(
    (1024.0**power, f"{prefix}B", 1.0) for power, prefix in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki"), (0, ""))
)


@dataclass(frozen=True)
class Scale:
    """How values are written: divided by ``factor``, followed by ``symbol``."""

    factor: float
    symbol: str

    def text(self, value: float) -> str:
        """A value with its unit."""
        written = number(value / self.factor)
        return written if not self.symbol else f"{written} {self.symbol}"


def scale(unit: str, largest: float) -> Scale:
    """Scale for a UCUM unit, so that the largest value has few digits.

    Args:
        unit: ``s``, ``By``, ``By/s``, ``1`` (a ratio: written as per cent), ``{thing}``, any other, or empty.
        largest: Largest absolute value.
    """
    if unit == "1":
        return Scale(0.01, "%")
    if unit == "s":
        return _fitting(_TIMES, largest)
    if unit in ("By", "By/s"):
        scale_of = _fitting(_BYTES, largest)
        return Scale(scale_of.factor, scale_of.symbol + unit.removeprefix("By"))
    return Scale(1.0, _COUNTED.sub(r"\1", unit))


def number(value: float) -> str:
    """A number for people: thousands set apart, no more digits than tell something."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e9:
        digits = max(0, 3 - math.floor(math.log10(abs(value))) - 1) if abs(value) < 1000 else 0
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def _fitting(steps: tuple[tuple[float, str, float], ...], largest: float) -> Scale:
    fitting = [(factor, symbol) for factor, symbol, least in steps if largest >= factor * least]
    # Nothing fits zero, and what is smaller than the smallest.
    unit = next((factor, symbol) for factor, symbol, _ in steps if factor == 1.0)
    return Scale(*(fitting[0] if fitting else unit if largest == 0 else steps[-1][:2]))


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
