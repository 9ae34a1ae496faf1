"""Hours in which a figure was unlike the same hours of earlier days, and their section.

The statistics are such that one wild value does not spoil them: median and spread, deviation, trend, forecast with its
error.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median

from services.reports.cells import cell, figure, kpi_name, place, table
from services.reports.metrics import QueryRunner
from services.reports.model import (
    DAY,
    HOUR,
    Block,
    Chart,
    Line,
    Paragraph,
    Section,
    Text,
    Tone,
    amount,
    duration,
    moment,
    translate,
)
from services.reports.queries import KPIS, Kpi

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
THRESHOLD = 3.5
"""Robust standard deviations from which on an hour is told of (Iglewicz and Hoaglin, 1993)."""
DAYS = 7
"""Earlier days that are compared with."""
LEAST_DAYS = 3
"""With fewer of them, nothing is said about an hour."""
_HALF = HOUR / 2


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


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """Some hours on end, all off to the same side.

    Attributes:
        start: Begin of the first hour, seconds since 1970.
        end: End of the last one.
        value: Value of the hour that is furthest off.
        usual: What that hour is like on earlier days.
        deviation: How many robust standard deviations it is off; negative: below.
    """

    start: float
    end: float
    value: float
    usual: float
    deviation: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is said about a figure.

    Attributes:
        anomalies: Where it was off, oldest first.
        usual: Middle of the earlier days, by the end of each hour.
        judged: Hours that could be judged.
        hours: Hours that have a value.
    """

    anomalies: tuple[Anomaly, ...]
    usual: tuple[tuple[float, float], ...]
    judged: int
    hours: int


def judge(points: Sequence[tuple[float, float]], start: float, least: float = 0.0) -> Judged:
    """Judge the hours of a day.

    Args:
        points: End of each hour and its mean, of the day and of the earlier days.
        start: Begin of the day, seconds since 1970.
        least: A value that is less than this off is never told of.
    """
    earlier: dict[int, list[float]] = defaultdict(list)
    today: list[tuple[float, float]] = []
    for at, value in points:
        if at > start + _HALF:
            today.append((at, value))
        elif at > start - DAYS * DAY + _HALF:
            earlier[_hour(at, start)].append(value)
    usual, off, judged = [], [], 0
    for at, value in today:
        values = earlier[_hour(at, start)]
        if len(values) < LEAST_DAYS:
            continue
        judged += 1
        middle = median(values)
        usual.append((at, middle))
        far = deviation(value, values)
        if abs(far) >= THRESHOLD and abs(value - middle) >= least:
            off.append(Anomaly(start=at - HOUR, end=at, value=value, usual=middle, deviation=far))
    return Judged(anomalies=tuple(_merged(off)), usual=tuple(usual), judged=judged, hours=len(today))


def _hour(at: float, start: float) -> int:
    """Which hour of a day; 1 ends an hour after midnight."""
    return (round((at - start) / HOUR) - 1) % 24


def _merged(off: Sequence[Anomaly]) -> list[Anomaly]:
    anomalies: list[Anomaly] = []
    for anomaly in off:
        last = anomalies[-1] if anomalies else None
        if last and anomaly.start - last.end < _HALF and (anomaly.deviation > 0) == (last.deviation > 0):
            worst = max(last, anomaly, key=lambda one: (abs(one.deviation), abs(one.value - one.usual)))
            anomalies[-1] = Anomaly(
                start=last.start, end=anomaly.end, value=worst.value, usual=worst.usual, deviation=worst.deviation
            )
        else:
            anomalies.append(anomaly)
    return anomalies


def off_by(anomaly: Anomaly) -> str:
    """The deviation as people read it."""
    if math.isinf(anomaly.deviation):
        return "> 99" if anomaly.deviation > 0 else "< -99"
    return f"{max(min(anomaly.deviation, 99), -99):+.1f}"


