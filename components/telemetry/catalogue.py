"""Every metric that the five layers send: the one place where names, units and attributes are decided.

Names follow OpenTelemetry's semantic conventions where these have one (``http.server.request.duration``,
``db.client.connection.count``, ``hw.battery.charge``, ``system.*``); units are UCUM. Here are the metrics that the
requirements name; all further ones are data: ``services`` in ``thresholds.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.telemetry.file import NAME, content, explaining, text
from components.telemetry.layers import ANALYTICS, BUSINESS, DATA, DEVICE, STREAMING, Layer, layer
from components.telemetry.naming import Kind, prometheus_label, prometheus_name

LATENCY_BUCKETS: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10)
SCREEN_BUCKETS: tuple[float, ...] = (0.25, 0.5, 1, 2, 3, 5, 10, 15, 30)
BATCH_BUCKETS: tuple[float, ...] = (10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: OTLP name.
        unit: UCUM unit.
        kind: Instrument.
        layer: Layer that sends it.
        service: ``service.name`` that sends it.
        description: What one value means, with its range where it has one.
        attributes: Keys of the data points' attributes; values are few and known.
        buckets: Bucket boundaries of a histogram; they include the threshold's limit.
    """

    name: str
    unit: str
    kind: Kind
    layer: Layer
    service: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Name in Prometheus; of a histogram without ``_bucket``, ``_sum`` and ``_count``."""
        return prometheus_name(self.name, self.unit, self.kind)

    @property
    def series(self) -> tuple[str, ...]:
        """All names of series in Prometheus."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.prometheus}_{part}" for part in ("bucket", "sum", "count"))
        return (self.prometheus,)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in Prometheus that come from the data points' attributes."""
        return tuple(prometheus_label(key) for key in self.attributes)


def _metrics(layer: Layer, service: str, *rows: tuple[str, str, Kind, tuple[str, ...], str]) -> tuple[Metric, ...]:
    return tuple(
        Metric(
            name=name,
            unit=unit,
            kind=kind,
            layer=layer,
            service=service,
            attributes=attributes,
            description=description,
            buckets=_BUCKETS.get(name, ()),
        )
        for name, unit, kind, attributes, description in rows
    )


_BUCKETS = {
    "http.server.request.duration": LATENCY_BUCKETS,
    "screen.display.duration": SCREEN_BUCKETS,
    "etl.job.duration": BATCH_BUCKETS,
}
_G, _C, _U, _H = Kind.GAUGE, Kind.COUNTER, Kind.UP_DOWN_COUNTER, Kind.HISTOGRAM

