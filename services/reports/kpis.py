"""The figures that are watched for anomalies and trends, with their PromQL, as data. ``$step`` is a chart's step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from components.telemetry.catalogue import METRICS, REQUIRED_METRICS, Metric, metric
from components.telemetry.layers import LAYER_NAMES
from components.telemetry.naming import Kind as Instrument
from components.telemetry.rows import PLATFORM

Better = Literal["higher", "lower", ""]
"""Which way a value should go; empty where neither is better."""


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """A figure that is watched for anomalies and trends.

    Attributes:
        name: Identity; ``kpi.<name>`` are its words. Of a further metric: that metric's name.
        layer: Layer, or ``platform``.
        expr: PromQL of one number.
        unit: UCUM unit.
        better: Which way it should go.
        step: Its own noise: a deviation of less than this is never news.
        further: Whether it comes from ``services`` in ``thresholds.yaml``.
    """

    name: str
    layer: str
    expr: str
    unit: str
    better: Better = ""
    step: float = 0.0
    further: bool = False

    @property
    def mean(self) -> str:
        """PromQL of its mean over ``$step``, looked at every five minutes."""
        return f"avg_over_time(({self.expr})[$step:5m])"


def series_of(name: str) -> str:
    """Series in Prometheus of a metric of the catalogue."""
    return metric(name).prometheus


def _p95(name: str, window: str = "5m", selector: str = "") -> str:
    return f"histogram_quantile(0.95, sum by (le) (rate({series_of(name)}_bucket{selector}[{window}])))"


API = f'{series_of("http.server.request.duration")}_count{{layer="business"}}'
API_ERRORS = f'{series_of("http.server.request.duration")}_count{{layer="business",http_response_status_code=~"5.."}}'
_POOL = "layer, job, db_client_connection_pool_name"
ACCEPTED = "otelcol_gate_accepted_items_total"


def gateway_rate(signal: str) -> str:
    """Items per second of a signal that the gateways took in."""
    return f'sum(rate({ACCEPTED}{{job="gateway",signal="{signal}"}}[5m]))'


def _kpis(layer: str, *rows: tuple[str, str, str, Better, float]) -> tuple[Kpi, ...]:
    return tuple(
        Kpi(name=name, layer=layer, expr=expr, unit=unit, better=better, step=step)
        for name, expr, unit, better, step in rows
    )


_REQUIRED: tuple[Kpi, ...] = (
    *_kpis(
        "device",
        ("devices", f"sum({series_of('device.connected')})", "{device}", "higher", 1),
        ("device-latency", f"quantile(0.95, {series_of('device.network.latency')})", "s", "lower", 0.01),
        ("device-delay", f"quantile(0.95, {series_of('device.delivery.delay')})", "s", "lower", 0.02),
        ("device-quality", f"avg({series_of('device.stream.quality')})", "{MOS}", "higher", 0.1),
        ("device-speech", f"avg({series_of('device.speech_recognition.accuracy')})", "1", "higher", 0.01),
        ("device-battery", f"avg({series_of('hw.battery.charge')})", "1", "higher", 0.05),
    ),
    *_kpis(
        "streaming",
        ("streams", f"sum({series_of('stream.active')})", "{stream}", "", 1),
        ("stream-delay", f"max({series_of('stream.delay')})", "s", "lower", 0.02),
        ("stream-throughput", f"sum({series_of('stream.throughput')})", "By/s", "", 1024),
        ("stream-loss", f"avg({series_of('stream.packet.loss')})", "1", "lower", 0.002),
        ("recordings", f"sum({series_of('recording.active')})", "{recording}", "", 1),
        (
            "recording-failures",
            f"sum(rate({series_of('recording.failures')}[5m])) / sum(rate({series_of('recording.attempts')}[5m]))",
            "1",
            "lower",
            0.002,
        ),
        ("storage", f"max({series_of('system.filesystem.utilization')})", "1", "lower", 0.01),
        ("adls-backlog", f"sum({series_of('adls.transfer.backlog')})", "By", "lower", 1024**2),
    ),
    *_kpis(
        "business",
        ("api-calls", f"sum(rate({API}[5m]))", "{call}/s", "", 0.1),
        ("api-p95", _p95("http.server.request.duration", selector='{layer="business"}'), "s", "lower", 0.02),
        (
            "api-errors",
            f"(sum(rate({API_ERRORS}[5m])) or vector(0)) / sum(rate({API}[5m]))",
            "1",
            "lower",
            0.001,
        ),
        (
            "db-pool",
            f'max(sum by ({_POOL}) ({series_of("db.client.connection.count")}{{db_client_connection_state="used"}})'
            f" / sum by ({_POOL}) ({series_of('db.client.connection.max')}))",
            "1",
            "lower",
            0.02,
        ),
        ("work-events", f"sum(rate({series_of('work_event.processed')}[5m]))", "{event}/s", "", 0.1),
        ("work-event-delay", f"max({series_of('work_event.processing.delay')})", "s", "lower", 1),
    ),
    *_kpis(
        "data",
        (
            "etl-success",
            f'sum(increase({series_of("etl.job.runs")}{{outcome="success"}}[1h]))'
            f" / sum(increase({series_of('etl.job.runs')}[1h]))",
            "1",
            "higher",
            0.01,
        ),
        ("etl-p95", _p95("etl.job.duration", "1h"), "s", "lower", 5),
        ("inconsistencies", f"sum({series_of('consistency.check.inconsistencies')})", "{record}", "lower", 1),
        ("report-delay", f"max({series_of('report.generation.delay')})", "s", "lower", 60),
    ),
    *_kpis(
        "analytics",
        ("sessions", f"sum({series_of('user.session.active')})", "{session}", "", 1),
        ("screen-p95", _p95("screen.display.duration"), "s", "lower", 0.05),
        ("analysis-cpu", f'max({series_of("system.cpu.utilization")}{{layer="analytics"}})', "1", "lower", 0.05),
        ("analysis-queue", f"sum({series_of('analysis.job.queue.length')})", "{job}", "lower", 1),
    ),
    *_kpis(
        PLATFORM,
        ("points", gateway_rate("metrics"), "{point}/s", "", 1),
        ("spans", gateway_rate("traces"), "{span}/s", "", 1),
        ("log-records", gateway_rate("logs"), "{record}/s", "", 1),
        ("consumer-lag", "max(obs:consumer_lag:sum)", "{record}", "lower", 100),
        (
            "query-p95",
            "histogram_quantile(0.95, sum by (le) "
            '(rate(http_request_duration_seconds_bucket{job="thanos-query"}[5m])))',
            "s",
            "lower",
            0.05,
        ),
        ("kafka-disk", "max(obs:kafka_disk_used:ratio)", "1", "lower", 0.01),
    ),
)


def further(metrics: tuple[Metric, ...]) -> tuple[Kpi, ...]:
    """A figure for each metric that was added as data: of what it counts the speed, of times P95, else the mean."""
    derived = []
    for catalogue_metric in metrics:
        selector = f'{{layer="{catalogue_metric.layer.name}",job="{catalogue_metric.service}"}}'
        unit = catalogue_metric.unit
        if catalogue_metric.kind is Instrument.HISTOGRAM:
            series = f"{catalogue_metric.prometheus}_bucket{selector}"
            expr = f"histogram_quantile(0.95, sum by (le) (rate({series}[5m])))"
        elif catalogue_metric.kind is Instrument.COUNTER:
            expr, unit = f"sum(rate({catalogue_metric.prometheus}{selector}[5m]))", f"{unit}/s"
        else:
            expr = f"avg({catalogue_metric.prometheus}{selector})"
        derived.append(
            Kpi(name=catalogue_metric.name, layer=catalogue_metric.layer.name, expr=expr, unit=unit, further=True)
        )
    return tuple(derived)


KPIS: Final[tuple[Kpi, ...]] = (*_REQUIRED, *further(METRICS[len(REQUIRED_METRICS) :]))
"""All figures, in the order of the layers, the platform last."""

PLACES: Final = (*LAYER_NAMES, PLATFORM)
"""Layers, and the platform."""

MAIN: Final = ("devices", "streams", "api-calls", "etl-success", "sessions", "points")
"""The figure of each place that is drawn in the weekly report."""


def kpi(name: str) -> Kpi:
    """Find a figure by name.

    Raises:
        KeyError: There is no such figure.
    """
    return next((known_kpi for known_kpi in KPIS if known_kpi.name == name), None) or _unknown(name)


def _unknown(name: str) -> Kpi:
    raise KeyError(f"figure {name!r} does not exist: use one of {', '.join(known_kpi.name for known_kpi in KPIS)}")
