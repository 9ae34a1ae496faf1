"""The thresholds of the five layers as data (requirements, "Thresholds"): reviewed here, alerts are made from them."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum

from components.telemetry.layers import ANALYTICS, BUSINESS, DATA, DEVICE, STREAMING, Layer


class Comparison(Enum):
    """Comparisons, as PromQL writes them."""

    ABOVE = ">"
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="

    def holds(self, value: float, limit: float) -> bool:
        """Whether ``value`` is beyond ``limit``."""
        compare = {">": operator.gt, "<": operator.lt, "<=": operator.le, "==": operator.eq}[self.value]
        return bool(compare(value, limit))


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One threshold.

    Attributes:
        name: Identity, also of the simulator's fault that crosses it.
        layer: Layer whose requirement it is.
        metrics: OTLP names of the metrics it reads.
        value: PromQL of the value that is compared.
        comparison: How the value is compared.
        limit: The limit, in the value's unit.
        hold_s: How long the value must be beyond the limit.
        description: The requirement in words.
        stated: Whether the requirement states the number; else it is our default.
    """

    name: str
    layer: Layer
    metrics: tuple[str, ...]
    value: str
    comparison: Comparison
    limit: float
    hold_s: int = 0
    description: str
    stated: bool = True

    def crossed(self, value: float) -> bool:
        """Whether ``value`` is beyond the limit (however long)."""
        return self.comparison.holds(value, self.limit)

    @property
    def expression(self) -> str:
        """PromQL that returns a series while the limit is crossed."""
        return f"{self.value} {self.comparison.value} {self.limit:g}"


def _p95(histogram: str, by: str) -> str:
    return f"histogram_quantile(0.95, sum by (le, {by}) (rate({histogram}_bucket[5m])))"


THRESHOLDS: tuple[Threshold, ...] = (
    Threshold(
        name="battery",
        layer=DEVICE,
        metrics=("hw.battery.charge",),
        value="hw_battery_charge_ratio",
        comparison=Comparison.AT_MOST,
        limit=0.20,
        description="battery at 20 % or less",
    ),
    Threshold(
        name="delivery-delay",
        layer=DEVICE,
        metrics=("device.delivery.delay",),
        value="device_delivery_delay_seconds",
        comparison=Comparison.ABOVE,
        limit=1.0,
        description="delivery delay over 1 s",
    ),
    Threshold(
        name="disconnected",
        layer=DEVICE,
        metrics=("device.connected",),
        value="device_connected",
        comparison=Comparison.EQUAL,
        limit=0,
        hold_s=180,
        description="device disconnected for 3 min",
    ),
    Threshold(
        name="stream-quality",
        layer=DEVICE,
        metrics=("device.stream.quality",),
        value="device_stream_quality",
        comparison=Comparison.BELOW,
        limit=3.0,
        hold_s=60,
        description="stream quality is poor (mean opinion score under 3)",
        stated=False,
    ),
    Threshold(
        name="speech-accuracy",
        layer=DEVICE,
        metrics=("device.speech_recognition.accuracy",),
        value="device_speech_recognition_accuracy_ratio",
        comparison=Comparison.BELOW,
        limit=0.80,
        hold_s=60,
        description="speech recognition accuracy under 80 %",
        stated=False,
    ),
    Threshold(
        name="stream-delay",
        layer=STREAMING,
        metrics=("stream.delay",),
        value="stream_delay_seconds",
        comparison=Comparison.ABOVE,
        limit=1.0,
        hold_s=60,
        description="stream delay over 1 s for 60 s",
    ),
    Threshold(
        name="recording-failures",
        layer=STREAMING,
        metrics=("recording.failures", "recording.attempts"),
        value="sum(rate(recording_failures_total[5m])) / sum(rate(recording_attempts_total[5m]))",
        comparison=Comparison.ABOVE,
        limit=0.05,
        description="more than 5 % of recordings fail",
    ),
    Threshold(
        name="storage",
        layer=STREAMING,
        metrics=("system.filesystem.utilization",),
        value="system_filesystem_utilization_ratio",
        comparison=Comparison.ABOVE,
        limit=0.80,
        description="storage more than 80 % full",
    ),
    Threshold(
        name="adls-stalled",
        layer=STREAMING,
        metrics=("adls.transfer.age",),
        value="adls_transfer_age_seconds",
        comparison=Comparison.ABOVE,
        limit=300,
        description="ADLS transfer stalled: a backlog, and no transfer for 5 min",
        stated=False,
    ),
    Threshold(
        name="api-latency",
        layer=BUSINESS,
        metrics=("http.server.request.duration",),
        value=_p95("http_server_request_duration_seconds", "job"),
        comparison=Comparison.ABOVE,
        limit=3.0,
        description="API response over 3 s (P95)",
    ),
    Threshold(
        name="db-pool",
        layer=BUSINESS,
        metrics=("db.client.connection.count", "db.client.connection.max"),
        value=(
            "sum by (job, db_client_connection_pool_name) "
            '(db_client_connection_count{db_client_connection_state="used"})'
            " / sum by (job, db_client_connection_pool_name) (db_client_connection_max)"
        ),
        comparison=Comparison.ABOVE,
        limit=0.90,
        description="more than 90 % of the database connection pool in use",
    ),
    Threshold(
        name="event-delay",
        layer=BUSINESS,
        metrics=("work_event.processing.delay",),
        value="work_event_processing_delay_seconds",
        comparison=Comparison.ABOVE,
        limit=300,
        description="work-event processing is 5 min late",
    ),
    Threshold(
        name="etl-failed",
        layer=DATA,
        metrics=("etl.job.last_status",),
        value="etl_job_last_status",
        comparison=Comparison.EQUAL,
        limit=0,
        description="ETL job failed",
    ),
    Threshold(
        name="inconsistency",
        layer=DATA,
        metrics=("consistency.check.inconsistencies",),
        value="consistency_check_inconsistencies",
        comparison=Comparison.ABOVE,
        limit=0,
        description="data inconsistency found",
    ),
    Threshold(
        name="report-late",
        layer=DATA,
        metrics=("report.generation.delay",),
        value="report_generation_delay_seconds",
        comparison=Comparison.ABOVE,
        limit=86400,
        description="report generation is 24 h late",
    ),
    Threshold(
        name="screen-display",
        layer=ANALYTICS,
        metrics=("screen.display.duration",),
        value=_p95("screen_display_duration_seconds", "screen_name"),
        comparison=Comparison.ABOVE,
        limit=10.0,
        description="screen display over 10 s (P95)",
    ),
    Threshold(
        name="sessions",
        layer=ANALYTICS,
        metrics=("user.session.active",),
        value="sum(user_session_active)",
        comparison=Comparison.ABOVE,
        limit=100,
        description="more than 100 concurrent users",
    ),
    Threshold(
        name="cpu",
        layer=ANALYTICS,
        metrics=("system.cpu.utilization",),
        value='system_cpu_utilization_ratio{layer="analytics"}',
        comparison=Comparison.ABOVE,
        limit=0.90,
        description="processors more than 90 % busy",
    ),
)
"""All thresholds, in the order of the layers."""


def threshold(name: str) -> Threshold:
    """Find a threshold by name.

    Raises:
        KeyError: There is no such threshold.
    """
    for candidate in THRESHOLDS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"threshold {name!r} does not exist: see components/telemetry/thresholds.py")


def thresholds_on(metric_name: str) -> tuple[Threshold, ...]:
    """Thresholds that read a metric, by its OTLP name."""
    return tuple(candidate for candidate in THRESHOLDS if metric_name in candidate.metrics)
