"""Rules about the gateway: is telemetry let in, and does what was let in reach Kafka?"""

from __future__ import annotations

from components.alerting.promql import NOT_STOPPING, fewer_up, grew
from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, any_of

_FILTERED = 'otelcol_processor_filter_{}_filtered_total{{job="gateway"}}'
_SIGNAL_ITEMS = ("metric_points", "spans", "log_records")


def _rising(metric: str, selector: str, window: str) -> str:
    """Whether ``metric`` of any signal rises."""
    return any_of(
        f"sum by (job, instance) (rate(otelcol_{metric}_{item}_total{{{selector}}}[{window}])) > 0"
        for item in _SIGNAL_ITEMS
    )


def _lost() -> str:
    """Whether an exporter to Kafka gave something up."""
    return any_of(
        grew(
            f'otelcol_exporter_send_failed_{item}_total{{job="gateway",exporter=~"kafka/.+",{NOT_STOPPING}}}',
            by="job, instance, exporter",
        )
        for item in _SIGNAL_ITEMS
    )


RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="gateway-ingress",
        interval="5s",
        rules=(
            Alert(
                name="TelemetryInflowDown",
                expr=fewer_up('job="gateway"', 1),
                for_="10s",
                severity=Severity.CRITICAL,
                summary="No gateway answers",
                description="No telemetry is let in. Clients keep it for as long as they can, then it is lost.",
                labels={"job": "gateway"},
                annotations={
                    "summary_ja": "応答するゲートウェイがありません",
                    "description_ja": "テレメトリーを受信できません。送信側が保持できなくなると失われます。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="gateway",
        rules=(
            Recording(
                record="obs:gateway_accepted:rate1m",
                expr="sum by (processor, otel_signal) (rate(otelcol_processor_incoming_items_total"
                '{job="gateway",processor=~"transform/.+"}[1m]))',
            ),
            Recording(
                record="obs:gateway_queue:ratio",
                expr='max by (instance, exporter) (otelcol_exporter_queue_size{job="gateway"}'
                ' / otelcol_exporter_queue_capacity{job="gateway"})',
            ),
            Alert(
                name="GatewayRefusesTelemetry",
                expr=_rising("receiver_refused", 'job="gateway",receiver="otlp"', "2m"),
                for_="1m",
                severity=Severity.HIGH,
                summary="Gateway {{ $labels.instance }} refuses telemetry",
                description="Its queue is full or its memory short. Clients are told to try again and keep the data "
                "for as long as they can.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} がテレメトリーを拒否しています",
                    "description_ja": "キューが満杯かメモリー不足です。送信側は再送を求められ、できる限り保持します。",
                },
            ),
            Alert(
                name="GatewayQueueFilling",
                expr="obs:gateway_queue:ratio > 0.5",
                for_="1m",
                severity=Severity.HIGH,
                summary="Queue {{ $labels.exporter }} of gateway {{ $labels.instance }} is more than half full",
                description="Kafka takes less than comes in. When the queue is full, clients are refused.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} のキュー {{ $labels.exporter }} が半分を超え"
                    "ました",
                    "description_ja": "Kafka の処理が流入に追いつきません。満杯になると送信側を拒否します。",
                },
            ),
            Alert(
                name="GatewayQueueFull",
                expr="obs:gateway_queue:ratio > 0.9",
                for_="10s",
                severity=Severity.CRITICAL,
                summary="Queue {{ $labels.exporter }} of gateway {{ $labels.instance }} is full, or about to be",
                description="Clients are refused from then on. They keep telemetry for as long as they can, then it "
                "is lost.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} のキュー {{ $labels.exporter }} がほぼ満杯です",
                    "description_ja": "以後は送信側を拒否します。送信側が保持できなくなると失われます。",
                },
            ),
            Alert(
                name="GatewayLostTelemetry",
                expr=_lost(),
                for_="0s",
                severity=Severity.CRITICAL,
                summary="Gateway {{ $labels.instance }} lost telemetry for {{ $labels.exporter }} that it had "
                "acknowledged",
                description="Kafka refused records for good (no such topic, no permission, too large), and they "
                "were dropped.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} が受領済みの {{ $labels.exporter }} 宛データ"
                    "を失いました",
                    "description_ja": "Kafka が恒久的に拒否したため (トピックなし、権限なし、"
                    "サイズ超過) 破棄されました。",
                },
            ),
            Alert(
                name="GatewayDropsForeignTelemetry",
                expr=any_of(
                    f"sum by (job, filter) (rate({_FILTERED.format(items)}[5m])) > 0"
                    for items in ("datapoints", "spans", "logs")
                ),
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The gateway drops telemetry by {{ $labels.filter }}",
                description="A client sends an unknown layer, another layer's data, or a signal that its layer may "
                "not send: a wrong configuration, or somebody who should not be there.",
                annotations={
                    "summary_ja": "ゲートウェイが {{ $labels.filter }} によりテレメトリーを破棄しています",
                    "description_ja": "未知のレイヤー、他レイヤーのデータ、または許可されない信号です。"
                    "設定誤りか不正な送信者です。",
                },
            ),
            Alert(
                name="GatewayLoginsFail",
                expr=any_of(
                    f"sum by (job) (rate({series}[5m])) > 0.2"
                    for series in (
                        'http_server_request_duration_seconds_count{job="gateway",http_response_status_code="401"}',
                        'rpc_server_call_duration_seconds_count{job="gateway",rpc_response_status_code="UNAUTHENTICATED"}',
                    )
                ),
                for_="5m",
                severity=Severity.MEDIUM,
                summary="Clients fail to sign in at the gateway",
                description="More than one wrong password in five seconds: a client with an old password, or an "
                "attack.",
                annotations={
                    "summary_ja": "ゲートウェイへの認証が失敗し続けています",
                    "description_ja": "5 秒に 1 回以上の誤ったパスワードです。古いパスワードか攻撃です。",
                },
            ),
        ),
    ),
)

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("TelemetryInflowDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that all gateways are gone, which these say of each.",
    ),
    Inhibition(
        source=("TelemetryInflowDown",),
        targets=("AgentCannotSend", "AgentQueueFull", "TelemetryStale"),
        reason="Nobody can send: of the layers themselves nothing is known.",
    ),
    Inhibition(
        source=("GatewayQueueFull",),
        targets=("GatewayQueueFilling",),
        equal=("instance", "exporter"),
        reason="Of one queue, the later threshold says it all.",
    ),
)
