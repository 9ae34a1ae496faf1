"""How long the layers and the platform's parts were up, how the objectives were kept, and what the parts used:
processors, memory, disks, Kafka's topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from components.telemetry.layers import LAYER_NAMES
from services.reports.cells import achievement, cell, figure, place, promise, table
from services.reports.metrics import QueryRunner, Series
from services.reports.model import (
    DAY,
    NOTHING,
    Block,
    Cell,
    Chart,
    ChartLimit,
    Line,
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
from services.reports.queries import (
    CPU,
    DISKS,
    INSTANCES,
    INSTANCES_UP,
    LAYER_FRESH,
    MEMORY,
    OBJECTIVES,
    PART_UP,
    SLO_BAD,
    SLO_LEFT,
    SLO_MINUTES,
    SLO_MINUTES_BAD,
    TOPIC_IN,
    TOPIC_RECORDS,
    TOPIC_SIZE,
    Achieved,
    Query,
)

_WHOLE = 1 - 1e-9


@dataclass(frozen=True, kw_only=True)
class Uptime:
    """How long something was up.

    Attributes:
        share: Share of the observed time; None where nothing was observed.
        down_s: Seconds that it was not.
        longest_s: Longest time on end with something down in each step.
        known: Share of the asked time of which anything is known.
    """

    share: float | None
    down_s: float
    longest_s: float
    known: float


def uptime(points: Sequence[tuple[float, float]], step: float, asked_s: float) -> Uptime:
    """Uptime of a line.

    Args:
        points: End of each step and the share of it that it was up.
        step: Seconds between points.
        asked_s: Length of the time that was asked for; only whole steps of it can be known.
    """
    observed = len(points) * step
    down = [(at, (1 - min(max(value, 0.0), 1.0)) * step) for at, value in points]
    longest = run = 0.0
    last = None
    for at, seconds in down:
        joined = last is not None and at - last <= step * 1.5
        run = (run if joined else 0.0) + seconds if seconds > step * (1 - _WHOLE) else 0.0
        longest, last = max(longest, run), at
    lost = sum(seconds for _, seconds in down)
    return Uptime(
        share=1 - lost / observed if observed else None,
        down_s=lost,
        longest_s=longest,
        known=min(observed / max(asked_s // step * step, step), 1.0),
    )


_FINE, _MOST_STEPS = 300.0, 300
_ALL_GOOD, _POOR = 0.9995, 0.99
OBSERVED = 0.99
"""Who was observed for less of the time is not called good."""
_HEAD = ("head.share-up", "head.down", "head.longest", "head.known")


def step_for(seconds: float) -> float:
    """Step of lines about a time: five minutes, longer where that were many points."""
    steps = (60.0, _FINE, 900.0, 3600.0, 6 * 3600.0, DAY)
    if seconds < DAY / 4:
        return steps[0]
    return next((step for step in steps[1:] if seconds / step <= _MOST_STEPS), steps[-1])


def uptimes(runner: QueryRunner, query: Query, label: str) -> dict[str, Uptime]:
    """Uptime by a label, over what is known of the period."""
    step = step_for(runner.seconds)
    lines = runner.lines(query.name, query.expr, runner.start, runner.end, step)
    return {
        line.labels.get(label, ""): uptime(line.points, step, runner.seconds)
        for line in sorted(lines, key=lambda one: one.labels.get(label, ""))
    }


def layers(uptimes_by_layer: dict[str, Uptime]) -> Table:
    """Uptime of the layers' telemetry."""
    return table(
        "uptime.layers",
        ("head.layer", *_HEAD),
        [(cell(place(name)), *_up(one)) for name, one in uptimes_by_layer.items()],
        note=translate("uptime.layers-note"),
    )


def parts(runner: QueryRunner, uptimes_by_part: dict[str, Uptime]) -> Table:
    """Uptime of the platform's parts, worst first."""
    answered, count = runner.by(INSTANCES_UP, "job"), runner.by(INSTANCES, "job")
    rows = [
        (
            cell(name),
            figure(amount(count.get(name), "{pod}")),
            *_up(one),
            figure(share(answered.get(name)), _tone(answered.get(name))),
        )
        for name, one in sorted(uptimes_by_part.items(), key=lambda item: (item[1].share or 0.0, item[0]))
    ]
    return table(
        "uptime.parts",
        ("head.part", "head.instances", *_HEAD, "head.instances-up"),
        rows,
        note=translate("uptime.parts-note"),
        most=60,
    )


