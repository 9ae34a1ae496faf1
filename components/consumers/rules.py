"""Rules about the metrics consumers: does everything in Kafka reach its Prometheus, and soon?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, arriving, grew
from components.shards import SERVER_PATTERN

_JOB = 'job=~"metrics-consumer-.+"'
_REFUSED = f"otelcol_otlprecords_lost_items_total{{{_JOB}}}"
_WRITTEN = f"otelcol_otlprecords_sent_items_total{{{_JOB}}}"
_REPLICA = f'"job", "metrics-consumer-$1", "job", "metrics-consumer-{SERVER_PATTERN}"'
"""The consumers of all shards of a replica together write what there is."""
_TOPIC = "telemetry-metrics"
_INTO_KAFKA = f'otelcol_kafkabuckets_items_total{{job="gateway",topic="{_TOPIC}"}}'

ENOUGH = 0.8
"""Share of the metrics of ten minutes that a consumer has to have written; an outage of two minutes is no gap yet."""

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="consumers",
        rules=(
            Alert(
                name="ConsumerDropsRefusedMetrics",
                expr=f"max by (job) ({grew(_REFUSED, by='job, instance')})",
                for_="0s",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} passed over metrics that Prometheus refuses for good",
                description="Prometheus answered 400: samples older than its out-of-order window, or conflicting ones. "
                "They are in Kafka, but not in this Prometheus; the others of their records are.",
                annotations={
                    "summary_ja": "{{ $labels.job }} が Prometheus に拒否されたメトリクスを読み飛ばしました",
                    "description_ja": "許容時間より古いか矛盾したサンプルです。Kafka には残っていますが、"
                    "この Prometheus にはありません。",
                },
            ),
            Alert(
                name="ConsumerStalled",
                expr=f"sum by (job) (rate({_WRITTEN}[1m])) == 0 and on () {arriving(_TOPIC, '1m')}",
                for_="1m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} writes nothing although metrics reach Kafka",
                description="Its Prometheus does not answer or refuses a record for now, or it lost its permission in "
                "Kafka. Kafka keeps the data; readers see the other replica's.",
                annotations={
                    "summary_ja": "Kafka に届くメトリクスを {{ $labels.job }} が書き込んでいません",
                    "description_ja": "Prometheus の無応答または一時的な拒否、あるいは Kafka の権限喪失です。"
                    "データは Kafka に残り、もう一方から読めます。",
                },
            ),
            Alert(
                name="ConsumerFallsShort",
                expr=f"sum by (job) (label_replace(increase({_WRITTEN}[10m]), {_REPLICA})) < on () group_left () "
                f"{ENOUGH} * sum(increase({_INTO_KAFKA}[10m]))",
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} writes much less than what reaches Kafka",
                description="It reads only some partitions, or too slowly. Its Prometheus has gaps that the other one "
                "may not have; the data is in Kafka.",
                annotations={
                    "summary_ja": "{{ $labels.job }} の書き込みが Kafka への流入より大幅に少なくなっています",
                    "description_ja": "一部のパーティションしか読めていないか、処理が遅れています。"
                    "データは Kafka に残っています。",
                },
            ),
        ),
    ),
)
