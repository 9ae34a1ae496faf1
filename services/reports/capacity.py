"""Forecasts with their error: a robust trend, where it will be in 30 and 90 days, and when it reaches its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.reports.model import Point
from services.reports.periods import DAY
from services.reports.queries import Capacity
from services.reports.robust import Backtest, Trend, backtest, trend

HORIZONS_DAYS = (30, 90)
FURTHEST = 10
"""A forecast reaches at most this many times as far as the history that it is made from."""
LEAST_POINTS = 10
_YEARS = 5 * 365 * DAY


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Where something goes.

    Attributes:
        capacity: What it is about.
        points: What is known.
        trend: Its trend; None where there is too little.
        test: How well the same would have forecast the last fifth; None where there is too little.
        now: Seconds since 1970 of the last point.
    """

    capacity: Capacity
    points: Sequence[Point]
    trend: Trend | None
    test: Backtest | None

    @property
    def now(self) -> float | None:
        """Latest value."""
        return self.points[-1][1] if self.points else None

    @property
    def history_s(self) -> float:
        """Time from the first point to the last."""
        return self.points[-1][0] - self.points[0][0] if self.points else 0.0

    @property
    def per_day(self) -> float | None:
        """Growth per day."""
        return None if self.trend is None else self.trend.slope * DAY

    def reaches_days(self, days: int) -> bool:
        """Whether the history is long enough to look that far ahead."""
        return self.trend is not None and days * DAY <= FURTHEST * self.history_s

    def ahead(self, days: int) -> tuple[float, float, float] | None:
        """Forecast with the ends of its interval, none below nothing; None where history is too short."""
        if self.trend is None or not self.reaches_days(days):
            return None
        time = self.trend.origin + days * DAY
        low, high = self.trend.interval(time)
        return tuple(max(value, 0.0) for value in (self.trend.at(time), low, high))  # type: ignore[return-value]

    @property
    def full(self) -> float | None:
        """When the limit is reached, seconds since 1970; None where that is not within reach of a forecast."""
        return self._full(None)

    @property
    def full_earliest(self) -> float | None:
        """When it is reached at the upper end of the slope's interval."""
        return None if self.trend is None else self._full(self.trend.slopes[1])

    def _full(self, slope: float | None) -> float | None:
        if self.trend is None or self.capacity.limit is None:
            return None
        reaches = self.trend.reaches(self.capacity.limit, slope)
        if reaches is None or reaches - self.trend.origin > min(FURTHEST * self.history_s, _YEARS):
            return None
        return reaches


def forecast(capacity: Capacity, points: Sequence[Point]) -> Forecast:
    """The forecast from what is known."""
    enough = len(points) >= LEAST_POINTS
    return Forecast(
        capacity=capacity,
        points=points,
        trend=trend(points) if enough else None,
        test=backtest(points) if enough else None,
    )
