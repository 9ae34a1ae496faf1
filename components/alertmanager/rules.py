"""Rules about the way from an alert to a person; the alert that always fires, and that of the first minutes."""

from __future__ import annotations

from components.alerting.escalation import PEER_TIMEOUT_S
from components.alerting.inhibitions import STARTING
from components.alertmanager.config import CLOSER
from components.rules import Alert, Inhibition, RuleGroup, Severity, any_of

_JOB = 'job="alertmanager"'
_SENDERS = 'job=~"prometheus-.*"'


def alertmanager_rules(members: int = 2, *, paged: bool = True) -> tuple[RuleGroup, ...]:
    """Rules for a cluster.

    Args:
        members: How many members it has.
        paged: Whether somebody is paged, so that incidents have to be closed.
    """
    return (_cluster(members), _delivery(paged=paged), STARTING, _WATCHDOG)


def _cluster(members: int) -> RuleGroup:
    late_s = (members - 1) * PEER_TIMEOUT_S
    seen = f"alertmanager_cluster_members{{{_JOB}}}"
    unsent = f'alertmanager_tls_transport_write_errors_total{{{_JOB},connection_type="packet"}}'
    return RuleGroup(
        name="alertmanager",
        rules=(
            Alert(
                name="AlertmanagerDown",
                expr=f"sum by (job) (up{{{_JOB}}}) < {members}",
                for_="2m",
                severity=Severity.HIGH,
                summary=f"Only {{{{ $value }}}} of {members} Alertmanagers answer",
                description=f"The others tell all alerts, up to {late_s} s later. If they fail too, nobody is "
                "notified.",
                annotations={
                    "summary_ja": f"Alertmanager が {members} 台中 {{{{ $value }}}} 台しか応答しません",
                    "description_ja": f"残りの台が通知を続けます (最大 {late_s} 秒の遅れ)。"
                    "それも止まると誰にも通知されません。",
                },
            ),
            Alert(
                name="AlertmanagerClusterSplit",
                expr=any_of(
                    (
                        f"min by (job) ({seen}) < count by (job) ({seen})",
                        # Alertmanager 0.31 may count a member that it cannot reach (docs/adr/0012).
                        f"sum by (job) (rate({unsent}[2m])) > 0.2 and sum by (job) (up{{{_JOB}}}) >= {members}",
                    )
                ),
                for_="3m",
                severity=Severity.HIGH,
                summary="The Alertmanagers do not see each other",
                description="Each tells on its own: notifications come twice, none is lost. A silence made in one "
                "does not hold in the other, so an acknowledged alert may escalate all the same.",
                annotations={
                    "summary_ja": "Alertmanager 同士がつながっていません",
                    "description_ja": "通知は二重に届きます (欠落なし)。片方での確認はもう片方に効かず、"
                    "確認済みでもエスカレーションすることがあります。",
                },
            ),
            Alert(
                name="AlertmanagerConfigRejected",
                expr=f"min by (job) (alertmanager_config_last_reload_successful{{{_JOB}}}) == 0",
                for_="1m",
                severity=Severity.HIGH,
                summary="An Alertmanager refused its configuration",
                description="It works with the one before, and would not start again.",
                annotations={
                    "summary_ja": "Alertmanager が設定を拒否しました",
                    "description_ja": "以前の設定で動作中です。再起動すると起動できません。",
                },
            ),
            Alert(
                name="AlertmanagerConfigsDiffer",
                expr=f'count by (job) (count_values by (job) ("hash", alertmanager_config_hash{{{_JOB}}})) > 1',
                for_="10m",
                severity=Severity.MEDIUM,
                summary="The Alertmanagers have different configurations",
                description="Who is notified depends on which of them tells.",
                annotations={
                    "summary_ja": "Alertmanager の設定が一致していません",
                    "description_ja": "どの台が通知するかによって、通知先が変わります。",
                },
            ),
        ),
    )


_INCIDENTS = Alert(
    name="IncidentsNotClosed",
    expr=f'max by (job) (incident_closer_failing{{job="{CLOSER}"}}) > 0',
    for_="10m",
    severity=Severity.HIGH,
    summary="Incidents of silenced alerts stay open at the pager",
    description="While an incident is open, the same alert rings nobody when it comes again.",
    annotations={
        "summary_ja": "抑止中のアラートのインシデントがページャーで閉じられていません",
        "description_ja": "インシデントが開いている間、同じアラートが再発しても電話は鳴りません。",
    },
)


def _delivery(*, paged: bool) -> RuleGroup:
    return RuleGroup(
        name="alert-delivery",
        rules=(
            Alert(
                name="AlertmanagerNotificationsFail",
                expr=any_of(
                    (
                        f"sum by (job, integration) (rate(alertmanager_notifications_failed_total{{{_JOB}}}[5m])) > 0",
                        # An attempt by mail has no limit of time: it neither succeeds nor fails.
                        f"sum by (job, integration) (increase(alertmanager_notifications_total{{{_JOB}}}[15m])) > 0"
                        " unless sum by (job, integration) "
                        f"(increase(alertmanager_notification_latency_seconds_count{{{_JOB}}}[15m])) > 0",
                    )
                ),
                for_="2m",
                severity=Severity.HIGH,
                summary="Notifications by {{ $labels.integration }} fail",
                description="The channel does not take them. Alertmanager goes on trying, and the other channels work.",
                annotations={
                    "summary_ja": "{{ $labels.integration }} での通知に失敗しています",
                    "description_ja": "再送を続けています。他の手段での通知は届いています。",
                },
            ),
            *((_INCIDENTS,) if paged else ()),
            Alert(
                name="AlertsNotDelivered",
                expr=any_of(
                    f"sum by (job, alertmanager) (increase({counter}{{{_SENDERS}}}[1m])) > 0"
                    for counter in ("prometheus_notifications_errors_total", "prometheus_notifications_dropped_total")
                ),
                for_="2m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} cannot hand over alerts",
                description="{{ $labels.alertmanager }} does not take them, or they wait for too long. On-call is "
                "notified as long as one Alertmanager takes them.",
                annotations={
                    "summary_ja": "{{ $labels.job }} がアラートを渡せません",
                    "description_ja": "{{ $labels.alertmanager }} が受け取りません。Alertmanager が 1 台でも"
                    "受け取っていれば通知は届きます。",
                },
            ),
        ),
    )


_WATCHDOG = RuleGroup(
    name="watchdog",
    rules=(
        Alert(
            name="Watchdog",
            # A Prometheus that gets nothing from anybody watches nothing: it must not say that all is well.
            expr="sum(up) > 0",
            for_="0s",
            severity=Severity.LOW,
            summary="Alerts travel from Prometheus to the outside",
            description="It always fires. The dead man's switch outside the platform speaks up when it stays away.",
        ),
    ),
)
RULES: tuple[RuleGroup, ...] = alertmanager_rules()
INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("AlertmanagerDown",),
        targets=("TargetDown",),
        equal=("job",),
        reason="The member that is missing is known already.",
    ),
)
