"""What was unlike the days before."""

from __future__ import annotations

from dataclasses import dataclass

from services.reports.anomalies import DAYS, LEAST_DAYS, Judged, judge, off_by
from services.reports.cells import cell, figure, kpi_name, place, table
from services.reports.i18n import translate
from services.reports.kpis import KPIS, Kpi
from services.reports.model import Block, Chart, Line, Paragraph, Section, Tone
from services.reports.periods import DAY, HOUR
from services.reports.query_runner import QueryRunner
from services.reports.text import Text, amount, duration, moment

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
