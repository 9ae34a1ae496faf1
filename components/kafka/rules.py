"""Rules about Kafka: is every record safe, is there room for more, and does every consumer keep up?

What makes writes impossible is looked at every five seconds, and told at once: a rolling restart never gets there.
"""

from __future__ import annotations

from components.rules import SETTLED, Alert, Inhibition, Recording, RuleGroup, Severity, fewer_up

_LAG_STALE_S = 120
_CAUGHT_UP_S = 1800
"""Time in which a consumer that catches up is expected to have done so."""
_NODES = 'job=~"kafka(-controller)?"'
_VOTERS = f"kafka_controller_kafkacontroller_activecontrollercount{{{_NODES}}}"
"""Of each voter that answers; brokers that do not vote have none."""
_ACTIVE, _ANSWER = f"sum({_VOTERS})", f"(count({_VOTERS}) or vector(0))"
_QUORUM = f"max(kafka_server_raft_number_of_voters{{{_NODES}}})"
_FOLLOWED = f"max(kafka_server_raft_current_leader{{{_NODES}}} and on (job, instance) {_VOTERS})"
_LEADERLESS = (
    f"({_ACTIVE} or vector(0)) == 0 "
    f"and on () (2 * {_ANSWER} <= {_QUORUM} or {_ANSWER} >= {_QUORUM} or {_FOLLOWED} < 0) and on () {SETTLED}"
)
"""Kafka's nodes go on naming the last leader when the quorum is lost. So none is active where too few voters answer for
there to be one, or all answer and none is; one that is not scraped may be."""
_IMBALANCE = f"max(kafka_controller_kafkacontroller_preferredreplicaimbalancecount{{{_NODES}}})"
_PARTITIONS = f"max(kafka_controller_kafkacontroller_globalpartitioncount{{{_NODES}}})"
_FAILED_LOGINS = 'kafka_server_authentications_total{job="kafka",result="failed"}'
_THROTTLED = 'kafka_server_quota_throttle_milliseconds{job="kafka"}'
_USED = "obs:kafka_disk_used:ratio"

