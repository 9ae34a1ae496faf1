"""The daily report: uptime, counts, anomalies, alerts with the Low ones, freshness."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from components.telemetry.layers import LAYER_NAMES
from services.reports import alert_log, anomalies, uptime
from services.reports.alert_log import Alerts, tally
from services.reports.alert_topics import AlertLog
from services.reports.cells import cell, figure, kpi_name, place, table
from services.reports.metrics import QueryRunner
from services.reports.model import (
    NOTHING,
    Block,
    Chart,
    ChartLimit,
    Figure,
    Figures,
    Line,
    Section,
    Table,
    Text,
    Tone,
    amount,
    change,
    duration,
    joined,
    moment,
    share,
    text_of,
    translate,
)
from services.reports.queries import (
    AGE_MOST,
    AGE_NOW,
    ALERTS,
    COUNTS,
    FRESH_S,
    ITEMS,
    LAG_MOST,
    LAG_NOW,
    SILENT_S,
    Achieved,
    Kpi,
    kpi,
)
from services.reports.uptime import OBSERVED, Uptime, step_for

_CHARTS = (
    ("chart.work", ("devices", "streams", "recordings")),
    ("chart.api", ("api-p95",)),
    ("chart.telemetry", ("points", "spans", "log-records")),
)
_LIMITS = {"api-p95": ("chart.limit-api", 3.0)}
_SIGNALS = ("metrics", "traces", "logs")
_SHOWN = ("most-devices", "most-streams", "work-events", "api-calls")


def sections(runner: QueryRunner, log: AlertLog) -> tuple[Section, ...]:
    """All sections."""
    layers, parts = uptime.all_of(runner)
    kept = uptime.achieved(runner)
    alerts = alert_log.read(runner, log)
    counted = {count.name: runner.number(count) for count in COUNTS}
    return (
        Section(
            title=translate("summary.title"),
            blocks=(_summary(counted, layers, kept, alerts, runner.period.zone), *_charts(runner)),
        ),
        uptime.section(runner, layers, parts, kept),
        Section(title=translate("counts.title"), blocks=_counts(runner, counted)),
        anomalies.section(runner, anomalies.watch(runner)),
        alert_log.daily(alerts, runner.period.zone),
        Section(title=translate("freshness.title"), blocks=_freshness(runner)),
    )


def _summary(
    counted: dict[str, float | None],
    layers: dict[str, Uptime],
    kept: list[Achieved],
    alerts: Alerts | None,
    zone: ZoneInfo,
) -> Figures:
    units = {count.name: count.unit for count in COUNTS}
    figures = [Figure(label=translate(f"count.{name}"), value=amount(counted[name], units[name])) for name in _SHOWN]
    return Figures(figures=(*figures, lowest_uptime(layers), promises_kept(kept), alerts_counted(alerts, zone)))


def lowest_uptime(layers: dict[str, Uptime]) -> Figure:
    """The layer that was up for the shortest time; never good while one was not observed all the time."""
    shares = [(one.share, name) for name, one in layers.items() if one.share is not None]
    unsure = [
        Text(en=f"{place(n).en} {share(one.known).en}", ja=f"{place(n).ja} {share(one.known).ja}")
        for n, one in layers.items()
        if one.known < OBSERVED
    ]
    lowest, name = min(shares, default=(None, ""))
    notes = [place(name)] if name else []
    if unsure:
        notes.append(translate("summary.unobserved", layers=joined(unsure)))
    if lowest is not None and lowest < 0.999:
        tone: Tone = "bad"
    else:
        tone = "warning" if unsure else "good"
    return Figure(
        label=translate("summary.lowest"),
        value=translate("unknown") if lowest is None else share(lowest),
        note=joined(notes, en="; ", ja="。"),
        tone=tone,
    )


def promises_kept(kept: Sequence[Achieved]) -> Figure:
    """How many objectives were kept, of all; one without data is neither kept nor broken."""
    known = [achieved for achieved in kept if achieved.kept is not None]
    count, missing = sum(bool(achieved.kept) for achieved in known), len(kept) - len(known)
    return Figure(
        label=translate("summary.objectives"),
        value=text_of(f"{count} / {len(kept)}") if known else translate("unknown"),
        note=translate("summary.objectives-unknown", count=str(missing)) if missing else None,
        tone="bad" if count < len(known) else "warning" if missing else "good",
    )


def alerts_counted(alerts: Alerts | None, zone: ZoneInfo) -> Figure:
    """How many alerts began."""
    if alerts is None:
        return Figure(label=translate("summary.alerts"), value=NOTHING, note=translate("alerts.unread"), tone="warning")
    one = tally(alerts.episodes)
    critical = tally(alert for alert in alerts.episodes if alert.priority == "critical")
    note = translate("summary.alerts-note", critical=str(critical.count), earlier=str(one.earlier), open=str(one.open))
    if alerts.known_since is not None:
        since = translate("summary.alerts-since", at=moment(alerts.known_since, zone))
        note = joined([since, note], en="; ", ja="。")
    unsure = one.open or alerts.known_since is not None
    return Figure(
        label=translate("summary.alerts"),
        value=text_of(str(one.count)),
        note=note,
        tone="bad" if critical.count or critical.earlier else "warning" if unsure else "",
    )


def _counts(runner: QueryRunner, counted: dict[str, float | None]) -> tuple[Block, ...]:
    before_end = runner.end - runner.period.seconds
    known = runner.history is not None and runner.history <= before_end - runner.seconds
    rows = []
    for query in COUNTS:
        now = counted[query.name]
        before = runner.number(query, at=before_end) if known else None
        rows.append(
            (
                cell(translate(f"count.{query.name}")),
                figure(amount(now, query.unit)),
                figure(amount(before, query.unit)),
                figure(change(now, before)),
            )
        )
    head = ("head.figure", "head.this-day", "head.day-before", "head.change")
    note = None if known else translate("counts.no-before", history=duration(runner.history_s))
    return table("counts.table", head, rows, note=note), _items(runner)


def _items(runner: QueryRunner) -> Table:
    figures_by_label: dict[str, dict[str, float]] = {}
    for labels, value in runner.every(ITEMS):
        layer = labels.get("layer", "")
        if layer in LAYER_NAMES:
            figures_by_label.setdefault(layer, {})[labels.get("signal", "")] = value
    rows = [
        (cell(place(layer)), *(figure(amount(of.get(signal), "{item}")) for signal in _SIGNALS))
        for layer, of in sorted(figures_by_label.items())
    ]
    return table("items.table", ("head.layer", "head.points", "head.spans", "head.logs"), rows)


def _charts(runner: QueryRunner) -> list[Chart]:
    return [
        *(line_chart(runner, title, [kpi(name) for name in names]) for title, names in _CHARTS),
        _firing(runner),
    ]


def line_chart(runner: QueryRunner, title: str, figures: Sequence[Kpi]) -> Chart:
    """Some figures of one unit over the period."""
    step = step_for(runner.seconds)
    lines = tuple(
        Line(
            label=kpi_name(indicator),
            points=runner.line(indicator.name, indicator.expr, runner.start, runner.end, step),
            emphasis=True,
        )
        for indicator in figures
    )
    limits = tuple(
        ChartLimit(label=translate(words), value=value)
        for indicator in figures
        if indicator.name in _LIMITS
        for words, value in [_LIMITS[indicator.name]]
    )
    return Chart(
        title=translate(title),
        unit=figures[0].unit if len({indicator.unit for indicator in figures}) == 1 else "",
        start=runner.period.start,
        end=runner.period.end,
        lines=lines,
        limits=limits,
        gap_s=2.5 * step,
        zone=runner.period.zone,
    )


def _firing(runner: QueryRunner) -> Chart:
    step = step_for(runner.seconds)
    lines = runner.lines(ALERTS.name, ALERTS.expr, runner.start, runner.end, step)
    named = {line.labels.get("severity", ""): line.points for line in lines}
    return Chart(
        title=translate("chart.alerts"),
        unit="",
        start=runner.period.start,
        end=runner.period.end,
        lines=tuple(
            Line(label=translate(f"priority.{name}"), points=named[name], emphasis=True)
            for name in ("critical", "high", "medium", "low")
            if name in named
        ),
        gap_s=2.5 * step,
        zone=runner.period.zone,
    )


def _freshness(runner: QueryRunner) -> tuple[Block, ...]:
    now, most = runner.by(AGE_NOW, "layer"), runner.by(AGE_MOST, "layer")
    rows = [
        (
            cell(place(name)),
            figure(_age(now.get(name)), _stale(now.get(name))),
            figure(_age(value), _stale(value)),
        )
        for name, value in {**dict.fromkeys(LAYER_NAMES), **most}.items()
    ]
    behind, furthest = runner.by(LAG_NOW, "consumergroup"), runner.by(LAG_MOST, "consumergroup")
    groups = [
        (cell(name), figure(amount(behind.get(name), "{record}")), figure(amount(value, "{record}")))
        for name, value in sorted(furthest.items(), key=lambda item: -item[1])
    ]
    return (
        table(
            "freshness.layers",
            ("head.layer", "head.age-end", "head.age-most"),
            rows,
            note=translate("freshness.note", limit=duration(FRESH_S)),
        ),
        table("freshness.groups", ("head.group", "head.lag-end", "head.lag-most"), groups),
    )


def _age(value: float | None) -> Text:
    if value is not None and value >= SILENT_S:
        return translate("freshness.silent", limit=duration(SILENT_S))
    return amount(value, "s") if value is None or value < 60 else duration(value)


def _stale(value: float | None) -> Tone:
    return "bad" if value is not None and value > FRESH_S else ""
