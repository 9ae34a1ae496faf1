"""Recommendations: what rules, which are data and each about one metric, say about the platform as it is (requirement
R1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.reports.alert_log import Alerts, Episode, by_alert, tally
from services.reports.cells import MOST_ROWS, cell, figure, table
from services.reports.metrics import QueryRunner
from services.reports.model import DAY, Block, Paragraph, Section, Text, Tone, amount, duration, text_of, translate
from services.reports.queries import CONTAINER_RESTARTS, NOT_COUNTED, POD_RESTARTS, PROCESS_START, Query


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


def _disk(name: str, metric: str, by: str, limit: float) -> Rule:
    """Seconds until a growing share reaches a limit, at the speed of the period; `_over` has what is beyond it."""
    return Rule(
        name=name,
        metric=metric,
        expr=f"min by ({by}) (({limit:g} - {metric}) / (deriv({metric}[$range]) > 0)) >= 0",
        limit=30 * DAY,
        side="below",
        unit="s",
        subject=by,
        needs_days=3,
        tone="bad",
    )


def _over(name: str, metric: str, by: str, limit: float) -> Rule:
    """A share that is beyond its limit already, whether it grows or not."""
    return Rule(
        name=f"{name}-over",
        metric=metric,
        expr=f"max by ({by}) ({metric})",
        limit=limit,
        side="above",
        unit="1",
        subject=by,
        tone="bad",
    )


_DISKS: Final = (
    ("kafka-disk", "obs:kafka_disk_used:ratio", "instance", 0.75),
    ("prometheus-disk", "obs:prometheus_disk_used:ratio", "instance", 0.85),
    ("search-disk", "search_node_disk_used_ratio", "node", 0.85),
)
_HEAP_USED: Final = (
    'max(max_over_time(jvm_memory_used_bytes{area="heap",job="kafka"}[$range]))'
    ' / max(jvm_memory_max_bytes{area="heap",job="kafka"})'
)
RULES: Final[tuple[Rule, ...]] = (
    *(_over(*disk) for disk in _DISKS),
    *(_disk(*disk) for disk in _DISKS),
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
        expr=_HEAP_USED,
        limit=0.9,
        side="above",
        unit="1",
        needs_days=1,
    ),
    Rule(
        name="heap-large",
        metric="jvm_memory_used_bytes",
        expr=_HEAP_USED,
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
        metric=CONTAINER_RESTARTS,
        expr=POD_RESTARTS,
        limit=5,
        side="above",
        unit="{restart}",
        subject="pod",
    ),
    Rule(
        name="process-restarts",
        metric=PROCESS_START,
        expr=f"max by (job, instance) (changes({PROCESS_START}[$range])) {NOT_COUNTED}",
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
        name="certificate-over",
        metric="probe_ssl_earliest_cert_expiry",
        expr="time() - min by (endpoint) (probe_ssl_earliest_cert_expiry)",
        limit=0,
        side="above",
        unit="s",
        subject="endpoint",
        tone="bad",
    ),
    Rule(
        name="certificate",
        metric="probe_ssl_earliest_cert_expiry",
        expr="min by (endpoint) (probe_ssl_earliest_cert_expiry) - time() >= 0",
        limit=7 * DAY,
        side="below",
        unit="s",
        subject="endpoint",
        tone="bad",
    ),
)
"""All rules on metrics; the one on alerts is `services.reports.recommendations.noisy`."""

_NOISY, _SHORT_S = 10, 600.0
_MOST_PER_RULE = 3


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do.

    Attributes:
        text: It.
        metric: Series that it comes from.
        value: Its value.
        limit: The limit that it is beyond.
        tone: How urgent it is.
    """

    text: Text
    metric: str
    value: Text
    limit: Text
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the rules say.

    Attributes:
        recommendations: What to do.
        waiting: Rules that cannot judge yet for want of history.
        left_out: Rule -> subjects that it is about as well, beyond the worst `_MOST_PER_RULE`.
    """

    recommendations: list[Recommendation]
    waiting: list[Rule]
    left_out: Mapping[str, int]


def judge(runner: QueryRunner, rules: Sequence[Rule] = RULES) -> Advice:
    """What the rules recommend."""
    recommendations, waiting, left_out = [], [], {}
    for rule in rules:
        if runner.seconds < rule.needs_days * DAY:
            waiting.append(rule)
            continue
        values = runner.every(Query(name=rule.name, expr=rule.expr, unit=rule.unit))
        beyond = sorted(
            ((value, labels) for labels, value in values if rule.applies(value)),
            key=lambda item: -item[0] if rule.side == "above" else item[0],
        )
        recommendations += [_recommend(rule, value, labels) for value, labels in beyond[:_MOST_PER_RULE]]
        if len(beyond) > _MOST_PER_RULE:
            left_out[rule.name] = len(beyond) - _MOST_PER_RULE
    return Advice(recommendations=recommendations, waiting=waiting, left_out=left_out)


def noisy(alerts: Sequence[Episode]) -> list[Recommendation]:
    """Alerts that fire often and end by themselves soon: nobody learns from them."""
    recommendations = []
    for name, those in by_alert(alerts):
        one = tally(those)
        if one.count >= _NOISY and one.median_s is not None and one.median_s <= _SHORT_S:
            text = translate("recommend.noisy", subject=name, median=duration(one.median_s))
            recommendations.append(
                Recommendation(
                    text=text,
                    metric=f'ALERTS{{alertname="{name}"}}',
                    value=text_of(str(one.count)),
                    limit=text_of(str(_NOISY)),
                    tone="warning",
                )
            )
    return recommendations


def section(runner: QueryRunner, alerts: Alerts | None) -> Section:
    """The section: what to do, with the metric and the value that say so."""
    advice = judge(runner)
    recommendations = [*advice.recommendations, *noisy(alerts.episodes if alerts else ())]
    order: Mapping[Tone, int] = {"bad": 0, "warning": 1, "": 2, "good": 3}
    rows = [
        (
            cell(recommendation.text, recommendation.tone),
            cell(recommendation.metric),
            figure(recommendation.value),
            figure(recommendation.limit),
        )
        for recommendation in sorted(recommendations, key=lambda one: order[one.tone])
    ]
    head = ("head.recommendation", "head.metric", "head.value", "head.limit")
    blocks: list[Block] = [table("recommend.table", head, rows, empty="recommend.none", most=MOST_ROWS)]
    if advice.left_out:
        names = ", ".join(f"{name} ({count})" for name, count in advice.left_out.items())
        blocks.append(Paragraph(text=translate("recommend.more", most=str(_MOST_PER_RULE), names=names)))
    if advice.waiting:
        days = max(rule.needs_days for rule in advice.waiting)
        blocks.append(
            Paragraph(
                text=translate(
                    "recommend.waiting", count=str(len(advice.waiting)), days=f"{days:g}", all=str(len(RULES) + 1)
                )
            )
        )
    return Section(title=translate("recommend.title"), blocks=tuple(blocks))


def _recommend(rule: Rule, value: float, labels: Mapping[str, str]) -> Recommendation:
    subject = labels.get(rule.subject, "") or "-"
    days = rule.unit == "s" and rule.limit >= DAY
    shown, limit = (duration(number) if days else amount(number, rule.unit) for number in (value, rule.limit))
    return Recommendation(
        text=translate(f"recommend.{rule.name}", subject=subject, value=shown),
        metric=rule.metric,
        value=shown,
        limit=limit,
        tone=rule.tone,
    )
