"""Rules about the pair of regions: is the failover agent there, can it read the lease, is exactly one region active?

None of these alerts has the label ``layer``, so the failover agent's silence leaves them alone: each region tells of
its own failover agent. What a region knows of the other one is the other's last heartbeat; it counts only while it is
fresh, since the last word of a region that has gone says nothing about now.
"""

from __future__ import annotations

from components.regions import WORKLOAD
from components.rules import Alert, Inhibition, RuleGroup, Severity, any_of, fewer_up
from services.failover_agent import PRIMARY, STANDBY, Role

LEASE_LIMIT_S = 120
"""How long the lease may not have been read."""
PEER_LIMIT_S = 60
"""How old the other region's last heartbeat may be."""
PAGER_LIMIT_S = 60
"""How long a pager's address may not have taken a connection; each is tried every few seconds."""
_FRESH_S = 30
"""Heartbeats come every 5 s; an older one is not believed."""

_JOB = f'job="{WORKLOAD}"'
_READ = f"max by (job) (failover_agent_lease_read_age_seconds{{{_JOB}}})"
_NOTIFIES = f"max by (job) (failover_agent_notifies{{{_JOB}}})"
_SILENCED = f"failover_agent_silenced{{{_JOB}}}"
_ISOLATED = f"max by (job) (failover_agent_isolated{{{_JOB}}}) == 1"


def _of_peer(metric: str, *labels: str) -> str:
    """A metric about the other region, whose name is ``peer``: an alert's ``region`` is where it was raised."""
    return f"max by ({', '.join(('job', 'peer', *labels))}) ({metric}{{{_JOB}}})"


def _is(standing: Role) -> str:
    return f'max by (job, role) (failover_agent_role{{{_JOB},role="{standing}"}}) == 1'


