"""The rules of recommendations, as data: each about one metric (requirement R1). ``$range`` is the period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from services.reports.model import Tone
from services.reports.periods import DAY


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When to recommend something.

    Attributes:
        name: Identity; ``recommend.<name>`` says what to do.
        metric: Series that it comes from, as people find it in Prometheus.
        expr: PromQL of the value; ``$range`` is the period.
        limit: Where the value has to be beyond.
        side: On which side of it.
        unit: UCUM unit of value and limit.
        subject: Label that says of what; empty where it is about the platform.
        needs_days: Days of history without which nothing is said: an hour does not foretell a month.
        tone: How urgent it is.
    """

    name: str
    metric: str
    expr: str
    limit: float
    side: Literal["above", "below"]
    unit: str
    subject: str = ""
    needs_days: float = 0.0
    tone: Tone = "warning"

    def applies(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        return value > self.limit if self.side == "above" else value < self.limit


def _full(metric: str, by: str, limit: float) -> str:
    """Seconds until a growing share reaches a limit, at the speed of the period."""
    return f"max by ({by}) (({limit:g} - {metric}) / (deriv({metric}[$range]) > 0)) >= 0"


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="kafka-disk",
        metric="obs:kafka_disk_used:ratio",
        expr=_full("obs:kafka_disk_used:ratio", "instance", 0.75),
        limit=30 * DAY,
        side="below",
        unit="s",
        subject="instance",
        needs_days=3,
        tone="bad",
    ),
    Rule(
        name="prometheus-disk",
        metric="obs:prometheus_disk_used:ratio",
        expr=_full("obs:prometheus_disk_used:ratio", "instance", 0.85),
        limit=30 * DAY,
        side="below",
        unit="s",
        subject="instance",
        needs_days=3,
        tone="bad",
    ),
    Rule(
        name="search-disk",
        metric="search_node_disk_used_ratio",
        expr=_full("search_node_disk_used_ratio", "node", 0.85),
        limit=30 * DAY,
        side="below",
        unit="s",
        subject="node",
        needs_days=3,
        tone="bad",
    ),
    Rule(
        name="object-storage",
        metric="system_filesystem_utilization_ratio",
        expr="max by (instance) (last_over_time(system_filesystem_utilization_ratio[$range]))",
        limit=0.7,
        side="above",
        unit="1",
        subject="instance",
    ),
    Rule(
        name="lag-growing",
        metric="obs:consumer_lag:sum",
        expr=f"sum by (consumergroup) (deriv(obs:consumer_lag:sum[$range])) * {DAY:g}",
        limit=1000,
        side="above",
        unit="{record}/d",
        subject="consumergroup",
        needs_days=1,
        tone="bad",
    ),
    Rule(
        name="lag-peak",
        metric="obs:consumer_lag:sum",
        expr="max by (consumergroup) (max_over_time(obs:consumer_lag:sum[$range]))",
        limit=5000,
        side="above",
        unit="{record}",
        subject="consumergroup",
    ),
    Rule(
        name="budget",
        metric="slo:error_budget_remaining:ratio",
        expr="min by (slo) (slo:error_budget_remaining:ratio)",
        limit=0.25,
        side="below",
        unit="1",
        subject="slo",
        tone="bad",
    ),
    Rule(
        name="heap-small",
        metric="jvm_memory_used_bytes",
        expr='max(max_over_time(jvm_memory_used_bytes{area="heap",job="kafka"}[$range]))'
        ' / max(jvm_memory_max_bytes{area="heap",job="kafka"})',
        limit=0.9,
        side="above",
        unit="1",
        needs_days=1,
    ),
    Rule(
        name="heap-large",
        metric="jvm_memory_used_bytes",
        expr='max(max_over_time(jvm_memory_used_bytes{area="heap",job="kafka"}[$range]))'
        ' / max(jvm_memory_max_bytes{area="heap",job="kafka"})',
        limit=0.35,
        side="below",
        unit="1",
        needs_days=6,
        tone="",
    ),
    Rule(
        name="search-heap",
        metric="search_node_heap_used_ratio",
        expr="max by (node) (quantile_over_time(0.9, search_node_heap_used_ratio[$range]))",
        limit=0.8,
        side="above",
        unit="1",
        subject="node",
        needs_days=1,
    ),
    Rule(
        name="brokers-busy",
        metric="kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent",
        expr="min by (instance) (quantile_over_time(0.05, "
        "kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent[$range]))",
        limit=0.3,
        side="below",
        unit="1",
        subject="instance",
        needs_days=1,
    ),
    Rule(
        name="brokers-idle",
        metric="kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent",
        expr="min(quantile_over_time(0.05, "
        "kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent[$range]))",
        limit=0.97,
        side="above",
        unit="1",
        needs_days=6,
        tone="",
    ),
    Rule(
        name="files",
        metric="process_open_fds",
        expr="max by (job) (max_over_time(process_open_fds[$range]) / process_max_fds)",
        limit=0.5,
        side="above",
        unit="1",
        subject="job",
    ),
    Rule(
        name="rules-slow",
        metric="prometheus_rule_group_last_duration_seconds",
        expr="max by (job) (quantile_over_time(0.95, prometheus_rule_group_last_duration_seconds[$range])"
        " / prometheus_rule_group_interval_seconds)",
        limit=0.5,
        side="above",
        unit="1",
        subject="job",
    ),
    Rule(
        name="queries-slow",
        metric="http_request_duration_seconds_bucket",
        expr="histogram_quantile(0.95, sum by (le) "
        '(rate(http_request_duration_seconds_bucket{job="thanos-query"}[$range])))',
        limit=3,
        side="above",
        unit="s",
    ),
    Rule(
        name="series-grow",
        metric="prometheus_tsdb_head_series",
        expr=f"max by (job) (deriv(prometheus_tsdb_head_series[$range]) * {7 * DAY:g} / prometheus_tsdb_head_series)",
        limit=0.1,
        side="above",
        unit="1",
        subject="job",
        needs_days=3,
    ),
    Rule(
        name="restarts",
        metric="process_start_time_seconds",
        expr="max by (job, instance) (changes(process_start_time_seconds[$range]))",
        limit=5,
        side="above",
        unit="{restart}",
        subject="instance",
    ),
    Rule(
        name="flapping",
        metric="up",
        expr="max by (job, instance) (changes(up[$range]))",
        limit=20,
        side="above",
        unit="{change}",
        subject="instance",
    ),
    Rule(
        name="battery",
        metric="hw_battery_charge_ratio",
        expr="count(min_over_time(hw_battery_charge_ratio[$range]) <= 0.2) / count(count_over_time("
        "hw_battery_charge_ratio[$range]))",
        limit=0.1,
        side="above",
        unit="1",
    ),
    Rule(
        name="pool",
        metric="db_client_connection_count",
        expr="max by (db_client_connection_pool_name) (max_over_time(db_client_connection_count"
        '{db_client_connection_state="used"}[$range])) / max by (db_client_connection_pool_name) '
        "(db_client_connection_max)",
        limit=0.8,
        side="above",
        unit="1",
        subject="db_client_connection_pool_name",
    ),
    Rule(
        name="certificate",
        metric="probe_ssl_earliest_cert_expiry",
        expr="min by (endpoint) (probe_ssl_earliest_cert_expiry) - time()",
        limit=7 * DAY,
        side="below",
        unit="s",
        subject="endpoint",
        tone="bad",
    ),
)
"""All rules on metrics; the one on alerts is `services.reports.recommendations.noisy`."""
