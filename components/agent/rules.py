"""Rules about the node agents: does what a node sends get on to the gateway?"""

from __future__ import annotations

from components.alerting.promql import NOT_STOPPING, grew
from components.rules import Alert, RuleGroup, Severity, any_of

_JOB = 'job="otel-agent"'
_QUEUE = f'{_JOB},exporter="otlp/gateway"'
_BY = "job, instance"
_REFUSED = "otelcol_receiver_refused_{}_total"
_FAILED = "otelcol_exporter_send_failed_{}_total"
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
                        *(
                            f'sum by ({_BY}) (rate({_REFUSED.format(items)}{{{_JOB},receiver="otlp"}}[2m])) > 0'
                            for items in _ITEMS
                        ),
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
                expr=any_of(grew(f"{_FAILED.format(items)}{{{_QUEUE},{NOT_STOPPING}}}", by=_BY) for items in _ITEMS),
                for_="0s",
                severity=Severity.HIGH,
                summary="The gateway does not take what agent {{ $labels.instance }} sends",
                description="It was not reached for a minute, or refuses the telemetry for good. The node's programs "
                "are told so: what they do not send again is lost.",
                annotations={
                    "summary_ja": "ゲートウェイがエージェント {{ $labels.instance }} のデータを受け取りません",
                    "description_ja": "1 分間到達できないか、恒久的に拒否されました。"
                    "プログラムが再送しないものは失われます。",
                },
            ),
        ),
    ),
)
