"""Rules about the log indexer: does every log that reaches Kafka become searchable?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, any_of, arriving, grew

_JOB = 'job="log-indexer"'
_PASSED_OVER = any_of(
    grew(f"log_indexer_{counter}_total{{{_JOB}}}", by="job, instance")
    for counter in ("rejected_documents", "undecodable_records")
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="logs",
        rules=(
            Alert(
                name="LogIndexerStalled",
                expr=f"sum by (job) (rate(log_indexer_documents_total{{{_JOB}}}[2m])) == 0 "
                f"and on () {arriving('telemetry-logs', '2m')}",
                for_="1m",
                severity=Severity.HIGH,
                summary="No log becomes searchable although logs reach Kafka",
                description="The search cluster does not answer or takes no documents, or the indexers lost their "
                "permission. Kafka keeps the logs for its retention; nothing is passed over.",
                annotations={
                    "summary_ja": "Kafka に届くログが検索できるようになりません",
                    "description_ja": "検索クラスターの無応答か、インデクサーの権限喪失です。ログは Kafka に残り、"
                    "読み飛ばしはありません。",
                },
            ),
            Alert(
                name="LogIndexerRejects",
                expr=f"max by (job) ({_PASSED_OVER})",
                for_="0s",
                severity=Severity.MEDIUM,
                summary="Logs were passed over for good",
                description="The index can never take these documents (their shape does not fit its mapping), or a "
                "record of the topic holds no logs. They are in Kafka, but cannot be searched.",
                annotations={
                    "summary_ja": "一部のログが恒久的に読み飛ばされました",
                    "description_ja": "索引の形式に合わないか、ログではないレコードです。"
                    "Kafka には残りますが検索できません。",
                },
            ),
        ),
    ),
)