DISK_HIGH = 0.75
DISK_CRITICAL = 0.9
"""Used share of a broker's volume. A broker whose volume is full stops."""

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="kafka-writes",
        interval="5s",
        rules=(
            Alert(
                name="KafkaOfflinePartitions",
                expr=f"max(kafka_controller_kafkacontroller_offlinepartitionscount{{{_NODES}}}) > 0",
                for_="0s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} partitions have no leader",
                description="Nothing can be written to them or read from them. Telemetry waits in the gateways.",
                annotations={
                    "summary_ja": "リーダー不在のパーティションが {{ $value }} 個あります",
                    "description_ja": "読み書きができません。テレメトリーはゲートウェイで待機しています。",
                },
            ),
            Alert(
                name="KafkaUnderMinIsr",
                expr='sum(kafka_server_replicamanager_underminisrpartitioncount{job="kafka"}) > 0',
                for_="0s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} partitions have fewer in-sync copies than a write needs",
                description="Producers are refused; one more lost disk loses records.",
                annotations={
                    "summary_ja": "書き込みに必要な同期コピーが足りないパーティションが {{ $value }} 個あります",
                    "description_ja": "書き込みが拒否されます。さらにディスクが失われるとデータが消えます。",
                },
            ),
            Alert(
                name="KafkaControllerCount",
                expr=f"{_ACTIVE} > 1 or {_LEADERLESS}",
                # An election takes a few seconds, and the nodes are not scraped at one instant.
                for_="20s",
                severity=Severity.CRITICAL,
                summary="Kafka has {{ $value }} active controllers instead of 1",
                description="Without one, no leader is elected and no topic or user changes; with two, they disagree.",
                annotations={
                    "summary_ja": "Kafka の稼働中コントローラーが 1 台ではなく {{ $value }} 台です",
                    "description_ja": "0 台ではリーダーの選出も設定変更もできません。2 台では判断が食い違います。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="kafka",
        rules=(
            Alert(
                name="KafkaUnderReplicated",
                expr='sum(kafka_server_replicamanager_underreplicatedpartitions{job="kafka"}) > 0',
                # As long as a large broker may take to restart and to catch up.
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $value }} partitions lack an in-sync copy",
                description="A broker is down or slow. One more failure stops writes.",
                annotations={
                    "summary_ja": "同期コピーが欠けたパーティションが {{ $value }} 個あります",
                    "description_ja": "ブローカーが停止しているか遅れています。もう 1 台失うと書き込みが止まります。",
                },
            ),
            Alert(
                name="KafkaBrokerDown",
                expr='up{job="kafka"} == 0',
                for_="1m",
                severity=Severity.HIGH,
                summary="Kafka broker {{ $labels.instance }} does not answer",
                description="Its metrics endpoint is gone: the broker has stopped, or Prometheus cannot reach it.",
                annotations={
                    "summary_ja": "Kafka ブローカー {{ $labels.instance }} が応答しません",
                    "description_ja": "停止しているか、Prometheus から到達できません。",
                },
            ),
            Alert(
                name="KafkaLoginsFail",
                expr=f"sum by (job, listener) (rate({_FAILED_LOGINS}[5m])) > 0.2",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="Clients fail to sign in at Kafka's listener {{ $labels.listener }}",
                description="More than one refused connection in five seconds: a client with an old password or "
                "certificate, one that speaks without TLS, or an attack.",
                annotations={
                    "summary_ja": "Kafka のリスナー {{ $labels.listener }} への認証が失敗し続けています",
                    "description_ja": "古いパスワードや証明書、TLS なしの接続、または攻撃です。",
                },
            ),
            Alert(
                name="KafkaUserThrottled",
                # No request, no value: the longest delay of the last minute counts.
                expr=f"max by (job, user, quota) (max_over_time({_THROTTLED}[1m])) > 0",
                for_="10m",
                severity=Severity.MEDIUM,
                summary="Kafka delays {{ $labels.user }}, which takes more than its quota ({{ $labels.quota }})",
                description="It has done so for ten minutes. Nothing is refused, and other users do not feel it: that "
                "is what quotas are for. What the user writes or feeds comes late.",
                annotations={
                    "summary_ja": "Kafka がユーザー {{ $labels.user }} を割り当て超過 ({{ $labels.quota }}) で"
                    "遅らせています",
                    "description_ja": "10 分間続いています。拒否はされず、他のユーザーにも影響しませんが、"
                    "このユーザーのデータは遅れます。",
                },
            ),
            Alert(
                name="KafkaLeadersUneven",
                expr=f"{_IMBALANCE} / {_PARTITIONS} > 0.2",
                for_="30m",
                severity=Severity.LOW,
                summary="{{ $value | humanizePercentage }} of the partitions are not led by their preferred broker",
                description="Some brokers do the work of others. Kafka evens it out by itself within minutes, unless "
                "a broker is missing or falls behind again and again.",
                annotations={
                    "summary_ja": "パーティションの {{ $value | humanizePercentage }} が本来のブローカー以外にリード"
                    "されています",
                    "description_ja": "負荷が偏っています。通常は数分で自動的に戻ります。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="kafka-lag",
        rules=(
            Recording(
                record="obs:consumer_lag:sum",
                expr='sum by (consumergroup, topic) (kafka_consumergroup_lag{job="kafka-lag"})',
            ),
            Alert(
                name="KafkaConsumerLag",
                # By its slope, and not just by whether it shrinks: a lag that stands still wavers.
                expr="obs:consumer_lag:sum > 5000 and "
                f"deriv(obs:consumer_lag:sum[5m]) > - obs:consumer_lag:sum / {_CAUGHT_UP_S}",
                for_="5m",
                severity=Severity.HIGH,
                summary="Group {{ $labels.consumergroup }} is {{ $value }} records behind in {{ $labels.topic }}",
                description=f"At this rate it will not have caught up in {_CAUGHT_UP_S // 60} minutes, if ever. What "
                "it feeds shows old data; nothing is lost until the topic's retention runs out.",
                annotations={
                    "summary_ja": "グループ {{ $labels.consumergroup }} が {{ $labels.topic }} で {{ $value }} 件遅"
                    "れています",
                    "description_ja": f"この速度では {_CAUGHT_UP_S // 60} 分以内に追いつきません。"
                    "供給先のデータは古くなりますが、保持期間内は失われません。",
                },
            ),
            Alert(
                name="KafkaConsumerGone",
                expr='kafka_consumergroup_members{job="kafka-lag"} == 0',
                for_="90s",
                severity=Severity.HIGH,
                summary="Group {{ $labels.consumergroup }} has no consumer",
                description="Nothing reads on its behalf. What it feeds stands still.",
                annotations={
                    "summary_ja": "グループ {{ $labels.consumergroup }} にコンシューマーがいません",
                    "description_ja": "誰も読んでいないため、供給先の更新が止まっています。",
                },
            ),
            Alert(
                name="KafkaLagUnknown",
                expr=f"time() - kafka_lag_last_success_timestamp_seconds > {_LAG_STALE_S} "
                'or absent(kafka_lag_last_success_timestamp_seconds{job="kafka-lag"})',
                for_="2m",
                # As urgent as those that it blinds.
                severity=Severity.HIGH,
                summary="Consumer lag has not been measured for two minutes",
                description="The alerts on lag, and on consumers that stand still, are blind until the exporter sees "
                "the brokers again.",
                annotations={
                    "summary_ja": "コンシューマーの遅れが 2 分間測定されていません",
                    "description_ja": "遅れに関するアラートは機能していません。",
                },
            ),
        ),
    ),
)
"""Rules that hold for a cluster of any size."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("KafkaTooFewBrokers",),
        targets=("KafkaControllerCount", "KafkaBrokerDown", "KafkaUnderReplicated"),
        reason="With most brokers gone, each of these is true, and none says more.",
    ),
    Inhibition(
        source=("KafkaDiskFull",),
        targets=("KafkaDiskFilling",),
        equal=("instance",),
        reason="Of one volume, the later threshold says it all.",
    ),
)


def kafka_rules(*, min_insync_replicas: int, volume_bytes: int) -> tuple[RuleGroup, ...]:
    """All rules of a cluster.

    Args:
        min_insync_replicas: Copies that must have a record before it counts as written.
        volume_bytes: Size of each broker's volume.
    """
    return (*RULES, _brokers(min_insync_replicas), _disk(volume_bytes))


def _brokers(min_insync_replicas: int) -> RuleGroup:
    """Kafka's own counts stand still when its quorum is lost, so the brokers that answer are counted as well."""
    return RuleGroup(
        name="kafka-brokers",
        interval="5s",
        rules=(
            Alert(
                name="KafkaTooFewBrokers",
                expr=fewer_up('job="kafka"', min_insync_replicas),
                for_="10s",
                severity=Severity.CRITICAL,
                summary="Only {{ $value }} Kafka brokers answer, fewer than a write needs copies",
                description="Producers are refused, and telemetry waits in the gateways; one more lost disk loses "
                "records.",
                labels={"job": "kafka"},
                annotations={
                    "summary_ja": "応答する Kafka ブローカーが {{ $value }} 台しかありません",
                    "description_ja": "書き込みに必要な台数を下回り、書き込みが拒否されます。"
                    "テレメトリーはゲートウェイで待機しています。",
                },
            ),
        ),
    )


def _disk(volume_bytes: int) -> RuleGroup:
    """The brokers say how large their logs are; of the volume itself its kubelet tells (`components.clusterstate`)."""
    return RuleGroup(
        name="kafka-disk",
        interval="5s",
        rules=(
            Recording(
                record=_USED,
                expr=f'sum by (job, instance) (kafka_log_size_bytes{{job="kafka"}}) / {volume_bytes}',
            ),
            Alert(
                name="KafkaDiskFilling",
                expr=f"{_USED} > {DISK_HIGH}",
                for_="1m",
                severity=Severity.HIGH,
                summary="Logs take {{ $value | humanizePercentage }} of the volume of {{ $labels.instance }}",
                description="If it goes on, it is full before retention frees room. A full broker stops, and the "
                "others are about as full.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のボリュームの {{ $value | humanizePercentage }} をログが"
                    "占めています",
                    "description_ja": "このまま増えると満杯になり、ブローカーが停止します。"
                    "他のブローカーもほぼ同じ状態です。",
                },
            ),
            Alert(
                name="KafkaDiskFull",
                expr=f"{_USED} > {DISK_CRITICAL}",
                for_="10s",
                severity=Severity.CRITICAL,
                summary="Logs take {{ $value | humanizePercentage }} of the volume of {{ $labels.instance }}",
                description="When it is full, the broker stops; the others follow, and then all writes.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のボリュームの {{ $value | humanizePercentage }} をログが"
                    "占めています",
                    "description_ja": "満杯になるとブローカーが次々に停止し、すべての書き込みが止まります。",
                },
            ),
        ),
    )
