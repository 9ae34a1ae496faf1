"""Rules about the alert events: does Kafka get what is raised and what is notified?

The alert Watchdog always fires and is sent again every 10 s, so the endpoint for Prometheus is never silent.
"""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity, any_of, fewer_up

_JOB = 'job="alert-events"'
_REFUSED = "alert_events_refused_total"
_FOR_GOOD = "content|size"
"""Reasons after which nobody sends the post again."""
_FOR_NOW = "cut|busy|brokers"
"""Reasons after which senders come again."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("AlertEventsDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that the one pod is gone, which these say of each.",
    ),
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="alert-events",
        rules=(
            Alert(
                name="AlertEventsDown",
                expr=fewer_up(_JOB, 1),
                for_="1m",
                severity=Severity.HIGH,
                summary="The alert event service does not answer",
                description="On-call is notified of alerts all the same. What Prometheus raises is sent again for 15 "
                "min after it ended, what Alertmanager notified until it is written; after that it is missing in "
                "Kafka.",
                labels={"job": "alert-events"},
                annotations={
                    "summary_ja": "アラートイベントのサービスが応答しません",
                    "description_ja": "通知は届いています。Kafka への記録だけが止まっています "
                    "(終了後 15 分までは再送されます)。",
                },
            ),
            Alert(
                name="AlertEventsStalled",
                expr=f'sum by (job) (increase(alert_events_written_total{{{_JOB},endpoint="raw"}}[5m])) == 0',
                for_="2m",
                severity=Severity.MEDIUM,
                summary="No Prometheus sends alert events to Kafka",
                description="Not even the alert that always fires has arrived for five minutes: alerts-raw has a gap. "
                "Alerts of priority low reach nobody by another way than the daily report.",
                annotations={
                    "summary_ja": "Prometheus のアラートイベントが Kafka に届いていません",
                    "description_ja": "常時発報のアラートも 5 分間届いていません。alerts-raw に欠落があります。",
                },
            ),
            Alert(
                name="AlertEventsRefused",
                expr=any_of(
                    f'sum by (job, endpoint, reason) (increase({_REFUSED}{{{_JOB},reason=~"{reasons}"}}[{window}])) > 0'
                    for reasons, window in ((_FOR_GOOD, "10m"), (_FOR_NOW, "2m"))
                ),
                # Nobody has to know of a post that was taken when it came again.
                for_="3m",
                severity=Severity.MEDIUM,
                summary="Alert events cannot be written ({{ $labels.endpoint }}: {{ $labels.reason }})",
                description="Kafka does not take the events, or what is posted is no alert. The senders come again, "
                "except after content and size: that part is missing in Kafka.",
                annotations={
                    "summary_ja": "アラートイベントを書き込めません ({{ $labels.endpoint }}: {{ $labels.reason }})",
                    "description_ja": "Kafka が受け付けないか、内容が不正です。再送されますが、content と size の分は"
                    "失われます。",
                },
            ),
            Alert(
                name="AlertEventsLoginsFail",
                expr=f'sum by (job, endpoint) (increase({_REFUSED}{{{_JOB},reason="login"}}[5m])) > 3',
                for_="5m",
                severity=Severity.MEDIUM,
                summary="Somebody posts alert events with a wrong password ({{ $labels.endpoint }})",
                description="A Prometheus or an Alertmanager has an old password, or somebody tries who should not.",
                annotations={
                    "summary_ja": "誤ったパスワードでアラートイベントが送られています ({{ $labels.endpoint }})",
                    "description_ja": "古いパスワードの Prometheus か Alertmanager、または許可されていない送信元です。",
                },
            ),
        ),
    ),
)
