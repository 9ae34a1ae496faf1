"""A panel for each metric of the catalogue, so that a service that is added there is seen without further work (G3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from components.dashboards import limits
from components.dashboards.model import RATE, Limit, Panel, Query, Row, series, stat
from components.telemetry import catalogue, summaries
from components.telemetry.catalogue import Metric
from components.telemetry.layers import DATA, DEVICE, Layer
from components.telemetry.naming import Kind as Instrument
from components.telemetry.schema import Comparison
from components.telemetry.thresholds import THRESHOLDS, Threshold, is_wide

ANY = ',device_id=~"$device"'
"""Matcher of records: those without a device are of all devices, so chosen ones leave them out."""
CHOSEN = f'{ANY},device_id!~"$device$device"'
"""Matcher of what devices send: those that are chosen. Where all are (``.*``), it is none, and the records are read."""
_ACRONYMS = frozenset({"adls", "api", "cpu", "db", "etl", "http"})


def threshold_stats(layer: Layer) -> Row:
    """The worst value of each threshold of a layer, now."""
    rows = [row for row in THRESHOLDS if row.layer is layer]
    panels = tuple(_worst(row, width) for row, width in zip(rows, _widths(len(rows)), strict=True))
    return Row(title="Thresholds now", panels=panels)


def kpi_rows(layer: Layer) -> Iterator[Row]:
    """A row per service of the layer, a panel per metric."""
    for service in dict.fromkeys(metric.service for metric in catalogue.METRICS if metric.layer is layer):
        yield Row(title=f"KPIs of {service}", panels=tuple(_panels(catalogue.metrics_of(service))))


def _panels(metrics: Iterable[Metric]) -> Iterator[Panel]:
    shown_metrics = list(metrics)
    for metric, width in zip(shown_metrics, _widths(len(shown_metrics)), strict=True):
        yield replace(_panel(metric), width=width)


def _worst(row: Threshold, width: int) -> Panel:
    smallest = row.comparison is not Comparison.ABOVE
    return stat(
        _named(row.alert),
        f"{'Smallest' if smallest else 'Largest'} value now. {row.description} ({row.alert}, {row.priority})",
        row.unit if row.comparison is not Comparison.EQUAL else "",
        Query(
            expr=_worst_now(row, "min" if smallest else "max"),
            legend=f"limit {row.spoken_limit()}" if limits.line(row) else "worst",
        ),
        width=width,
        limits=limits.line(row),
        states=limits.WORKS if row.comparison is Comparison.EQUAL else (),
    )


def _worst_now(row: Threshold, worst: str) -> str:
    """PromQL of a threshold's worst value: where every device has one, of what is recorded."""
    if is_wide(row):
        metric = catalogue.metric(row.metrics[0])
        if row in summaries.own_thresholds(metric):
            return f"{worst}({summaries.recorded(metric, worst)})"
        if "count" in summaries.operations(metric) and row.comparison is Comparison.EQUAL and not row.limit:
            # The alert waits or fires while any device has the value.
            waiting = f'ALERTS{{alertname="{row.alert}",escalation=""}}'
            return f"0 * count({waiting}) or 0 * sum({summaries.recorded(metric, 'count')}) + 1"
    return f"{worst}({row.value})"


def _panel(metric: Metric) -> Panel:
    title, about = f"{_words(metric.name)}", metric.description[0].upper() + metric.description[1:] + "."
    lines = _limits(metric)
    if metric.kind is Instrument.HISTOGRAM:
        return _durations(metric, title, about, lines)
    if metric.kind is Instrument.COUNTER:
        return _growth(metric, title, about)
    if metric.layer is DEVICE:
        return _devices(metric, title, about, lines)
    labels = ", ".join(("instance", *metric.labels))
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels) or "{{instance}}"
    query = Query(expr=f"max by ({labels}) ({summaries.selector(metric)})", legend=legend)
    return series(title, about, metric.unit, query, limits=lines, service="job")


