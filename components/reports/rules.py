"""Rules about the reports, from what the report server sees in the object storage.

Both pods of the report server see the same. An alert is raised when both say so: one that has just started, or that
cannot read for the moment, raises none.
"""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity, fewer_up

_JOB = 'job="report-server"'
_READ_LIMIT_S = 900

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("ReportServerDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that none of its pods answers, which these say of each.",
    ),
    Inhibition(
        source=("ReportFailed",),
        targets=("ReportMissing",),
        equal=("kind",),
        reason="A report is missing because its run failed.",
    ),
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="reports",
        rules=(
            Alert(
                name="ReportMissing",
                # A region that stands by makes none.
                expr=f"min by (job, kind) (time() - report_due_timestamp_seconds{{{_JOB}}}) > 0 "
                'unless on () max(failover_agent_role{role="standby"}) == 1',
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The {{ $labels.kind }} report is missing",
                description="It should have been stored {{ $value | humanizeDuration }} ago. Low alerts reach people "
                "by the daily report only; what it is made from is still there for some days.",
                annotations={
                    "summary_ja": "レポート ({{ $labels.kind }}) がありません",
                    "description_ja": "保存されるべき時刻から {{ $value | humanizeDuration }} 経過しています。"
                    "低優先度のアラートは日次レポートでのみ届きます。",
                },
            ),
            Alert(
                name="ReportFailed",
                expr=f"min by (job, kind) (report_last_run_failed{{{_JOB}}}) == 1",
                # A run that failed is tried again by itself.
                for_="30m",
                severity=Severity.MEDIUM,
                summary="The last run of the {{ $labels.kind }} report failed",
                description="Its report was not made, not stored or not sent, tries included. "
                "`ops report list` says why.",
                annotations={
                    "summary_ja": "レポート ({{ $labels.kind }}) の作成に失敗しました",
                    "description_ja": "再試行後も、作成・保存・送信のいずれかができていません。"
                    "理由は `ops report list` で分かります。",
                },
            ),
            Alert(
                name="ReportStorageUnreadable",
                expr=f"min by (job) (time() - report_server_read_timestamp_seconds{{{_JOB}}}) > {_READ_LIMIT_S}",
                for_="1m",
                severity=Severity.MEDIUM,
                summary="The object storage of the reports cannot be read",
                description="Nobody can read reports, the next ones cannot be stored, and what is said of missing and "
                "failed ones is as old as the last poll.",
                annotations={
                    "summary_ja": "レポートのオブジェクトストレージを読めません",
                    "description_ja": "レポートの閲覧も保存もできません。不足や失敗の検知も止まっています。",
                },
            ),
            Alert(
                name="ReportServerDown",
                expr=fewer_up(_JOB, 1),
                for_="1m",
                # As urgent as those that it stands for.
                severity=Severity.HIGH,
                summary="The report server does not answer",
                description="Reports are made, stored and sent all the same. Nobody is notified when one is missing, "
                "and `ops report list` does not work.",
                labels={"job": "report-server"},
                annotations={
                    "summary_ja": "レポート棚が応答しません",
                    "description_ja": "作成と送信は続きますが、レポートの不足を検知できません。",
                },
            ),
        ),
    ),
)
