"""Statistics that one wild value does not spoil: median and spread, deviation, trend, forecast with its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median

Point = tuple[float, float]

_NORMAL = 1.4826
"""Makes the median absolute deviation comparable to a standard deviation."""
_LEAST_SPREAD = 0.02
"""Of the median: what a value that hardly ever moves may still move without being news."""
_MOST_POINTS = 400
_HELD_OUT = 0.2
_LEAST_POINTS = 10
INTERVAL = 0.9
"""Of the values to come, this share is to lie within a forecast's interval."""


def spread(values: Sequence[float]) -> float:
    """Robust standard deviation: the scaled median absolute deviation."""
    middle = median(values)
    return _NORMAL * median(abs(value - middle) for value in values)


def deviation(value: float, earlier: Sequence[float]) -> float:
    """How many robust standard deviations a value is from earlier ones (negative: below).

    Raises:
        statistics.StatisticsError: There is no earlier value.
    """
    middle = median(earlier)
    scale = max(spread(earlier), _LEAST_SPREAD * abs(middle))
    if scale == 0:
        return 0.0 if value == middle else math.copysign(math.inf, value - middle)
    return (value - middle) / scale


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """At most ``most`` points: means of neighbours."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    groups = [points[index : index + size] for index in range(0, len(points), size)]
    return [
        (sum(at for at, _ in group) / len(group), sum(value for _, value in group) / len(group)) for group in groups
    ]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A straight line through points (Theil-Sen: the median of the slopes of all pairs).

    Attributes:
        origin: Time that ``level`` is about.
        level: Value at that time.
        slope: Growth per second.
        slopes: Lower and upper end of the slope's confidence interval (Sen 1968).
        residuals: Lower and upper end of the points' distance from the line.
    """

    origin: float
    level: float
    slope: float
    slopes: tuple[float, float]
    residuals: tuple[float, float]

    def at(self, time: float) -> float:
        """Value of the line."""
        return self.level + self.slope * (time - self.origin)

    def interval(self, time: float) -> tuple[float, float]:
        """Between which a value at that time is expected to be."""
        ends = sorted(slope * (time - self.origin) for slope in self.slopes)
        return self.level + ends[0] + self.residuals[0], self.level + ends[1] + self.residuals[1]

    def reaches(self, limit: float, slope: float | None = None) -> float | None:
        """When the line reaches a limit above it: None where it never does, ``origin`` where it has."""
        speed = self.slope if slope is None else slope
        if self.level >= limit:
            return self.origin
        return self.origin + (limit - self.level) / speed if speed > 0 else None


def trend(points: Sequence[Point]) -> Trend:
    """The trend of points, its level taken at the last of them.

    Raises:
        ValueError: There are fewer than two different times.
    """
    used = thinned(points)
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(used, 2) if b[0] != a[0])
    if not slopes:
        raise ValueError("a trend needs points at two different times")
    slope, origin = median(slopes), used[-1][0]
    level = median(value - slope * (at - origin) for at, value in used)
    distances = sorted(value - (level + slope * (at - origin)) for at, value in used)
    return Trend(
        origin=origin,
        level=level,
        slope=slope,
        slopes=_slopes(slopes, len(used)),
        residuals=(_quantile(distances, (1 - INTERVAL) / 2), _quantile(distances, (1 + INTERVAL) / 2)),
    )


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """How well the same method would have forecast the last fifth of what is known.

    Attributes:
        error: Mean absolute error, as a share of the mean of the values that were held out; None where that is 0.
        inside: Share of them that lay within the interval.
        horizon_s: How far the forecast reached.
    """

    error: float | None
    inside: float
    horizon_s: float


def backtest(points: Sequence[Point]) -> Backtest | None:
    """Forecast the last fifth of points from those before; None where there are too few."""
    used = thinned(points)
    held = math.ceil(len(used) * _HELD_OUT)
    if len(used) < _LEAST_POINTS:
        return None
    known, hidden = used[:-held], used[-held:]
    fitted = trend(known)
    size = sum(abs(value) for _, value in hidden)
    missed = sum(abs(value - fitted.at(at)) for at, value in hidden)
    # A billionth of the size: rounding of a line that fits exactly.
    room = 1e-9 * size / len(hidden)
    inside = sum(
        low - room <= value <= high + room
        for value, (low, high) in ((value, fitted.interval(at)) for at, value in hidden)
    )
    return Backtest(
        error=missed / size if size else None, inside=inside / len(hidden), horizon_s=hidden[-1][0] - known[-1][0]
    )


def _slopes(slopes: Sequence[float], count: int) -> tuple[float, float]:
    """Confidence interval of the median slope by the normal approximation of Kendall's statistic."""
    reach = NormalDist().inv_cdf((1 + INTERVAL) / 2) * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    lower, upper = (len(slopes) - reach) / 2, (len(slopes) + reach) / 2
    return slopes[max(0, math.floor(lower) - 1)], slopes[min(len(slopes) - 1, math.ceil(upper))]


def _quantile(ordered: Sequence[float], part: float) -> float:
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
