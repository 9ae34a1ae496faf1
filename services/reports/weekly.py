"""The weekly report: trends, use of resources, the most frequent alerts, error budgets, recommendations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from services.reports import alert_log, recommendations, uptime
from services.reports.alert_topics import AlertLog
from services.reports.cells import achievement, cell, figure, kpi_name, place, promise, table
from services.reports.daily import alerts_counted, promises_kept
from services.reports.metrics import QueryRunner
from services.reports.model import (
    DAY,
    HOUR,
    Block,
    Chart,
    ChartLimit,
    Figure,
    Figures,
    Line,
    Paragraph,
    Point,
    Section,
    Table,
    Tone,
    amount,
    change,
    duration,
    share,
    text_of,
    translate,
)
from services.reports.queries import KPIS, MAIN, PLACES, SLO_LEFT, Achieved, Kpi
from services.reports.uptime import blocks as resource_blocks
from services.reports.uptime import step_for

_STEADY = 0.05
_FINE = 300.0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A figure of this period and of the one before.

    Attributes:
        kpi: The figure.
        now: Its points.
        before: Its points in the period before, at the times of the same hour of this one.
    """

    kpi: Kpi
    now: Sequence[Point]
    before: Sequence[Point]

    @property
    def mean(self) -> float | None:
        """Mean of this period."""
        return fmean(value for _, value in self.now) if self.now else None

    @property
    def earlier(self) -> float | None:
        """Mean of the period before."""
        return fmean(value for _, value in self.before) if self.before else None

    @property
    def tone(self) -> Tone:
        """Better or worse by more than a twentieth and by more than its own noise."""
        now, before = self.mean, self.earlier
        if now is None or before is None or not self.kpi.better:
            return ""
        if abs(now - before) <= max(self.kpi.step, _STEADY * abs(before)):
            return ""
        return "good" if (now > before) == (self.kpi.better == "higher") else "bad"


def compare(runner: QueryRunner) -> list[Compared]:
    """All figures that have values, in this period or in the one before."""
    length = runner.period.seconds
    step = HOUR if runner.seconds >= DAY else _FINE
    comparisons = []
    for kpi in KPIS:
        start = max(runner.period.start - length, runner.history or runner.start)
        # Whole steps, so that both weeks have points at the same times.
        start = runner.period.start - math.floor((runner.period.start - start) / step) * step
        points = runner.line(kpi.name, kpi.mean, start, runner.end, step)
        now = [(at, value) for at, value in points if at > runner.period.start]
        before = [(at + length, value) for at, value in points if at <= runner.period.start]
        if now or before:
            comparisons.append(Compared(kpi=kpi, now=now, before=before))
    return comparisons


def sections(runner: QueryRunner, log: AlertLog) -> tuple[Section, ...]:
    """All sections."""
    comparisons = compare(runner)
    kept = uptime.achieved(runner)
    alerts = alert_log.read(runner, log)
    summary = Figures(
        figures=(
            _counted("trends.better", comparisons, "good"),
            _counted("trends.worse", comparisons, "bad"),
            promises_kept(kept),
            alerts_counted(alerts, runner.period.zone),
        )
    )
    return (
        Section(title=translate("summary.title"), blocks=(summary,)),
        Section(
            title=translate("trends.title"),
            blocks=(*_note(runner), *_tables(comparisons), *_charts(runner, comparisons)),
        ),
        Section(title=translate("resources.title"), blocks=resource_blocks(runner)),
        alert_log.weekly(alerts, runner.period.zone),
        Section(title=translate("budget.title"), blocks=(_budgets(runner, kept), _left(runner))),
        recommendations.section(runner, alerts),
    )


def _counted(label: str, comparisons: Sequence[Compared], tone: Tone) -> Figure:
    count = sum(comparison.tone == tone for comparison in comparisons)
    return Figure(
        label=translate(label),
        value=text_of(str(count)),
        note=translate("trends.of", count=str(len(comparisons))),
        tone=tone if count else "",
    )


def _note(runner: QueryRunner) -> tuple[Block, ...]:
    earlier = runner.period.start - runner.period.seconds
    if runner.history is not None and runner.history <= earlier + HOUR:
        return ()
    return (Paragraph(text=translate("trends.no-before", history=duration(runner.history_s)), tone="warning"),)


def _tables(comparisons: Sequence[Compared]) -> tuple[Table, ...]:
    """A table of the figures of each layer that has some."""
    tables, unknown = [], translate("unknown")
    for where in PLACES:
        those = [comparison for comparison in comparisons if comparison.kpi.layer == where]
        rows = [
            (
                cell(kpi_name(comparison.kpi)),
                figure(amount(comparison.mean, comparison.kpi.unit)) if comparison.now else figure(unknown, "warning"),
                figure(amount(comparison.earlier, comparison.kpi.unit)),
                figure(change(comparison.mean, comparison.earlier), comparison.tone),
                figure(amount(min((value for _, value in comparison.now), default=None), comparison.kpi.unit)),
                figure(amount(max((value for _, value in comparison.now), default=None), comparison.kpi.unit)),
            )
            for comparison in those
        ]
        if rows:
            head = ("head.figure", "head.this-week", "head.week-before", "head.change", "head.least", "head.most")
            tables.append(replace(table("trends.table", head, rows, most=60), title=place(where)))
    return tuple(tables)


def _charts(runner: QueryRunner, comparisons: Sequence[Compared]) -> tuple[Chart, ...]:
    return tuple(
        Chart(
            title=kpi_name(comparison.kpi),
            unit=comparison.kpi.unit,
            start=runner.period.start,
            end=runner.period.end,
            lines=(
                Line(label=translate("line.week"), points=comparison.now, emphasis=True),
                Line(label=translate("line.week-before"), points=comparison.before),
            ),
            gap_s=3 * HOUR,
            zone=runner.period.zone,
        )
        for comparison in comparisons
        if comparison.kpi.name in MAIN
    )


def _budgets(runner: QueryRunner, kept: Sequence[Achieved]) -> Table:
    rows = [
        (
            cell(achieved.objective.description),
            figure(share(achieved.objective.objective)),
            achievement(achieved),
            figure(amount(achieved.burn, ""), promise(achieved.kept)),
            figure(amount(achieved.used(runner.seconds), "1")),
            figure(amount(achieved.left, "1"), promise(None if achieved.left is None else achieved.left > 0)),
        )
        for achieved in kept
    ]
    head = ("head.objective", "head.promised", "head.achieved", "head.burn", "head.budget-used", "head.budget-window")
    return table("budget.table", head, rows, note=translate("budget.note"))


def _left(runner: QueryRunner) -> Chart:
    step = step_for(runner.seconds)
    lines = runner.lines(SLO_LEFT.name, SLO_LEFT.expr, runner.start, runner.end, step)
    return Chart(
        title=translate("budget.chart"),
        unit="1",
        start=runner.period.start,
        end=runner.period.end,
        lines=tuple(
            Line(label=text_of(line.labels.get("slo", "")), points=line.points, emphasis=True) for line in lines
        ),
        limits=(ChartLimit(label=translate("budget.gone"), value=0.0, bad="below"),),
        gap_s=3 * step,
        zone=runner.period.zone,
    )