def achieved(runner: QueryRunner) -> list[Achieved]:
    """How each objective was kept over what is known of the period."""
    bad, left = runner.by(SLO_BAD, "slo"), runner.by(SLO_LEFT, "slo")
    broken, minutes = runner.by(SLO_MINUTES_BAD, "slo"), runner.by(SLO_MINUTES, "slo")
    return [
        Achieved(
            objective=objective,
            bad=bad.get(objective.name),
            bad_minutes=broken.get(objective.name),
            minutes=minutes.get(objective.name),
            left=left.get(objective.name),
        )
        for objective in OBJECTIVES
    ]


def promises(objectives: list[Achieved]) -> Table:
    """The objectives of a period."""
    rows = [
        (
            cell(objective.objective.description),
            cell(place(objective.objective.layer)),
            figure(share(objective.objective.objective)),
            achievement(objective),
            figure(amount(objective.left_of_period, "1"), promise(objective.kept)),
            figure(duration(None if objective.bad_minutes is None else objective.bad_minutes * 60)),
            figure(amount(objective.left, "1")),
        )
        for objective in objectives
    ]
    return table(
        "slo.title",
        (
            "head.objective",
            "head.layer",
            "head.promised",
            "head.achieved",
            "head.budget-period",
            "head.violated",
            "head.budget-window",
        ),
        rows,
        note=translate("slo.note"),
    )


def section(
    runner: QueryRunner, of_layers: dict[str, Uptime], of_parts: dict[str, Uptime], kept: list[Achieved]
) -> Section:
    """The section."""
    return Section(title=translate("uptime.title"), blocks=(layers(of_layers), parts(runner, of_parts), promises(kept)))


def all_of(runner: QueryRunner) -> tuple[dict[str, Uptime], dict[str, Uptime]]:
    """Uptime of layers, of every one of them, and of parts."""
    known = uptimes(runner, LAYER_FRESH, "layer")
    nothing = Uptime(share=None, down_s=0.0, longest_s=0.0, known=0.0)
    return {**dict.fromkeys(LAYER_NAMES, nothing), **known}, uptimes(runner, PART_UP, "job")


def _up(one: Uptime) -> tuple[Cell, ...]:
    observed = figure(share(one.known), "warning" if one.known < OBSERVED else "")
    if one.share is None:
        return (figure(translate("unknown"), "warning"), figure(NOTHING), figure(NOTHING), observed)
    return (
        figure(share(one.share), _tone(one.share)),
        figure(duration(one.down_s) if one.down_s >= 1 else text_of("0")),
        figure(duration(one.longest_s) if one.longest_s >= 1 else text_of("0")),
        observed,
    )


def _tone(value: float | None) -> Tone:
    if value is None:
        return ""
    return "good" if value >= _ALL_GOOD else "warning" if value >= _POOR else "bad"


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
        label_chart(runner, "chart.cpu", CPU, cpu, "job", step),
        label_chart(runner, "chart.memory", MEMORY, memory, "job", step),
        _disks(disks),
        label_chart(runner, "chart.disks", DISKS, disks, "volume", step, limit=_DISK_LIMIT),
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


def label_chart(
    runner: QueryRunner,
    title: str,
    query: Query,
    series: Sequence[Series],
    label: str,
    step: float,
    limit: float | None = None,
) -> Chart:
    """The largest of some series, named by a label.

    Args:
        runner: Its period is the chart's.
        title: Key of the title.
        query: What was asked; its unit is the chart's.
        series: The answer.
        label: Label that names a series.
        step: Seconds between points; points that are further apart than three of them are not joined.
        limit: A limit in the query's unit.
    """
    known = [line for line in series if line.points]
    largest = sorted(known, key=lambda one: -_mean(one.points))[:_DRAWN]
    cut = translate("chart.drawn", count=str(_DRAWN), all=str(len(known))) if len(known) > _DRAWN else None
    return Chart(
        title=translate(title),
        unit=query.unit,
        start=runner.period.start,
        end=runner.period.end,
        lines=tuple(Line(label=text_of(line.labels.get(label, "")), points=line.points) for line in largest),
        limits=() if limit is None else (ChartLimit(label=translate("chart.limit"), value=limit),),
        gap_s=3 * step,
        zone=runner.period.zone,
        note=cut,
    )


def _mean(points: Sequence[tuple[float, float]]) -> float:
    return fmean(value for _, value in points)


def _most(points: Sequence[tuple[float, float]]) -> float:
    return max(value for _, value in points)
