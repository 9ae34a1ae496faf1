"""Rules about the node agents: does what a node sends get on to the gateway?

And about what they tell of their nodes: have processors, memory and disks room? While an agent is replaced a node has
two, which tell the same: of each node the higher figure counts.
"""

from __future__ import annotations

from typing import Final

from components.rules import Alert, Recording, RuleGroup, Severity, any_of, grew

_JOB = 'job="otel-agent"'
_QUEUE = f'{_JOB},exporter="otlp/gateway"'
_BY = "job, instance"
_SHORT = 'otelcol_processor_refused_{}_total{{job="otel-agent",processor="memory_limiter"}}'
_FAILED = "otelcol_exporter_send_failed_{}_total"
_NOT_THEIRS = 'error_type!~"Shutdown|Canceled|InvalidArgument"'
"""Failed sends without those of an agent that ends, and without what the gate refuses: `GateRefuses` tells of these."""
_FOREIGN = 'otelcol_attribution_refused_items_total{job="otel-agent"}'
_ITEMS = ("metric_points", "spans", "log_records")
_BUSY, _LOAD = "obs:node_cpu_busy:ratio", "obs:node_load_per_processor:ratio"
_MEMORY, _WAITING = "obs:node_memory_used:ratio", "obs:node_disk_waiting:rate2m"
CPU_HIGH: Final = 0.95
"""Busy share of a node's processors above which an alert fires, if more wait."""
LOAD_HIGH: Final = 2
"""Tasks that run or wait, for each processor."""
MEMORY_HIGH: Final = 0.9
"""Share of a node's memory that no program can have any more."""
DISK_WAITING: Final = 10
"""Requests that a disk has not answered yet, on average."""


def _processors(selector: str) -> str:
    """Processors of each agent's node, or those in some states: each adds a second to them in a second."""
    return f"sum by (node, instance) (rate(system_cpu_time_seconds_total{{{selector}}}[2m]))"


_ALL, _IN_USE = _processors(_JOB), _processors(f'{_JOB},state!~"idle|wait"')
"""Time that a hypervisor takes away counts as in use: nobody here can have it."""


_NODE_USE = RuleGroup(
    name="node-use",
    interval="30s",
    rules=(
        Recording(record=_BUSY, expr=f"max by (node) ({_IN_USE} / {_ALL})"),
        Recording(
            record=_LOAD,
            expr=f"max by (node) (sum by (node, instance) (system_cpu_load_average_5m{{{_JOB}}}) / {_ALL})",
        ),
        Recording(
            record=_MEMORY,
            expr="max by (node) "
            f"(1 - system_linux_memory_available_bytes{{{_JOB}}} / system_memory_limit_bytes{{{_JOB}}})",
        ),
        Recording(
            record=_WAITING,
            expr=f"max by (node, device) (rate(system_disk_weighted_io_time_seconds_total{{{_JOB}}}[2m]))",
        ),
    ),
)

