"""How long the layers and the platform's parts were up, and how the objectives were kept."""

from __future__ import annotations

from services.reports.cells import cell, figure, place, promise, table
from services.reports.i18n import translate
from services.reports.model import Cell, Section, Table, Tone
from services.reports.objectives import OBJECTIVES, Achieved
from services.reports.periods import DAY
from services.reports.queries import (
    INSTANCES,
    INSTANCES_UP,
    LAYER_FRESH,
    PART_UP,
    SLO_BAD,
    SLO_LEFT,
    SLO_MINUTES,
    SLO_MINUTES_BAD,
    Query,
)
from services.reports.query_runner import QueryRunner
from services.reports.text import amount, duration, share, text_of
from services.reports.uptime import Uptime, uptime

_FINE, _MOST_STEPS = 300.0, 300
_ALL_GOOD, _POOR = 0.9995, 0.99
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
            figure(share(objective.good), promise(objective.kept)),
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
    """Uptime of layers and of parts."""
    return uptimes(runner, LAYER_FRESH, "layer"), uptimes(runner, PART_UP, "job")


def _up(one: Uptime) -> tuple[Cell, ...]:
    return (
        figure(share(one.share), _tone(one.share)),
        figure(duration(one.down_s) if one.down_s >= 1 else text_of("0")),
        figure(duration(one.longest_s) if one.longest_s >= 1 else text_of("0")),
        figure(share(one.known)),
    )


def _tone(value: float | None) -> Tone:
    if value is None:
        return ""
    return "good" if value >= _ALL_GOOD else "warning" if value >= _POOR else "bad"
