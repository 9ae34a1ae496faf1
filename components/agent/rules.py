"""Rules about the node agents: does what a node sends get on to the gateway?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, any_of, grew

_JOB = 'job="otel-agent"'
_QUEUE = f'{_JOB},exporter="otlp/gateway"'
_BY = "job, instance"
_SHORT = 'otelcol_processor_refused_{}_total{{job="otel-agent",processor="memory_limiter"}}'
_FAILED = "otelcol_exporter_send_failed_{}_total"
_NOT_THEIRS = 'error_type!~"Shutdown|Canceled|InvalidArgument"'
"""Failed sends without those of an agent that ends, and without what the gate refuses: `GateRefuses` tells of these."""
_FOREIGN = 'otelcol_attribution_refused_items_total{job="otel-agent"}'
_ITEMS = ("metric_points", "spans", "log_records")

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
)
