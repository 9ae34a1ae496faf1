"""Rules about what Kubernetes knows: do pods run and stay up, are nodes well, did jobs end, is there room to scale?

And about what kubelets measure: how full are volumes? Kafka and Prometheus tell how much their own data takes of what
they were given; here the file system itself is looked at.
"""

from __future__ import annotations

from typing import Final

from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, any_of

_JOB: Final = 'job="cluster-state"'
_CONDITION = f"kube_node_status_condition{{{_JOB},"
_VOLUMES: Final = 'job="volumes"'
_USED, _INODES = "obs:volume_used:ratio", "obs:volume_inodes_used:ratio"
VOLUME_HIGH: Final = 0.85
"""Used share of a volume, or of its inodes, above which an alert fires."""
_VOLUME_LOOKED_AT: Final = 0.6
"""Below it, growth is no news: servers fill new volumes until their retention is reached."""
_REMEMBERED: Final = "1d"
"""How long what a kubelet measured last holds while the pod is there."""
_WINDOW, _AHEAD_S = "6h", 4 * 24 * 3600
RESTARTS: Final = 2
"""Restarts of a container in half an hour above which an alert fires."""


def _workloads() -> RuleGroup:
    return RuleGroup(
        name="cluster-state",
        rules=(
            Alert(
                name="ClusterStateUnknown",
                expr=f"absent(kube_pod_status_phase{{{_JOB}}}) and on () up{{{_JOB}}} == 1",
                for_="5m",
                severity=Severity.HIGH,
                summary="Kubernetes does not tell the state of the platform's pods",
                description="The exporter answers and knows of no pod: the API server does not answer it, or refuses "
                "it. Alerts on pods, nodes, jobs and autoscalers are blind meanwhile.",
                annotations={
                    "summary_ja": "Kubernetes からポッドの状態を取得できません",
                    "description_ja": "API サーバーが応答しないか、権限がありません。その間、ポッド、ノード、ジョブ、"
                    "オートスケーラーのアラートは機能しません。",
                },
            ),
            Alert(
                name="PodPending",
                expr=f'max by (pod) (kube_pod_status_phase{{{_JOB},phase="Pending"}}) == 1',
                for_="10m",
                severity=Severity.MEDIUM,
                summary="Pod {{ $labels.pod }} has waited for ten minutes to run",
                description="No node has room for it, its volume is not there, or its image cannot be pulled. What it "
                "is a copy of has one copy less.",
                annotations={
                    "summary_ja": "ポッド {{ $labels.pod }} が 10 分間起動できません",
                    "description_ja": "ノードの空き不足、ボリュームの未割り当て、"
                    "またはイメージの取得失敗です。冗長性が低下しています。",
                },
            ),
            Alert(
                name="PodRestartsOften",
                expr="max by (pod, container) "
                f"(changes(kube_pod_container_status_restarts_total{{{_JOB}}}[30m])) > {RESTARTS}",
                for_="0s",
                severity=Severity.MEDIUM,
                summary="{{ $labels.container }} of {{ $labels.pod }} has restarted {{ $value }} times in half an hour",
                description="It ends by itself, mostly for want of memory, or is ended because its probe fails. "
                "Between two restarts everything may look well.",
                annotations={
                    "summary_ja": "{{ $labels.pod }} の {{ $labels.container }} が 30 分間に "
                    "{{ $value }} 回再起動しました",
                    "description_ja": "多くはメモリー不足か、ヘルスチェックの失敗です。"
                    "再起動の合間は正常に見えることがあります。",
                },
            ),
            Alert(
                name="JobFailed",
                expr=_failed_runs(),
                for_="0s",
                severity=Severity.MEDIUM,
                summary="The last run of {{ $labels.cronjob }} failed",
                description="All tries of the run ended with an error or took too long, and no later run has "
                "succeeded. What it should have made is missing or old.",
                annotations={
                    "summary_ja": "{{ $labels.cronjob }} の直近の実行が失敗しました",
                    "description_ja": "再試行もすべて失敗し、その後の成功もありません。成果物がないか古いままです。",
                },
            ),
        ),
    )