REQUIRED_METRICS: tuple[Metric, ...] = (
    *_metrics(
        DEVICE,
        "device-agent",
        ("device.connected", "{connection}", _G, (), "1 while connected to the streaming service, else 0"),
        ("device.state", "{state}", _G, ("device.state",), "1 for the current state, 0 for the others"),
        ("device.network.latency", "s", _G, (), "round-trip time to the streaming service"),
        ("device.delivery.delay", "s", _G, (), "age of the newest frame when the streaming service acknowledged it"),
        ("device.delivery.frames", "{frame}", _C, (), "frames acknowledged by the streaming service"),
        ("device.stream.quality", "{MOS}", _G, (), "mean opinion score of the stream (ITU-T P.800), 1 to 5"),
        ("device.speech_recognition.accuracy", "1", _G, (), "1 - word error rate"),
        ("hw.battery.charge", "1", _G, (), "remaining fraction of the battery's charge"),
    ),
    *_metrics(
        STREAMING,
        "stream-server",
        ("stream.active", "{stream}", _U, (), "live streams"),
        ("stream.delay", "s", _G, (), "delay from capture to play-out, slowest live stream"),
        ("stream.throughput", "By/s", _G, (), "received media"),
        ("stream.packet.loss", "1", _G, (), "fraction of media packets that were lost"),
    ),
    *_metrics(
        STREAMING,
        "recorder",
        ("recording.active", "{recording}", _U, (), "recordings in progress"),
        ("recording.attempts", "{recording}", _C, (), "recording segments that were begun"),
        ("recording.failures", "{recording}", _C, ("error.type",), "recording segments that were not stored"),
        ("recording.stored", "By", _C, (), "recorded media written to storage"),
    ),
    *_metrics(
        STREAMING,
        "storage",
        (
            "system.filesystem.usage",
            "By",
            _U,
            ("system.filesystem.state",),
            "space of the object storage, by state: used or free",
        ),
        ("system.filesystem.limit", "By", _U, (), "size of the object storage"),
        ("system.filesystem.utilization", "1", _G, (), "used fraction of the object storage"),
    ),
    *_metrics(
        STREAMING,
        "adls-transfer",
        ("adls.transfer.backlog", "By", _U, (), "recorded media not yet transferred to ADLS"),
        ("adls.transfer.io", "By", _C, (), "media transferred to ADLS"),
        ("adls.transfer.failures", "{transfer}", _C, ("error.type",), "transfers that failed"),
        ("adls.transfer.age", "s", _G, (), "time since the last successful transfer while there was a backlog, else 0"),
    ),
    *_metrics(
        BUSINESS,
        "work-api",
        (
            "http.server.request.duration",
            "s",
            _H,
            ("http.request.method", "http.route", "http.response.status_code"),
            "time to answer a request",
        ),
        ("http.server.active_requests", "{request}", _U, (), "requests being answered"),
        (
            "db.client.connection.count",
            "{connection}",
            _U,
            ("db.client.connection.pool.name", "db.client.connection.state"),
            "connections of the pool, by state: used or idle",
        ),
        (
            "db.client.connection.max",
            "{connection}",
            _U,
            ("db.client.connection.pool.name",),
            "most connections that the pool may open",
        ),
    ),
    *_metrics(
        BUSINESS,
        "event-processor",
        ("work_event.processed", "{event}", _C, ("work_event.type",), "work events that were processed"),
        ("work_event.queue.length", "{event}", _U, (), "work events that wait"),
        ("work_event.processing.delay", "s", _G, (), "age of the oldest work event that waits"),
    ),
    *_metrics(
        DATA,
        "etl",
        ("etl.job.last_status", "{status}", _G, ("etl.job.name",), "last run: 1 succeeded, 0 failed"),
        ("etl.job.runs", "{run}", _C, ("etl.job.name", "outcome"), "finished runs, by outcome: success or failure"),
        ("etl.job.duration", "s", _H, ("etl.job.name",), "time of a run"),
    ),
    *_metrics(
        DATA,
        "consistency-check",
        ("consistency.check.runs", "{run}", _C, ("consistency.check.name",), "finished checks"),
        (
            "consistency.check.inconsistencies",
            "{record}",
            _G,
            ("consistency.check.name",),
            "records that disagreed in the last check",
        ),
    ),
    *_metrics(
        DATA,
        "report-generator",
        ("report.generated", "{report}", _C, ("report.name",), "reports that were generated"),
        ("report.generation.delay", "s", _G, ("report.name",), "time since a report was due that is not there, else 0"),
    ),
    *_metrics(
        ANALYTICS,
        "dashboard-ui",
        ("user.session.active", "{session}", _U, (), "signed-in sessions"),
        ("screen.display.duration", "s", _H, ("screen.name",), "time from request to a complete screen"),
    ),
    *_metrics(
        ANALYTICS,
        "analysis-worker",
        ("system.cpu.utilization", "1", _G, (), "busy fraction of all processors of the worker"),
        ("system.memory.utilization", "1", _G, (), "used fraction of the worker's memory"),
        ("analysis.job.queue.length", "{job}", _U, (), "analysis jobs that wait"),
    ),
)
"""Metrics that the requirements name, in the order of the layers."""


def further_metrics(services: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Metrics of ``services`` in ``thresholds.yaml``.

    Raises:
        KeyError: A key or a layer is missing.
        TypeError: A value is of another kind.
        ValueError: There is no such instrument.
    """
    return tuple(
        Metric(
            name=text(row["name"]),
            unit=text(row["unit"]),
            kind=Kind(row["kind"]),
            layer=layer(service["layer"]),
            service=text(service["name"]),
            description=text(row["description"]),
            attributes=tuple(text(key) for key in row.get("attributes", ())),
            buckets=tuple(float(boundary) for boundary in row.get("buckets", ())),
        )
        for service in services
        for row in service.get("metrics", ())
    )


with explaining():
    METRICS: tuple[Metric, ...] = (*REQUIRED_METRICS, *further_metrics(content()["services"]))
"""All metrics."""

SERVICES: dict[str, Layer] = {metric.service: metric.layer for metric in METRICS}
"""Every service that sends metrics, with its layer."""


def metrics_of(service: str) -> tuple[Metric, ...]:
    """Metrics that one service sends."""
    return tuple(metric for metric in METRICS if metric.service == service)


def metric(name: str) -> Metric:
    """Find a metric by its OTLP name.

    Raises:
        KeyError: The catalogue has no such metric.
    """
    for candidate in METRICS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"metric {name!r} is not in the catalogue: add it under `services` in {NAME}")
