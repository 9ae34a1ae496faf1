"""Hours in which a figure was unlike the same hours of earlier days, and their section."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from services.reports.cells import cell, figure, kpi_name, place, table
from services.reports.i18n import translate
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
)
from services.reports.queries import KPIS, Kpi
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
        names = list(dict.fromkeys(watched.kpi.name for watched, _ in off))[:_DRAWN]
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