def _failed_runs() -> str:
    """When a failed run of each CronJob began, unless one that ended well is later."""
    owner = f'kube_job_owner{{{_JOB},owner_kind="CronJob"}}'
    failed = f'kube_job_failed{{{_JOB},condition="true"}} == 1'
    began = f"max by (job_name) (kube_job_status_start_time{{{_JOB}}}) and on (job_name) {failed}"
    owned = f"({began}) * on (job_name) group_left (owner_name) max by (job_name, owner_name) ({owner})"
    by_cronjob = f'max by (cronjob) (label_replace({owned}, "cronjob", "$1", "owner_name", "(.+)"))'
    succeeded = f"max by (cronjob) (kube_cronjob_status_last_successful_time{{{_JOB}}})"
    return f"{by_cronjob} unless on (cronjob) {succeeded} > {by_cronjob}"


def _autoscalers() -> RuleGroup:
    def count(name: str) -> str:
        return f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{name}_replicas{{{_JOB}}})"

    now, most, least = count("status_current"), count("spec_max"), count("spec_min")
    return RuleGroup(
        name="autoscalers",
        rules=(
            Alert(
                name="AutoscalerAtMaximum",
                expr=f"{now} >= {most} > {least}",
                for_="30m",
                severity=Severity.MEDIUM,
                summary="{{ $labels.horizontalpodautoscaler }} has all {{ $value }} pods that its autoscaler may have",
                description="More load makes it slower from now on: nothing is added any more. A gateway tells "
                "clients to come again before anything is lost.",
                annotations={
                    "summary_ja": "{{ $labels.horizontalpodautoscaler }} がオートスケーラーの上限 {{ $value }} "
                    "ポッドに達しています",
                    "description_ja": "これ以上は増えません。負荷がさらに増えると遅くなります。"
                    "ゲートウェイは失う前に再送を求めます。",
                },
            ),
        ),
    )


def _nodes() -> RuleGroup:
    return RuleGroup(
        name="nodes",
        rules=(
            Alert(
                name="NodeNotReady",
                expr=f'max by (node) ({_CONDITION}condition="Ready",status="true"}}) == 0',
                for_="2m",
                severity=Severity.HIGH,
                summary="Node {{ $labels.node }} is not ready",
                description="Its kubelet does not answer the cluster, or cannot run pods. After five minutes its pods "
                "are started elsewhere, but for those with a volume that only this node has.",
                annotations={
                    "summary_ja": "ノード {{ $labels.node }} が Ready ではありません",
                    "description_ja": "kubelet が応答しないか、ポッドを実行できません。5 分後に他のノードへ移りますが、"
                    "このノード固有のボリュームを持つポッドは移れません。",
                },
            ),
            Alert(
                name="NodeUnderPressure",
                expr="max by (node, condition) "
                f'({_CONDITION}condition=~"(Memory|Disk|PID)Pressure",status="true"}}) == 1',
                for_="2m",
                severity=Severity.HIGH,
                summary="Node {{ $labels.node }} reports {{ $labels.condition }}",
                description="It runs out of memory, disk or process numbers: it takes no new pods and ends some of "
                "those that it has.",
                annotations={
                    "summary_ja": "ノード {{ $labels.node }} が {{ $labels.condition }} を報告しています",
                    "description_ja": "メモリー、ディスク、またはプロセス数が不足しています。"
                    "新しいポッドを受け付けず、既存のポッドを退去させます。",
                },
            ),
        ),
    )


def cluster_state_rules(*, nodes: bool) -> tuple[RuleGroup, ...]:
    """All rules.

    Args:
        nodes: Whether the platform may read nodes.
    """
    return (_workloads(), _autoscalers(), *([_nodes()] if nodes else []))


INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("KafkaDiskFull", "PrometheusDiskFilling"),
        targets=("VolumeFilling", "VolumeFillsSoon"),
        equal=("instance",),
        reason="The server's own data fills the volume, and is at least as far as these say of it.",
    ),
    Inhibition(
        source=("KafkaDiskFilling",),
        targets=("VolumeFillsSoon",),
        equal=("instance",),
        reason="The server's own data fills the volume. If more is full than these logs, VolumeFilling still tells.",
    ),
    Inhibition(
        source=("VolumeFilling",),
        targets=("VolumeFillsSoon",),
        equal=("instance", "persistentvolumeclaim"),
        reason="It is nearly full already.",
    ),
)


