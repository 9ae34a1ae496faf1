"""Hours in which a figure was unlike the same hours of earlier days."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from services.reports.periods import DAY, HOUR
from services.reports.robust import deviation

THRESHOLD = 3.5
"""Robust standard deviations from which on an hour is told of (Iglewicz and Hoaglin, 1993)."""
DAYS = 7
"""Earlier days that are compared with."""
LEAST_DAYS = 3
"""With fewer of them, nothing is said about an hour."""
_HALF = HOUR / 2


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