_NODES = RuleGroup(
    name="node-room",
    rules=(
        Alert(
            name="NodeCpuSaturated",
            expr=f"{_BUSY} > {CPU_HIGH} and {_LOAD} > {LOAD_HIGH}",
            for_="30m",
            severity=Severity.LOW,
            summary="Processors of node {{ $labels.node }} are {{ $value | humanizePercentage }} busy, and more waits",
            description="For half an hour more than twice as many tasks as it has processors have run or waited. "
            "Everything on the node is slower; what that breaks has alerts of its own.",
            annotations={
                "summary_ja": "ノード {{ $labels.node }} の CPU 使用率が {{ $value | humanizePercentage }} で、"
                "待ちが発生しています",
                "description_ja": "30 分間、CPU 数の 2 倍を超えるタスクが実行中または待機中です。"
                "ノード全体が遅くなります。影響は個別のアラートが知らせます。",
            },
        ),
        Alert(
            name="NodeMemoryLow",
            expr=f"{_MEMORY} > {MEMORY_HIGH}",
            for_="10m",
            severity=Severity.MEDIUM,
            summary="Node {{ $labels.node }} uses {{ $value | humanizePercentage }} of its memory",
            description="Files are read from disk again and again where little is left. When nothing is, the kernel "
            "or the kubelet ends pods.",
            annotations={
                "summary_ja": "ノード {{ $labels.node }} のメモリー使用率が {{ $value | humanizePercentage }} です",
                "description_ja": "ファイルキャッシュが減り、ディスクからの再読み込みが増えます。枯渇すると"
                "カーネルまたは kubelet がポッドを終了させます。",
            },
        ),
        Alert(
            name="NodeDiskBusy",
            expr=f"{_WAITING} > {DISK_WAITING}",
            for_="15m",
            severity=Severity.MEDIUM,
            summary="Disk {{ $labels.device }} of node {{ $labels.node }} has {{ $value | humanize }} requests waiting",
            description="More is read and written than the disk can do. What waits for it is slow: Kafka's writes, "
            "queries, and the start of pods.",
            annotations={
                "summary_ja": "ノード {{ $labels.node }} のディスク {{ $labels.device }} で "
                "{{ $value | humanize }} 件の要求が待機しています",
                "description_ja": "読み書きがディスクの能力を超えています。Kafka の書き込み、クエリ、"
                "ポッドの起動が遅くなります。",
            },
        ),
        Alert(
            name="NodeMetricsMissing",
            expr=f"up{{{_JOB}}} == 1 unless on (instance) system_memory_limit_bytes{{{_JOB}}}",
            for_="5m",
            severity=Severity.MEDIUM,
            summary="Agent {{ $labels.instance }} tells nothing of its node",
            description="Alerts on processors, memory and disks of its node are blind. Everything else of the agent "
            "works.",
            annotations={
                "summary_ja": "エージェント {{ $labels.instance }} がノードの情報を取得できません",
                "description_ja": "そのノードの CPU、メモリー、ディスクのアラートが機能しません。"
                "エージェントのその他の機能は動作しています。",
            },
        ),
    ),
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="agent",
        rules=(
            Alert(
                name="AgentQueueFull",
                expr=any_of(
                    (
                        f"max by ({_BY}) (otelcol_exporter_queue_size{{{_QUEUE}}}"
                        f" / otelcol_exporter_queue_capacity{{{_QUEUE}}}) > 0.8",
                        *(f"sum by ({_BY}) (rate({_SHORT.format(items)}[2m])) > 0" for items in _ITEMS),
                    )
                ),
                for_="1m",
                severity=Severity.HIGH,
                summary="Agent {{ $labels.instance }} refuses telemetry, or is about to",
                description="The gateway takes less than the node sends. The node's programs are told to try again.",
                annotations={
                    "summary_ja": "エージェント {{ $labels.instance }} がテレメトリーを拒否しているか、その直前です",
                    "description_ja": "ゲートウェイの受信がノードの送信に追いつきません。"
                    "プログラムは再送を求められます。",
                },
            ),
            Alert(
                name="AgentCannotSend",
                expr=any_of(grew(f"{_FAILED.format(items)}{{{_QUEUE},{_NOT_THEIRS}}}", by=_BY) for items in _ITEMS),
                for_="0s",
                severity=Severity.HIGH,
                summary="The gateway does not take what agent {{ $labels.instance }} sends",
                description="It was not reached for a minute, or does not let the agent in. The node's programs are "
                "told so: what they do not send again is lost.",
                annotations={
                    "summary_ja": "ゲートウェイがエージェント {{ $labels.instance }} のデータを受け取りません",
                    "description_ja": "1 分間到達できないか、認証されませんでした。"
                    "プログラムが再送しないものは失われます。",
                },
            ),
            Alert(
                name="AgentRefusesForeignTelemetry",
                expr=f"sum by (job) (rate({_FOREIGN}[5m])) > 0",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="A program on a node claims another layer than the one it signs in as",
                description="The agents refuse that, and tell the program where nothing else is in its request. "
                "A wrong configuration, or somebody who should not be there.",
                annotations={
                    "summary_ja": "ノード上のプログラムが認証と異なるレイヤーを名乗っています",
                    "description_ja": "エージェントは拒否し、送信側に通知します。設定誤りか不正な送信者です。",
                },
            ),
        ),
    ),
    _NODE_USE,
    _NODES,
)
