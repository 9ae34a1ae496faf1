"""Rules about the metrics consumers: does everything in Kafka reach its Prometheus, and soon?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity

_JOB = 'job=~"metrics-consumer-.+"'
_WRITES = f'{_JOB},exporter="otlphttp/prometheus"'
_INTO_KAFKA = 'otelcol_exporter_sent_metric_points_total{job="gateway",exporter="kafka/metrics"}'

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="consumers",
        rules=(
            Alert(
                name="ConsumerDropsRefusedMetrics",
                expr=f"sum by (job) (increase(otelcol_exporter_send_failed_metric_points_total{{{_WRITES}}}[5m])) > 0",
                hold="0s",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} passed over metrics that Prometheus refuses for good",
                description="Prometheus answered 400: samples older than its out-of-order window, or conflicting ones. "
                "They are in Kafka, but not in this Prometheus.",
            ),
            Alert(
                name="ConsumerStalled",
                expr=f"sum by (job) (rate(otelcol_exporter_sent_metric_points_total{{{_WRITES}}}[2m])) == 0 "
                f"and on () sum(rate({_INTO_KAFKA}[2m])) > 0",
                hold="3m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} writes nothing although metrics reach Kafka",
                description="Its Prometheus does not answer, it lost its permission in Kafka, or a partition is "
                "paused. Kafka keeps the data; readers see the other replica's.",
            ),
        ),
    ),
)