def _share(record: str, expr: str) -> Recording:
    """A share of each volume; the servers' own alerts name a pod of a StatefulSet as instance."""
    by_volume = f"max by (pod, persistentvolumeclaim) ({expr})"
    return Recording(record=record, expr=f'label_replace({by_volume}, "instance", "$1", "pod", "(.+)")')


def _nearly_full(share: str) -> str:
    """Volumes above the limit. Kubelets measure those of pods that run: of one that is there and does not, the last."""
    exists = f'kube_pod_status_phase{{{_JOB},phase=~"Pending|Running|Unknown"}} == 1'
    last = f"last_over_time({share}[{_REMEMBERED}])"
    return f"{share} > {VOLUME_HIGH} or ({last} > {VOLUME_HIGH} unless {share}) and on (pod) {exists}"


def volume_rules() -> tuple[RuleGroup, ...]:
    """Rules about volumes, where kubelets are asked."""
    used, available = (f"volume_{size}_bytes{{{_VOLUMES}}}" for size in ("used", "available"))
    bytes_used = f"{used} / ({used} + {available})"
    inodes_used = f"volume_inodes_used{{{_VOLUMES}}} / volume_inodes{{{_VOLUMES}}}"
    silent = f"volume_nodes_silent{{{_VOLUMES}}}"
    return (
        RuleGroup(
            name="volume-use",
            interval="1m",
            rules=(_share(_USED, bytes_used), _share(_INODES, inodes_used)),
        ),
        RuleGroup(
            name="volumes",
            rules=(
                Alert(
                    name="VolumeFilling",
                    expr=_nearly_full(_USED),
                    for_="2m",
                    severity=Severity.HIGH,
                    summary="Volume {{ $labels.persistentvolumeclaim }} of {{ $labels.pod }} is "
                    "{{ $value | humanizePercentage }} full",
                    description="When it is full, what writes there stops.",
                    annotations={
                        "summary_ja": "{{ $labels.pod }} のボリューム {{ $labels.persistentvolumeclaim }} の使用率が "
                        "{{ $value | humanizePercentage }} です",
                        "description_ja": "満杯になると書き込みができず、ポッドが停止します。",
                    },
                ),
                Alert(
                    name="VolumeInodesFilling",
                    expr=_nearly_full(_INODES),
                    for_="2m",
                    severity=Severity.HIGH,
                    summary="Volume {{ $labels.persistentvolumeclaim }} of {{ $labels.pod }} has used "
                    "{{ $value | humanizePercentage }} of its inodes",
                    description="When none is left, no file can be made there, however much room there is.",
                    annotations={
                        "summary_ja": "{{ $labels.pod }} のボリューム {{ $labels.persistentvolumeclaim }} の inode "
                        "使用率が {{ $value | humanizePercentage }} です",
                        "description_ja": "使い切ると、空き容量があってもファイルを作成できません。",
                    },
                ),
                Alert(
                    name="VolumeFillsSoon",
                    expr=f"(predict_linear({_USED}[{_WINDOW}], {_AHEAD_S}) > 1 and {_USED} offset {_WINDOW}) "
                    f"and {_USED} > {_VOLUME_LOOKED_AT}",
                    for_="1h",
                    severity=Severity.MEDIUM,
                    summary="Volume {{ $labels.persistentvolumeclaim }} of {{ $labels.pod }} will be full within four "
                    "days",
                    description="It grows as it did in the last six hours, and is more than 60 % full.",
                    annotations={
                        "summary_ja": "{{ $labels.pod }} のボリューム {{ $labels.persistentvolumeclaim }} は "
                        "4 日以内に満杯になる見込みです",
                        "description_ja": "直近 6 時間の増加が続く場合の予測です。使用率は 60% を超えています。",
                    },
                ),
                Alert(
                    name="VolumesUnknown",
                    expr=any_of((f"{silent} > 0", f"absent({silent}) and on () up{{{_VOLUMES}}} == 1")),
                    for_="15m",
                    severity=Severity.HIGH,
                    summary="Kubelets do not tell how full volumes are",
                    description="Alerts on how full volumes are have been blind for a quarter of an hour, for some "
                    "nodes or all.",
                    annotations={
                        "summary_ja": "kubelet からボリュームの使用率を取得できません",
                        "description_ja": "一部またはすべてのノードで、15 分間ボリュームの使用率のアラートが機能して"
                        "いません。",
                    },
                ),
            ),
        ),
    )
