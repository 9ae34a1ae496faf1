"""Rules about the log indexer: does every log that reaches Kafka become searchable?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity

_JOB = 'job="log-indexer"'
_INTO_KAFKA = 'otelcol_exporter_sent_log_records_total{job="gateway",exporter="kafka/logs"}'

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="logs",
        rules=(
            Alert(
                name="LogIndexerStalled",
                expr=f"sum by (job) (rate(log_indexer_documents_total{{{_JOB}}}[2m])) == 0 "
                f"and on () sum(rate({_INTO_KAFKA}[2m])) > 0",
                hold="3m",
                severity=Severity.HIGH,
                summary="No log becomes searchable although logs reach Kafka",
                description="The search cluster does not answer or takes no documents, or the indexers lost their "
                "permission. Kafka keeps the logs for its retention; nothing is passed over.",
            ),
            Alert(
                name="LogIndexerRejects",
                expr=f"sum by (job) (increase(log_indexer_rejected_documents_total{{{_JOB}}}[5m])) > 0 "
                f"or sum by (job) (increase(log_indexer_undecodable_records_total{{{_JOB}}}[5m])) > 0",
                hold="0s",
                severity=Severity.MEDIUM,
                summary="Logs were passed over for good",
                description="The index can never take these documents (their shape does not fit its mapping), or a "
                "record of the topic holds no logs. They are in Kafka, but cannot be searched.",
            ),
        ),
    ),
)
