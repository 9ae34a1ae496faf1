"""What the platform used: processors and memory of each part, disks, Kafka's topics."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from services.reports.cells import cell, figure, table
from services.reports.i18n import translate
from services.reports.metrics import Series
from services.reports.model import Block, Chart, ChartLimit, Line, Table
from services.reports.periods import DAY
from services.reports.queries import CPU, DISKS, MEMORY, TOPIC_IN, TOPIC_RECORDS, TOPIC_SIZE, Query
from services.reports.query_runner import QueryRunner
from services.reports.section_uptime import step_for
from services.reports.text import amount, change, text_of

_DRAWN = 8
_DISK_LIMIT = 0.75


def blocks(runner: QueryRunner) -> tuple[Block, ...]:
    """Tables and charts."""
    step = step_for(runner.seconds)
    cpu, memory, disks = (
        runner.lines(query.name, query.expr, runner.start, runner.end, step) for query in (CPU, MEMORY, DISKS)
    )
    return (
        _parts(runner, cpu, memory),
        _chart(runner, "chart.cpu", CPU, cpu, "job", step),
        _chart(runner, "chart.memory", MEMORY, memory, "job", step),
        _disks(disks),
        _chart(runner, "chart.disks", DISKS, disks, "volume", step, limit=_DISK_LIMIT),
        _topics(runner),
    )


def _parts(runner: QueryRunner, cpu: Sequence[Series], memory: Sequence[Series]) -> Table:
    earlier = _earlier(runner)
    sizes = {series.labels.get("job", ""): series.points for series in memory if series.points}
    rows = []
    for series in sorted((one for one in cpu if one.points), key=lambda one: -_mean(one.points)):
        name = series.labels.get("job", "")
        now = _mean(series.points)
        size = sizes.get(name, [])
        rows.append(
            (
                cell(name),
                figure(amount(now, "{processor}")),
                figure(amount(_most(series.points), "{processor}")),
                figure(change(now, earlier.get(name))),
                figure(amount(_mean(size) if size else None, "By")),
                figure(amount(_most(size) if size else None, "By")),
            )
        )
    head = ("head.part", "head.cpu", "head.cpu-most", "head.cpu-change", "head.memory", "head.memory-most")
    return table("resources.parts", head, rows, note=translate("resources.note"), most=60)


def _earlier(runner: QueryRunner) -> dict[str, float]:
    """Mean processor time of each part in the period before, as far as that is known."""
    end = runner.period.start
    start = max(end - runner.period.seconds, runner.history if runner.history is not None else end)
    lines = runner.lines(CPU.name, CPU.expr, start, end, step_for(runner.period.seconds))
    return {line.labels.get("job", ""): _mean(line.points) for line in lines if line.points}


def _disks(series: Sequence[Series]) -> Table:
    rows = []
    for disk in sorted((one for one in series if one.points), key=lambda one: -one.points[-1][1]):
        first, last = disk.points[0], disk.points[-1]
        per_day = (last[1] - first[1]) / (last[0] - first[0]) * DAY if last[0] > first[0] else None
        rows.append(
            (
                cell(disk.labels.get("volume", "")),
                figure(amount(last[1], "1"), "bad" if last[1] > _DISK_LIMIT else ""),
                figure(amount(_most(disk.points), "1")),
                figure(amount(per_day, "1")),
            )
        )
    return table("resources.disks", ("head.volume", "head.used", "head.most", "head.per-day"), rows)


def _topics(runner: QueryRunner) -> Table:
    volume, records, size = (runner.by(query, "topic") for query in (TOPIC_IN, TOPIC_RECORDS, TOPIC_SIZE))
    days = max(runner.seconds / DAY, 1e-9)
    rows = [
        (
            cell(name),
            figure(amount(records.get(name), "{record}")),
            figure(amount(value, "By")),
            figure(amount(value / days, "By")),
            figure(amount(size.get(name), "By")),
        )
        for name, value in sorted(volume.items(), key=lambda item: -item[1])
    ]
    return table(
        "resources.topics", ("head.topic", "head.records", "head.volume-in", "head.in-per-day", "head.on-disk"), rows
    )


def _chart(
    runner: QueryRunner,
    title: str,
    query: Query,
    series: Sequence[Series],
    label: str,
    step: float,
    limit: float | None = None,
) -> Chart:
    largest = sorted((line for line in series if line.points), key=lambda one: -_mean(one.points))[:_DRAWN]
    return Chart(
        title=translate(title),
        unit=query.unit,
        start=runner.period.start,
        end=runner.period.end,
        lines=tuple(Line(label=text_of(line.labels.get(label, "")), points=line.points) for line in largest),
        limits=() if limit is None else (ChartLimit(label=translate("chart.limit"), value=limit),),
        gap_s=3 * step,
        zone=runner.period.zone,
    )


def _mean(points: Sequence[tuple[float, float]]) -> float:
    return fmean(value for _, value in points)


def _most(points: Sequence[tuple[float, float]]) -> float:
    return max(value for _, value in points)
