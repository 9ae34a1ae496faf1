"""Rules about the audit log: is every source read, without a gap, and is what was read written?"""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity, any_of, fewer_up

_JOB = 'job="audit"'
_WAITING = f"audit_waiting_since_timestamp_seconds{{{_JOB}}}"
LONGEST_WAIT_S = 120
"""A record that waits for Kafka for longer is told of."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("AuditDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that the one pod is gone, which these say of each.",
    ),
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="audit",
        rules=(
            Alert(
                name="AuditDown",
                expr=fewer_up(_JOB, 1),
                for_="3m",
                severity=Severity.HIGH,
                summary="Nobody writes the audit log",
                description="Accesses are read later, as long as kubelets keep the logs and Kubernetes the Events of "
                "operators (an hour). What is gone by then is missing for good.",
                labels={"job": "audit"},
                annotations={
                    "summary_ja": "監査ログが書き込まれていません",
                    "description_ja": "ノード上のログと操作イベント (1 時間保持) が残っている間は後から読み込まれます。"
                    "それを過ぎた分は失われます。",
                },
            ),
            Alert(
                name="AuditSourceNotRead",
                expr=f"sum by (job, source) (audit_expected_streams{{{_JOB}}}) "
                f"- sum by (job, source) (audit_open_streams{{{_JOB}}}) > 0",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The audit log does not read a source ({{ $labels.source }})",
                description="The log of a container of that source cannot be followed: what it tells meanwhile is read "
                "later, unless the kubelet rotates it away first. With source `cluster`, the API server has not posted "
                "for a quarter of an hour, and drops what it cannot post.",
                annotations={
                    "summary_ja": "監査対象が読み取れていません ({{ $labels.source }})",
                    "description_ja": "コンテナのログを追跡できません。"
                    "ログのローテーション前に復旧すれば後から読み込まれます。"
                    "`cluster` は API サーバーの監査イベントが届いていない状態です。"
                    "その間の分は失われます。",
                },
            ),
            Alert(
                name="AuditGap",
                expr=any_of(
                    expression
                    for metric in (f"audit_gaps_total{{{_JOB}}}", f"audit_unreadable_total{{{_JOB}}}")
                    for expression in (
                        f"sum by (job, source) (increase({metric}[1h])) > 0",
                        # Most gaps are found as the pod starts, before its first scrape: `increase` sees none of those.
                        f"sum by (job, source) ({metric} unless {metric} offset 1h) > 0",
                    )
                ),
                for_="0s",
                severity=Severity.MEDIUM,
                summary="The audit log has a gap ({{ $labels.source }})",
                description="Lines of that source were gone before they were read, or could not be understood, or "
                "posts of the API server were not taken for so long that it drops them. `ops audit check` lists where.",
                annotations={
                    "summary_ja": "監査ログに欠落があります ({{ $labels.source }})",
                    "description_ja": "読み取り前に失われた行、または解釈できない行があります。"
                    "`ops audit check` で確認できます。",
                },
            ),
            Alert(
                name="AuditNotWritten",
                expr=f"time() - {_WAITING} > {LONGEST_WAIT_S} and {_WAITING} > 0",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="Records of the audit log wait for Kafka",
                description="Kafka does not take them. They wait in memory, then the sources are read no further; "
                "nothing is lost while kubelets keep the logs.",
                annotations={
                    "summary_ja": "監査レコードを Kafka に書き込めません",
                    "description_ja": "Kafka が受け付けていません。ノード上のログが残っている間は失われません。",
                },
            ),
        ),
    ),
)