_DRAWN = 4


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A figure with its hours and what is said about them."""

    kpi: Kpi
    points: list[tuple[float, float]]
    judged: Judged


def watch(runner: QueryRunner) -> list[Watched]:
    """All figures that have values on the day, judged."""
    watched_kpis = []
    for kpi in KPIS:
        begin = runner.period.start - DAYS * DAY
        # Whole hours only: half an hour is not like an hour.
        end = runner.period.start + (runner.end - runner.period.start) // HOUR * HOUR
        points = runner.line(kpi.name, kpi.mean, begin, end, HOUR)
        judged = judge(points, runner.period.start, kpi.step)
        if judged.hours:
            watched_kpis.append(Watched(kpi=kpi, points=points, judged=judged))
    return watched_kpis


def section(runner: QueryRunner, watched_kpis: list[Watched]) -> Section:
    """The section: what was off, or that nothing was, or that nobody can say."""
    hours, judged = (
        sum(watched.judged.hours for watched in watched_kpis),
        sum(watched.judged.judged for watched in watched_kpis),
    )
    zone = runner.period.zone
    off = [(watched, one) for watched in watched_kpis for one in watched.judged.anomalies]
    off.sort(key=lambda item: -abs(item[1].deviation))
    rows = [
        (
            cell(kpi_name(watched.kpi)),
            cell(place(watched.kpi.layer)),
            cell(
                Text(
                    en=f"{moment(one.start, zone, '%H:%M').en}-{moment(one.end, zone, '%H:%M').en}",
                    ja=f"{moment(one.start, zone, '%H:%M').ja}～{moment(one.end, zone, '%H:%M').ja}",
                )
            ),
            figure(amount(one.value, watched.kpi.unit), _tone(watched.kpi, one.deviation)),
            figure(amount(one.usual, watched.kpi.unit)),
            figure(off_by(one)),
        )
        for watched, one in off
    ]
    blocks: list[Block] = [Paragraph(text=_summary(runner, len(watched_kpis), hours, judged, len(rows)))]
    if rows:
        head = ("head.figure", "head.layer", "head.time", "head.value", "head.usual", "head.deviation")
        blocks.append(table("anomalies.table", head, rows, note=translate("anomalies.note", days=str(DAYS))))
        every = list(dict.fromkeys(watched.kpi.name for watched, _ in off))
        names = every[:_DRAWN]
        if len(every) > _DRAWN:
            blocks.append(Paragraph(text=translate("anomalies.drawn", count=str(_DRAWN), all=str(len(every)))))
        blocks += [_chart(runner, watched) for watched in watched_kpis if watched.kpi.name in names]
    return Section(title=translate("anomalies.title"), blocks=tuple(blocks))


def _summary(runner: QueryRunner, figures: int, hours: int, judged: int, off: int) -> Text:
    values = {"figures": str(figures), "judged": str(judged), "hours": str(hours), "off": str(off)}
    if not hours:
        return translate("anomalies.no-values")
    if not judged:
        return translate("anomalies.too-little", days=str(LEAST_DAYS), history=duration(runner.history_s))
    return translate("anomalies.some", **values) if off else translate("anomalies.calm", **values)


def _chart(runner: QueryRunner, watched: Watched) -> Chart:
    start = runner.period.start
    today = [(at - HOUR / 2, value) for at, value in watched.points if at > start]
    usual = [(at - HOUR / 2, value) for at, value in watched.judged.usual]
    return Chart(
        title=kpi_name(watched.kpi),
        unit=watched.kpi.unit,
        start=start,
        end=runner.period.end,
        lines=(
            Line(label=translate("line.day"), points=today, emphasis=True),
            Line(label=translate("line.usual"), points=usual),
        ),
        gap_s=1.5 * HOUR,
        zone=runner.period.zone,
    )


def _tone(kpi: Kpi, deviation: float) -> Tone:
    if not kpi.better:
        return "warning"
    return "good" if (deviation > 0) == (kpi.better == "higher") else "bad"
