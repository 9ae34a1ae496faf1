"""Rules about the copy in this region: does it grow, how old is its end, and do groups know where to go on?

They are evaluated where the mirror runs, so they still speak when the region that is copied has gone.
"""

from __future__ import annotations

from components.mirror.config import WORKLOAD
from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, fewer_up

_JOB = f'job="{WORKLOAD}"'
_CHECKPOINTS = f'kafka_mirror_written_total{{{_JOB},connector="MirrorCheckpointConnector"}}'
_COPIED = f"kafka_mirror_records_total{{{_JOB}}}"
_LATENCY = f'kafka_mirror_replication_latency_milliseconds{{{_JOB},statistic="avg"}}'
_RUNS = f"sum by (job) (up{{{_JOB}}}) > 0"
_FETCHES = f"kafka_mirror_fetches_total{{{_JOB}}}"
_PARTITION = "topic, partition"
_GAINED = "obs:mirror_partition_copied:increase5m"
_OF_A_DAY = f"avg_over_time({_GAINED}[1d])"
_ENDS = 'kafka_topic_partition_current_offset{job="kafka-lag"}'
"""Ends of this region's partitions; those that the mirror has never copied anything into are there too."""

LAG_LIMIT_S = 30
"""Age of a record at its arrival, above which somebody is told."""
BUSY_RECORDS = 30
"""Records that a topic's partitions get in five minutes on average, below which a silent one says nothing."""
_USUAL_SHARE = 0.2
"""Part of its topic's average that a partition had in a day, above which its silence says something."""

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="mirror",
        rules=(
            Recording(record="obs:mirror_latency:seconds", expr=f"max by (topic) ({_LATENCY}) / 1000"),
            Recording(record="obs:mirror_records:rate1m", expr=f"sum by (topic) (rate({_COPIED}[1m]))"),
            Recording(
                record="obs:mirror_lag:records",
                expr=f"sum by (topic) (kafka_mirror_lag_records{{{_JOB}}} >= 0)",
            ),
            Alert(
                name="MirrorDown",
                expr=fewer_up(_JOB, 1),
                # As long as it may take to start elsewhere when it is rolled.
                for_="2m",
                severity=Severity.HIGH,
                summary="Kafka's mirror does not run: this region's copy stands still",
                description="If the other region is lost now, everything since is lost with it. It goes on where it "
                "stopped, as long as the other region keeps the records.",
                labels={"job": WORKLOAD},
                annotations={
                    "summary_ja": "Kafka のミラーが動いておらず、このリージョンのコピーが止まっています",
                    "description_ja": "いま他方のリージョンを失うと、停止以降のデータも失われます。"
                    "再開すれば停止した位置から続きます。",
                },
            ),
            Alert(
                name="MirrorTaskFailed",
                expr=f'sum by (job, instance, connector) (kafka_mirror_tasks{{{_JOB},state="failed"}}) > 0',
                for_="30s",
                severity=Severity.HIGH,
                summary="{{ $value }} tasks of the mirror's {{ $labels.connector }} have failed and stay failed",
                description="Their partitions or groups are not copied until the mirror is restarted.",
                annotations={
                    "summary_ja": "ミラーの {{ $labels.connector }} のタスクが {{ $value }} 個失敗したままです",
                    "description_ja": "再起動するまで、担当するパーティションやグループはコピーされません。",
                },
            ),
            Alert(
                name="MirrorStalled",
                # Of each task: the others go on while one of them waits for a broker.
                expr=f"(min by (job) (sum by (job, task) (rate({_FETCHES}[1m]))) == 0 "
                f"or ({_RUNS} unless on (job) {_FETCHES})) and on (job) {_RUNS}",
                for_="1m",
                severity=Severity.HIGH,
                summary="Kafka's mirror, or a task of it, gets nothing from the other region",
                description="The other region does not answer, or this region's Kafka takes nothing. The copy, or the "
                "task's part of it, stands still.",
                annotations={
                    "summary_ja": "Kafka のミラー、またはそのタスクが他方のリージョンから何も受け取っていません",
                    "description_ja": "他方のリージョンが応答しないか、このリージョンの Kafka が書き込みを受け付けて"
                    "いません。コピーの全部または一部が止まっています。",
                },
            ),
            Alert(
                name="MirrorLag",
                expr=f"obs:mirror_latency:seconds > {LAG_LIMIT_S}",
                for_="2m",
                severity=Severity.HIGH,
                summary="Records of {{ $labels.topic }} arrive in this region {{ $value | humanizeDuration }} late",
                description="If the other region is lost now, about so much is lost with it.",
                annotations={
                    "summary_ja": "{{ $labels.topic }} のレコードが {{ $value | humanizeDuration }} 遅れて届いています",
                    "description_ja": "いま他方のリージョンを失うと、およそその分のデータが失われます。",
                },
            ),
            Alert(
                name="MirrorCheckpointOld",
                expr=f"((sum by (job) (rate({_CHECKPOINTS}[2m]))) == 0 or ({_RUNS} unless on (job) {_CHECKPOINTS})) "
                f"and on (job) sum by (job) (rate({_COPIED}[2m])) > 0",
                for_="1m",
                severity=Severity.MEDIUM,
                summary="Records are copied, but for three minutes no group's position",
                description="After a failover, consumers would read again what they have had since. Either no group "
                "reads in the other region, or the mirror may not see them.",
                annotations={
                    "summary_ja": "レコードはコピーされていますが、グループの位置が 3 分間更新されていません",
                    "description_ja": "フェイルオーバー後、その間のレコードが再度読まれます。他方のリージョンで"
                    "誰も読んでいないか、ミラーに権限がありません。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="mirror-partitions",
        interval="30s",
        rules=(
            Recording(
                record=_GAINED,
                expr=f"sum by ({_PARTITION}) (increase({_COPIED}[5m])) or 0 * max by ({_PARTITION}) ({_ENDS})",
            ),
            Alert(
                name="MirrorPartitionStalled",
                # How far the other region has got is not known here; the topic's other partitions go on.
                expr=f"{_GAINED} == 0 and {_OF_A_DAY} > on (topic) group_left () "
                f"{_USUAL_SHARE} * avg by (topic) ({_OF_A_DAY}) "
                f"and on (topic) avg by (topic) ({_GAINED}) > {BUSY_RECORDS}",
                for_="1m",
                severity=Severity.HIGH,
                summary="Nothing is copied of partition {{ $labels.partition }} of {{ $labels.topic }}, of others much",
                description="For five minutes this partition had no record, although it usually has its share of them: "
                "the mirror hardly reaches the broker that leads it. If the other region is lost now, what is missing "
                "here is lost with it.",
                annotations={
                    "summary_ja": "{{ $labels.topic }} のパーティション {{ $labels.partition }} だけがコピーされて"
                    "いません",
                    "description_ja": "他のパーティションは進んでいます。リーダーのブローカーにミラーが到達できません。"
                    "いま他方のリージョンを失うと、不足分は失われます。",
                },
            ),
        ),
    ),
)

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("MirrorDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="There is one pod; this says what is at stake.",
    ),
    Inhibition(
        source=("MirrorTaskFailed",),
        targets=("MirrorStalled", "MirrorPartitionStalled", "MirrorLag", "MirrorCheckpointOld"),
        reason="What a failed task does not do is missing in each of these.",
    ),
    Inhibition(
        source=("MirrorStalled",),
        targets=("MirrorPartitionStalled", "MirrorLag", "MirrorCheckpointOld"),
        reason="What comes late after a standstill is late because of it.",
    ),
)
