"""Row about queries (requirements G4, S2): how fast are they answered, which wait, and what do they run over?"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Limit, Query, Row, series, stat

_QUERY = 'job=~"prometheus-.+|thanos-query"'
_READ, _THANOS = "http_request_duration_seconds", 'job="thanos-query"'
_ANSWERED = (Limit(value=limits.ANSWER_S, label="S2", tone="warning"),)


def _answered(percent: int) -> str:
    """Time within which so many of 100 answers of the read address come."""
    buckets = f"rate({_READ}_bucket{{{_THANOS}}}[5m])"
    return f"histogram_quantile({percent / 100:g}, sum by (le) ({buckets}))"


PROMETHEUS = Row(
    title="Prometheus and the read path",
    panels=(
        stat(
            "Answers at the read address",
            "Nineteen of twenty answers of Thanos Query are not slower, over five minutes.",
            "s",
            Query(expr=_answered(95), legend="P95"),
            limits=_ANSWERED,
            width=6,
        ),
        stat(
            "Average answer",
            "Of Thanos Query, over five minutes.",
            "s",
            Query(
                expr=f"sum(rate({_READ}_sum{{{_THANOS}}}[5m])) / sum(rate({_READ}_count{{{_THANOS}}}[5m]))",
                legend="average",
            ),
            limits=(Limit(value=limits.MEAN_ANSWER_S, label="S2", tone="warning"),),
            width=6,
        ),
        stat(
            "Slow queries",
            "Answers of Thanos Query in the last hour that took longer than 3 s.",
            "{query}",
            Query(
                # One bound of the histogram is written 3 by Thanos and 3.0 by Prometheus.
                expr=f"round(sum(increase({_READ}_count{{{_THANOS}}}[1h]))"
                f' - sum(increase({_READ}_bucket{{{_THANOS},le=~"3(\\\\.0)?"}}[1h])))',
                legend="last hour",
            ),
            width=6,
        ),
        stat(
            "Queries that fail",
            "Share of the answers of Thanos Query with a status from 500 on, over five minutes.",
            "1",
            Query(
                expr=f'(sum(rate({_READ}_count{{{_THANOS},code=~"5.."}}[5m]))'
                f" or 0 * sum(rate({_READ}_count{{{_THANOS}}}[5m])))"
                f" / sum(rate({_READ}_count{{{_THANOS}}}[5m]))",
                legend="failed",
            ),
            limits=(Limit(value=0.01, label="many", tone="warning"),),
            width=6,
        ),
        series(
            "Queries at the read address",
            "Time in which Thanos Query answered, over five minutes.",
            "s",
            *(Query(expr=_answered(percent), legend=f"P{percent}") for percent in (50, 95, 99)),
            limits=_ANSWERED,
        ),
        series(
            "Evaluation of queries",
            "Half, nine of ten and 99 of 100 inner evaluations of each engine are not slower.",
            "s",
            *(
                Query(
                    expr="max by (job) (prometheus_engine_query_duration_seconds{"
                    f'{_QUERY},quantile="{quantile}",slice="inner_eval"}}) >= 0',
                    legend=f"{{{{job}}}} P{quantile.removeprefix('0.').ljust(2, '0')}",
                )
                for quantile in ("0.5", "0.9", "0.99")
            ),
        ),
        series(
            "Queries wait",
            "P99 of the time that a query waits until its engine has room for it. It is nearly nothing, or the engine "
            "has too much to do.",
            "s",
            Query(
                expr="max by (job) (prometheus_engine_query_duration_seconds{"
                f'{_QUERY},quantile="0.99",slice="queue_time"}}) >= 0',
                legend="{{job}}",
            ),
        ),
        series(
            "Queries per second",
            "Queries that each engine answered, rules among them.",
            "{query}/s",
            Query(
                expr="sum by (job) (rate(prometheus_engine_query_duration_seconds_count{"
                f'{_QUERY},slice="inner_eval"}}[{RATE}]))',
                legend="{{job}}",
            ),
            width=8,
        ),
        series(
            "Samples taken in",
            "Samples per second that each Prometheus added to its head.",
            "{sample}/s",
            Query(expr=f"sum by (job) (rate(prometheus_tsdb_head_samples_appended_total[{RATE}]))", legend="{{job}}"),
            width=8,
        ),
        series(
            "Slowest group of rules",
            "Duration of the last round of the slowest group, as a share of the time between two rounds. From 100 % "
            "on, rounds are left out and alerts come late.",
            "1",
            Query(
                expr="max by (job) (prometheus_rule_group_last_duration_seconds"
                " / prometheus_rule_group_interval_seconds)",
                legend="{{job}}",
            ),
            limits=(Limit(value=1.0, label="late", tone="warning"),),
            width=8,
        ),
        series(
            "Series",
            "Series in the head of each Prometheus: what its memory is used for.",
            "{series}",
            Query(expr="sum by (job) (prometheus_tsdb_head_series)", legend="{{job}}"),
            width=12,
        ),
        series(
            "Use of memory by series",
            "Series in the head of each Prometheus, as a share of what its memory holds.",
            "1",
            Query(expr="max by (job) (obs:prometheus_head_used:ratio)", legend="{{job}}"),
            limits=limits.platform("PrometheusHeadFilling"),
            width=12,
        ),
    ),
)
"""For the dashboard of operations."""