_PEER_NOTIFIES = _of_peer("failover_agent_peer_notifies")
_PEER_FRESH = f"{_of_peer('failover_agent_peer_age_seconds')} < {_FRESH_S}"

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="regions",
        rules=(
            Alert(
                name="FailoverAgentDown",
                expr=fewer_up(_JOB, 1),
                # As long as it may take to start elsewhere when it is rolled.
                for_="2m",
                severity=Severity.HIGH,
                summary="The failover agent does not run: this region does not follow the lease",
                description="It goes on as it was, active or silent. After a failover to the other region both "
                "would tell, and this region cannot take over.",
                labels={"job": WORKLOAD},
                annotations={
                    "summary_ja": "リージョンガードが動いておらず、このリージョンはリースに従っていません",
                    "description_ja": "通知する・しないは直前の状態のままです。他方へフェイルオーバーすると"
                    "両方が通知し、このリージョンは引き継げません。",
                },
            ),
            Alert(
                name="RegionLeaseUnreadable",
                expr=f"{_READ} > {LEASE_LIMIT_S}",
                for_="30s",
                severity=Severity.HIGH,
                summary="The lease in the witness bucket cannot be read",
                description="This region goes on as it was. A failover to the other region could not fence it: both "
                "would notify on-call.",
                annotations={
                    "summary_ja": "ウィットネスのリースを読めません",
                    "description_ja": "このリージョンは直前の状態のままです。他方へフェイルオーバーしても"
                    "このリージョンを止められず、両方が通知します。",
                },
            ),
            Alert(
                name="RegionPeerSilent",
                expr=f"{_of_peer('failover_agent_peer_age_seconds')} > {PEER_LIMIT_S} "
                f"and on (job) {_READ} < {PEER_LIMIT_S}",
                for_="30s",
                severity=Severity.HIGH,
                summary="Region {{ $labels.peer }} has said nothing for {{ $value | humanizeDuration }}",
                description="Its failover agent does not run, does not reach the witness, or the region is gone. If "
                "it is the active one, nobody may be notified of its alerts now.",
                annotations={
                    "summary_ja": "リージョン {{ $labels.peer }} から {{ $value | humanizeDuration }} 応答がありません",
                    "description_ja": "ガードの停止、ウィットネスへの不通、またはリージョンの喪失です。"
                    "そちらが通知を担当している場合、アラートが誰にも届いていない可能性があります。",
                },
            ),
            Alert(
                name="RegionPeerNeverSeen",
                expr=f"{_of_peer('failover_agent_peer_seen')} == 0 and on (job) {_READ} < {PEER_LIMIT_S}",
                # The second region is set up after the first.
                for_="1d",
                severity=Severity.HIGH,
                summary="Region {{ $labels.peer }} has never said anything",
                description="It is named as the other region, and the witness bucket has no heartbeat of it: it was "
                "not set up, or its failover agent never reached the witness, or writes under another name. No "
                "region takes over when this one is lost.",
                annotations={
                    "summary_ja": "リージョン {{ $labels.peer }} から一度も応答がありません",
                    "description_ja": "未構築か、ウィットネスに到達したことがないか、別の名前で書き込んでいます。"
                    "このリージョンを失っても引き継ぐ先がありません。",
                },
            ),
            Alert(
                name="RegionPagerUnreachable",
                expr=f"max by (job, address) (failover_agent_egress_reached_age_seconds{{{_JOB}}}) > {PAGER_LIMIT_S}",
                for_="1m",
                severity=Severity.HIGH,
                summary="This region has not reached {{ $labels.address }} for {{ $value | humanizeDuration }}",
                description="Notifications are handed over there. A region on standby that took over now would not be "
                "heard by this channel.",
                annotations={
                    "summary_ja": "このリージョンから {{ $labels.address }} に {{ $value | humanizeDuration }} "
                    "到達できません",
                    "description_ja": "通知の受け渡し先です。待機側がいま引き継いでも、この手段では通知が届きません。",
                },
            ),
            Alert(
                name="RegionsDiffer",
                expr=f"{_of_peer('failover_agent_peer_differs', 'definition')} == 1",
                # A change reaches one region after the other.
                for_="10m",
                severity=Severity.MEDIUM,
                summary="Region {{ $labels.peer }} has other {{ $labels.definition }} than this one",
                description="After a failover alerts, dashboards, topics or permissions would not be what people know.",
                annotations={
                    "summary_ja": "リージョン {{ $labels.peer }} と {{ $labels.definition }} の定義が異なります",
                    "description_ja": "フェイルオーバー後、アラート・ダッシュボード・トピック・権限などが変わります。",
                },
            ),
            Alert(
                name="RegionRoleNotLease",
                expr=any_of(
                    (
                        f"({_is(PRIMARY)} and on (job) {_NOTIFIES} == 0 unless on (job) {_ISOLATED})",
                        f"({_is(STANDBY)} and on (job) {_NOTIFIES} == 1)",
                    )
                ),
                for_="15m",
                severity=Severity.MEDIUM,
                summary="This region is {{ $labels.role }} in its stack, and the lease says otherwise",
                description="A failover was not finished by its `pulumi up --policy-pack policy`. Mirror, reports and "
                "sizes are still those of before.",
                annotations={
                    "summary_ja": "スタックの役割 ({{ $labels.role }}) がリースと一致していません",
                    "description_ja": "フェイルオーバー後の `pulumi up --policy-pack policy` が完了していません。"
                    "ミラー、レポート、規模は切り替え前のままです。",
                },
            ),
            Alert(
                name="RegionIsolated",
                expr=_ISOLATED,
                for_="1m",
                # As urgent as the most urgent alert that is silent meanwhile.
                severity=Severity.CRITICAL,
                summary="This region reaches neither the witness nor any pager, and has fallen silent",
                description="Nobody is notified of the alerts of its layers. If this notification reached you, "
                "something still works: the pagers' addresses or a firewall may be wrong, and not the region cut off.",
                annotations={
                    "summary_ja": "このリージョンは孤立し、通知を停止しました",
                    "description_ja": "ウィットネスにもページャーにも届きません。各層のアラートは誰にも通知されません。"
                    "この通知が届いた場合は、宛先やファイアウォールの誤りが疑われます。",
                },
            ),
            Alert(
                name="RegionAlertmanagerNotLease",
                expr=any_of(
                    (
                        f"(max by (job) ({_SILENCED}) - min by (job) ({_SILENCED})) > 0",
                        f"sum by (job) (rate(failover_agent_alertmanager_errors_total{{{_JOB}}}[1m])) > 0",
                    )
                ),
                # Longer than a roll of all members.
                for_="5m",
                severity=Severity.HIGH,
                summary="An Alertmanager does not do what the lease says, or does not answer the failover agent",
                description="It may be silent although this region has to notify on-call, or tell although it must "
                "not. A failover could not fence it.",
                annotations={
                    "summary_ja": "Alertmanager がリースに従っていないか、リージョンガードに応答しません",
                    "description_ja": "通知すべきなのに停止しているか、停止すべきなのに通知している可能性があります。"
                    "フェイルオーバー時に止められません。",
                },
            ),
            Alert(
                name="RegionBothNotify",
                expr=f"{_PEER_NOTIFIES} == 1 and on (job, peer) {_PEER_FRESH} and on (job) {_NOTIFIES} == 1",
                for_="30s",
                severity=Severity.CRITICAL,
                summary="This region and {{ $labels.peer }} are both active",
                description="Every alert that both regions see is told twice, and what is acknowledged in one goes on "
                "in the other.",
                annotations={
                    "summary_ja": "このリージョンと {{ $labels.peer }} の両方が通知しています",
                    "description_ja": "同じアラートが二重に届き、一方での確認は他方に反映されません。",
                },
            ),
            Alert(
                name="RegionNobodyNotifies",
                expr=f"{_NOTIFIES} == 0 unless on (job) {_ISOLATED} "
                f"unless on (job) ({_PEER_NOTIFIES} == 1 and on (job, peer) {_PEER_FRESH}) "
                f"and on (job) {_READ} < {PEER_LIMIT_S}",
                # A failover takes half a minute from one region to the other.
                for_="2m",
                severity=Severity.CRITICAL,
                summary="Nobody is notified of alerts: this region is silent, and no other one says that it is active",
                description="The active region is gone, or a failover stopped half-way. Alerts of the "
                "layers reach nobody until the lease is given to a region that is alive.",
                annotations={
                    "summary_ja": "どのリージョンも通知していません",
                    "description_ja": "通知を担当するリージョンが失われたか、フェイルオーバーが途中で止まっています。"
                    "リースが稼働中のリージョンに移るまで、各層のアラートは誰にも届きません。",
                },
            ),
        ),
    ),
)

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("FailoverAgentDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="There is one pod; this says what is at stake.",
    ),
    Inhibition(
        source=("RegionIsolated",),
        targets=("RegionLeaseUnreadable", "RegionPagerUnreachable"),
        reason="A region that is cut off reaches neither the witness nor a pager.",
    ),
    Inhibition(
        source=("RegionNobodyNotifies",),
        targets=("RegionPeerSilent", "RegionRoleNotLease"),
        reason="A region that is gone, and roles that were not changed, are why no region is active.",
    ),
    Inhibition(
        source=("AlertmanagerDown",),
        targets=("RegionAlertmanagerNotLease",),
        reason="A member that does not answer cannot be told what the lease says, and tells nobody.",
    ),
)
