"""PromQL of the reports, as data. ``$range`` stands for the period that is looked at, ``$step`` for a chart's step.

Series are named as the platform names them (``components/telemetry``, the components' recording rules, the programs'
own metrics); a test compares. Replicas are one to Thanos Query, so nothing here names them. The figures that are
watched are in `kpis`, the rules of recommendations in `advice`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.reports.kpis import ACCEPTED, API, API_ERRORS, gateway_rate, series_of

FRESH_S: Final = 120
"""A layer is fresh while its newest sample is not older: the limit of TelemetryStale, which a test compares."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question; its name also finds its words.

    Attributes:
        name: Identity.
        expr: PromQL.
        unit: UCUM unit of the answer.
    """

    name: str
    expr: str
    unit: str = ""


def _q(name: str, expr: str, unit: str = "") -> Query:
    return Query(name=name, expr=expr, unit=unit)


HISTORY = _q("history", "count(up)")
"""Anything at all: its first point is where history begins."""

LAYER_FRESH = _q(
    "layer-fresh", f"avg_over_time((max by (layer) (obs:layer_age:seconds) <= bool {FRESH_S})[$step:1m])", "1"
)
PART_UP = _q("part-up", "avg_over_time((max by (job) (up))[$step:1m])", "1")
INSTANCES_UP = _q("instances-up", "avg by (job) (avg_over_time(up[$range]))", "1")
INSTANCES = _q("instances", "count by (job) (up)")

SLO_BAD = _q(
    "slo-bad",
    "sum by (slo) (sum_over_time(slo:errors:rate5m[$range])) / sum by (slo) (sum_over_time(slo:events:rate5m[$range]))",
    "1",
)
_VIOLATED = "max by (slo) ((slo:errors:rate5m / slo:events:rate5m) > bool (1 - slo:objective:ratio))"
SLO_MINUTES_BAD = _q("slo-minutes-bad", f"sum_over_time(({_VIOLATED})[$range:1m])")
SLO_MINUTES = _q("slo-minutes", f"count_over_time(({_VIOLATED})[$range:1m])")
SLO_LEFT = _q("slo-left", "max by (slo) (slo:error_budget_remaining:ratio)", "1")

_BROKERS = "kafka_server_brokertopicmetrics"
MOST_DEVICES = _q("most-devices", f"max_over_time(sum({series_of('device.connected')})[$range:1m])", "{device}")
KNOWN_DEVICES = _q("known-devices", f"max_over_time(count({series_of('device.connected')})[$range:1m])", "{device}")
MEAN_DEVICES = _q("mean-devices", f"avg_over_time(sum({series_of('device.connected')})[$range:1m])", "{device}")

COUNTS: Final[tuple[Query, ...]] = (
    KNOWN_DEVICES,
    MOST_DEVICES,
    MEAN_DEVICES,
    _q("most-streams", f"max_over_time(sum({series_of('stream.active')})[$range:1m])", "{stream}"),
    _q("mean-streams", f"avg_over_time(sum({series_of('stream.active')})[$range:1m])", "{stream}"),
    _q("most-recordings", f"max_over_time(sum({series_of('recording.active')})[$range:1m])", "{recording}"),
    _q("recording-segments", f"sum(increase({series_of('recording.attempts')}[$range]))", "{recording}"),
    _q("recording-lost", f"sum(increase({series_of('recording.failures')}[$range])) or vector(0)", "{recording}"),
    _q("recorded-bytes", f"sum(increase({series_of('recording.stored')}[$range]))", "By"),
    _q("adls-bytes", f"sum(increase({series_of('adls.transfer.io')}[$range]))", "By"),
    _q("work-events", f"sum(increase({series_of('work_event.processed')}[$range]))", "{event}"),
    _q("api-calls", f"sum(increase({API}[$range]))", "{call}"),
    _q("api-failed", f"sum(increase({API_ERRORS}[$range])) or vector(0)", "{call}"),
    _q("etl-runs", f"sum(increase({series_of('etl.job.runs')}[$range]))", "{run}"),
    _q("checks", f"sum(increase({series_of('consistency.check.runs')}[$range]))", "{run}"),
    _q("most-sessions", f"max_over_time(sum({series_of('user.session.active')})[$range:1m])", "{session}"),
    _q(
        "spans", 'sum(increase(otelcol_receiver_accepted_spans_total{job="gateway",receiver="otlp"}[$range]))', "{span}"
    ),
    _q("kafka-records", f'sum(increase({_BROKERS}_messagesin_total{{topic!=""}}[$range]))', "{record}"),
)
"""What is counted, of one number each."""

ITEMS = _q(
    "items",
    f'sum by (layer, signal) (increase({ACCEPTED}{{job="gateway"}}[$range]))',
    "{item}",
)
"""What each layer sent."""

AGE_NOW = _q("age-now", "max by (layer) (obs:layer_age:seconds)", "s")
AGE_MOST = _q("age-most", "max by (layer) (max_over_time(obs:layer_age:seconds[$range]))", "s")
LAG_NOW = _q("lag-now", "sum by (consumergroup) (obs:consumer_lag:sum)", "{record}")
LAG_MOST = _q("lag-most", "max by (consumergroup) (max_over_time(obs:consumer_lag:sum[$range]))", "{record}")

ALERTS = _q(
    "alerts", 'count by (severity) (ALERTS{alertstate="firing",escalation="",alertname!="Watchdog"})', "{alert}"
)

CPU = _q(
    "cpu",
    "sum by (job) (rate(process_cpu_seconds_total[5m])) or sum by (job) (rate(otelcol_process_cpu_seconds_total[5m]))",
    "{processor}",
)
MEMORY = _q(
    "memory", "sum by (job) (process_resident_memory_bytes) or sum by (job) (otelcol_process_memory_rss_bytes)", "By"
)
DISKS = _q(
    "disks",
    'label_replace(max by (instance) (obs:kafka_disk_used:ratio), "volume", "$1", "instance", "(.*)")'
    ' or label_replace(max by (instance) (obs:prometheus_disk_used:ratio), "volume", "$1", "instance", "(.*)")'
    ' or label_replace(max by (node) (search_node_disk_used_ratio), "volume", "$1", "node", "(.*)")',
    "1",
)
TOPIC_IN = _q("topic-in", f'sum by (topic) (increase({_BROKERS}_bytesin_total{{topic!=""}}[$range]))', "By")
TOPIC_RECORDS = _q(
    "topic-records", f'sum by (topic) (increase({_BROKERS}_messagesin_total{{topic!=""}}[$range]))', "{record}"
)
TOPIC_SIZE = _q("topic-size", "sum by (topic) (kafka_log_size_bytes)", "By")

CERTIFICATES = _q("certificates", "min by (endpoint, instance) (probe_ssl_earliest_cert_expiry)", "s")
RESTARTS = _q("restarts", "sum by (job) (changes(process_start_time_seconds[$range]))", "{restart}")
OLDEST_START = _q("oldest-start", "min by (job) (process_start_time_seconds)", "s")
SNAPSHOT = _q("snapshot", "max(index_manager_last_snapshot_timestamp_seconds)", "s")
FAMILY_SIZE = _q("family-size", "max by (family) (search_family_bytes)", "By")
FAMILY_OLDEST = _q("family-oldest", "max by (family) (search_family_oldest_age_seconds)", "s")
FAMILY_KEEP = _q("family-keep", "max by (family) (search_family_keep_seconds)", "s")
VERSIONS: Final[tuple[Query, ...]] = tuple(
    _q(f"version-{program}", f"count by (version) ({series})")
    for program, series in (
        ("prometheus", 'prometheus_build_info{job=~"prometheus-.+"}'),
        ("thanos", "thanos_build_info"),
        ("alertmanager", "alertmanager_build_info"),
        ("blackbox-exporter", "blackbox_exporter_build_info"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Something that grows towards a limit.

    Attributes:
        name: Identity; ``capacity.<name>`` are its words.
        expr: PromQL of one number.
        unit: UCUM unit.
        limit: Where it must not go; None where nothing is promised.
    """

    name: str
    expr: str
    unit: str
    limit: float | None = None

    @property
    def mean(self) -> str:
        """PromQL of its mean over ``$step``."""
        return f"avg_over_time(({self.expr})[$step:5m])"


CAPACITIES: Final[tuple[Capacity, ...]] = (
    Capacity(name="kafka-disk", expr="max(obs:kafka_disk_used:ratio)", unit="1", limit=0.75),
    Capacity(name="prometheus-disk", expr="max(obs:prometheus_disk_used:ratio)", unit="1", limit=0.85),
    Capacity(name="search-disk", expr="max(search_node_disk_used_ratio)", unit="1", limit=0.85),
    Capacity(name="object-storage", expr=f"max({series_of('system.filesystem.utilization')})", unit="1", limit=0.8),
    Capacity(name="points", expr=gateway_rate("metrics"), unit="{point}/s", limit=100_000),
    Capacity(name="spans", expr=gateway_rate("traces"), unit="{span}/s", limit=10_000),
    Capacity(name="series", expr="max(prometheus_tsdb_head_series)", unit="{series}"),
    Capacity(name="devices", expr=f"count({series_of('device.connected')})", unit="{device}"),
    Capacity(name="sessions", expr=f"sum({series_of('user.session.active')})", unit="{session}", limit=100),
)
"""What the capacity plan is about. Limits are those of the alerts, and the loads that are promised (S2)."""