def _durations(metric: Metric, title: str, about: str, lines: tuple[Limit, ...]) -> Panel:
    (operation,), window = summaries.operations(metric), summaries.window(metric)
    sent = f"rate({summaries.selector(metric, '_bucket', CHOSEN)}[{window}])"
    rate = _of_many(metric, "sum by (le)", sent, summaries.recorded(metric, operation, _any(metric)))
    return series(
        title,
        f"{about} P95: 19 of 20 are not slower. Over windows of {window}.",
        metric.unit,
        *(
            Query(expr=f"histogram_quantile({percent / 100:g}, {rate})", legend=f"P{percent}")
            for percent in (50, 95, 99)
        ),
        limits=lines,
    )


def _growth(metric: Metric, title: str, about: str) -> Panel:
    labels = ", ".join(metric.labels)
    aggregation = f"sum by ({labels})" if labels else "sum"
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels) or metric.service
    (operation,) = summaries.operations(metric)
    if metric.layer is DATA:
        expr = f"{aggregation} ({summaries.recorded(metric, operation)})"
        return series(
            f"{title}, per hour", f"{about} In the hour before.", metric.unit, Query(expr=expr, legend=legend)
        )
    sent = f"rate({summaries.selector(metric, more=CHOSEN)}[{RATE}])"
    recorded = f"avg_over_time({summaries.recorded(metric, operation, _any(metric))}[{RATE}])"
    expr = _of_many(metric, aggregation, sent, recorded)
    return series(
        f"{title}, per second", about, f"{metric.unit}/s", Query(expr=expr, legend=legend), stacked=bool(labels)
    )


def _devices(metric: Metric, title: str, about: str, lines: tuple[Limit, ...]) -> Panel:
    """Of hundreds of devices a few lines: a state is counted, of a size the worst and the middle are seen."""
    sent = summaries.selector(metric, more=CHOSEN)

    def recorded(operation: str) -> str:
        return summaries.recorded(metric, operation, ANY)

    if metric.labels:
        by = f"sum by ({', '.join(metric.labels)})"
        legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
        query = Query(expr=_of_many(metric, by, sent, recorded("sum")), legend=legend)
        return series(title, about, "{device}", query, stacked=True)
    if "count" in summaries.operations(metric):
        return series(
            title,
            f"{about} Here: how many devices are, and how many told anything.",
            "{device}",
            Query(expr=_of_many(metric, "sum", sent, recorded("sum")), legend="connected"),
            Query(expr=f"count({sent}) or sum({recorded('count')})", legend="known"),
        )
    worst, median = summaries.operations(metric)
    return series(
        title,
        f"{about} The worst device, and the middle one.",
        metric.unit,
        Query(expr=_of_many(metric, worst, sent, recorded(worst)), legend="worst"),
        Query(expr=f"quantile(0.5, {sent}) or quantile(0.5, {recorded(median)})", legend="median"),
        limits=lines,
    )


def _limits(metric: Metric) -> tuple[Limit, ...]:
    """Thresholds on the metric's own value."""
    return tuple(limit for row in summaries.own_thresholds(metric) for limit in limits.line(row))


def _of_many(metric: Metric, aggregation: str, sent: str, recorded: str) -> str:
    """What is recorded, aggregated over regions; of devices, what those sent that are chosen comes first."""
    chosen = f"{aggregation} ({sent}) or " if metric.layer is DEVICE else ""
    return f"{chosen}{aggregation} ({recorded})"


def _any(metric: Metric) -> str:
    return ANY if metric.layer is DEVICE else ""


def _widths(count: int) -> tuple[int, ...]:
    """Widths of some panels, so that no line is left half empty."""
    if count <= 4:
        return (24 // count,) * count
    if count == 5:
        return (8, 8, 8, 12, 12)
    lines_of_four = count % 3
    return (6,) * (4 * lines_of_four) + (8,) * (count - 4 * lines_of_four)


def _words(name: str) -> str:
    words = re.split(r"[._]", name)
    text = " ".join(word.upper() if word in _ACRONYMS else word for word in words)
    return text[0].upper() + text[1:]


def _named(alert: str) -> str:
    """Name of an alert in words."""
    return _words("_".join(re.findall(r"[A-Z][a-z]*", alert)).lower())
