"""Rules about the gateway: is telemetry let in, and does what was let in reach Kafka?"""

from __future__ import annotations

from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, any_of, fewer_up, grew

_SIGNAL_ITEMS = ("metric_points", "spans", "log_records")
_BY = "job, instance"
_RETRIED = (
    'otelcol_processor_refused_{}_total{{job="gateway",processor="memory_limiter"}}',
    'otelcol_exporter_enqueue_failed_{}_total{{job="gateway",exporter=~"kafkabuckets/.+"}}',
)
"""What memory or the queues did not take: clients are told to try again. What the gate refuses is not among it."""
_GATE_REFUSED = 'otelcol_gate_refused_items_total{job="gateway"}'
_SERIES = 'otelcol_gate_series{{job="gateway",kind="{}"}}'
_SPILLED = 'otelcol_kafkabuckets_spilled_items_total{job="gateway"}'
_ON_DISK = 'otelcol_exporter_queue_size{job="gateway",exporter=~"kafkabuckets/.+-disk"}'
_UP = 'up{job="gateway"}'
_LOST = 'otelcol_kafkabuckets_lost_items_total{job="gateway"}'
_LOGINS = 'otelcol_login_refused_requests_total{job="gateway"'

_DOORS = 'job=~"gateway|otel-agent"'
_THROTTLED = f"otelcol_login_throttled_requests_total{{{_DOORS}}}"
_SHARE = f'otelcol_login_share{{{_DOORS},kind="items"}}'

LEFT_BEHIND = "obs:gateway_left_behind:bytes"
"""Bytes on the volume of a gateway that is gone. It remembers itself until the pod is back, and is 0 while it is."""
_REMEMBERED = "6h"
"""For so long Prometheus may be away meanwhile."""
BUDGET_RATIO = 0.8
"""Share of a layer's budget of series above which somebody is told."""


def _told_to_try_again() -> str:
    return any_of(
        f"sum by ({_BY}) (rate({metric.format(items)}[2m])) > 0" for metric in _RETRIED for items in _SIGNAL_ITEMS
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
            Recording(
                record="obs:gateway_queue:ratio",
                expr='max by (instance, exporter) (otelcol_exporter_queue_size{job="gateway",'
                'exporter=~"kafkabuckets/.+-disk"} / otelcol_exporter_queue_capacity{job="gateway",'
                'exporter=~"kafkabuckets/.+-disk"})',
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
        ),
    ),
    RuleGroup(
        name="gateway",
        rules=(
            Recording(
                record="obs:gateway_accepted:rate1m",
                expr='sum by (layer, signal) (rate(otelcol_gate_accepted_items_total{job="gateway"}[1m]))',
            ),
            Recording(
                record="obs:gateway_refused:rate5m",
                expr=f"sum by (layer, signal, reason) (rate({_GATE_REFUSED}[5m]))",
            ),
            # A gateway sees a part of a layer's clients, so its own series count against the budget.
            Recording(
                record="obs:gateway_budget:ratio",
                expr=f"max by (layer, signal) ({_SERIES.format('used')} / ignoring (kind) "
                f"({_SERIES.format('budget')} > 0))",
            ),
            # Of the door that has the most: an agent of one node may be used up while others have room.
            Recording(
                record="obs:layer_share:ratio",
                expr=f"max by (layer, signal) (rate(otelcol_login_taken_items_total{{{_DOORS}}}[1m]) "
                f"/ ignoring (kind) {_SHARE})",
            ),
            # `up` of a pod that is only down is there, as 0: such a pod has not sent what was left yet. While it
            # answers, 0 is recorded: else what was recorded before would count again when it goes with an empty queue.
            Recording(
                record=LEFT_BEHIND,
                expr=f"(sum by ({_BY}) (last_over_time({_ON_DISK}[10m])) > 0 "
                f"or last_over_time({LEFT_BEHIND}[{_REMEMBERED}]) > 0) "
                f"unless on ({_BY}) {_UP} or 0 * max by ({_BY}) ({_UP} == 1)",
            ),
            Alert(
                name="GatewayRefusesTelemetry",
                expr=_told_to_try_again(),
                for_="1m",
                severity=Severity.HIGH,
                summary="Gateway {{ $labels.instance }} refuses telemetry",
                description="Its queues are full or its memory is short. Clients are told to try again and keep the "
                "data for as long as they can.",
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
                description="Kafka does not answer, and its disk takes what comes in. When the queue is full, clients "
                "are refused.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} のキュー {{ $labels.exporter }} が半分を超え"
                    "ました",
                    "description_ja": "Kafka が応答せず、受信データがディスクに溜まっています。"
                    "満杯になると送信側を拒否します。",
                },
            ),
            Alert(
                name="GatewaySpills",
                expr=f"sum by ({_BY}, topic) (rate({_SPILLED}[2m])) > 0",
                for_="30s",
                severity=Severity.HIGH,
                summary="Gateway {{ $labels.instance }} writes {{ $labels.topic }} to its disk",
                description="Kafka does not answer in time. What clients send is safe in the queue on disk and follows "
                "later; when the queue is full, clients are refused.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} が {{ $labels.topic }} を"
                    "ディスクに退避しています",
                    "description_ja": "Kafka が時間内に応答しません。データはディスクのキューにあり、後で送られます。"
                    "満杯になると送信側を拒否します。",
                },
            ),
            Alert(
                name="GatewayQueueLeftBehind",
                expr=f"max by ({_BY}) ({LEFT_BEHIND}) > 0",
                for_="10m",
                severity=Severity.HIGH,
                summary="Gateway {{ $labels.instance }} is gone, and its queue on disk was not empty",
                description="Clients were told that what is in it is safe. It is, on the pod's volume, and follows "
                "once the pod is back. An autoscaler, or somebody, took the pod away while Kafka did not answer.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} がなくなり、"
                    "ディスクのキューにデータが残っています",
                    "description_ja": "受領済みのデータがポッドのボリュームに残っています。ポッドを戻すと送られます。",
                },
            ),
            Alert(
                name="GatewayLostTelemetry",
                expr=grew(_LOST, by=f"{_BY}, topic"),
                for_="0s",
                severity=Severity.CRITICAL,
                summary="Kafka will never take some of what gateway {{ $labels.instance }} has for {{ $labels.topic }}",
                description="Kafka refused records for good (no such topic, no permission, too large), and they were "
                "dropped. Of what was on disk, clients had been told that it is safe.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} の {{ $labels.topic }} 宛データの一部が"
                    "失われました",
                    "description_ja": "Kafka が恒久的に拒否したため (トピックなし、権限なし、"
                    "サイズ超過) 破棄されました。ディスク上のものは受領済みです。",
                },
            ),
            Alert(
                name="GateRefuses",
                expr=f"sum by (job, layer, signal, reason) (rate({_GATE_REFUSED}[5m])) > 0",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The gateway refuses {{ $labels.signal }} of layer {{ $labels.layer }}: {{ $labels.reason }}",
                description="A client sends what its layer may not send, what the catalogue does not have, or more "
                "than its budget: a wrong configuration, a new release, or somebody who should not be there.",
                annotations={
                    "summary_ja": "ゲートウェイがレイヤー {{ $labels.layer }} の {{ $labels.signal }} を"
                    "拒否しています: {{ $labels.reason }}",
                    "description_ja": "レイヤーに許可されない、カタログにない、または予算を超えるデータです。"
                    "設定誤り、新しいリリース、または不正な送信者です。",
                },
            ),
            Alert(
                name="GateBudgetNearlyUsed",
                expr=f"obs:gateway_budget:ratio > {BUDGET_RATIO:g}",
                for_="5m",
                severity=Severity.HIGH,
                summary="Layer {{ $labels.layer }} has nearly used up its budget for {{ $labels.signal }}",
                description="It has more time series (or names of spans) than planned. New ones are refused once the "
                "budget is used up; known ones go on.",
                annotations={
                    "summary_ja": "レイヤー {{ $labels.layer }} の {{ $labels.signal }} の予算がほぼ使い切られています",
                    "description_ja": "時系列 (またはスパン名) が計画より多くなっています。"
                    "予算を超えると新しいものは拒否されます。",
                },
            ),
            Alert(
                name="LayerThrottled",
                expr=f"sum by (job, layer, signal, reason) (rate({_THROTTLED}[5m])) > 0",
                for_="5m",
                severity=Severity.HIGH,
                summary="Layer {{ $labels.layer }} sends more {{ $labels.signal }} than its share: "
                "{{ $labels.reason }}",
                description="Its clients are told to come again, and keep what they have for as long as they can. "
                "Other layers do not feel it: that is what shares are for.",
                annotations={
                    "summary_ja": "レイヤー {{ $labels.layer }} の {{ $labels.signal }} が割り当てを超えています "
                    "({{ $labels.reason }})",
                    "description_ja": "送信側は再送を求められ、できる限り保持します。他のレイヤーには影響しません。",
                },
            ),
            Alert(
                name="GateCatalogueRefused",
                expr=grew(
                    'otelcol_gate_catalogue_reloads_total{job="gateway",result="mistake"}', by="job, instance, signal"
                ),
                for_="0s",
                severity=Severity.MEDIUM,
                summary="Gateway {{ $labels.instance }} does not take its new catalogue for {{ $labels.signal }}",
                description="The file has a mistake. The old catalogue stays in use, and with it the old limits.",
                annotations={
                    "summary_ja": "ゲートウェイ {{ $labels.instance }} が新しいカタログを読み込めません "
                    "({{ $labels.signal }})",
                    "description_ja": "ファイルに誤りがあります。古いカタログと制限が使われ続けます。",
                },
            ),
            Alert(
                name="GatewayLoginsFail",
                expr=f'sum by (job) (rate({_LOGINS},reason=~"none|wrong"}}[5m])) > 0.2',
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
            Alert(
                name="GatewayLoginsFlooded",
                expr=f'sum by (job, reason) (rate({_LOGINS},reason=~"busy|flooded|connections"}}[2m])) > 0',
                for_="1m",
                severity=Severity.HIGH,
                summary="More clients call the gateway at once than it takes ({{ $labels.reason }})",
                description="They are told to try again before anything of their calls is read, or their connections "
                "are closed before the handshake. Too many passwords are checked at once, too many calls are in "
                "flight, or too many connections are open: a load that grew, or an attack.",
                annotations={
                    "summary_ja": "ゲートウェイへの同時要求が多すぎます ({{ $labels.reason }})",
                    "description_ja": "要求は読まれる前に再送を求められるか、接続が閉じられます。"
                    "負荷の増加か攻撃です。",
                },
            ),
            Alert(
                name="GatewayRefusesMessages",
                expr=f'sum by (job, reason) (rate({_LOGINS},reason=~"attributes|items|depth|malformed"}}[5m])) > 0',
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The gateway refuses messages before it decodes them: {{ $labels.reason }}",
                description="They would become far larger than they are, or are none of OTLP. No library sends such: a "
                "client is broken, or somebody tries to exhaust the gateway.",
                annotations={
                    "summary_ja": "ゲートウェイが復号前にメッセージを拒否しています: {{ $labels.reason }}",
                    "description_ja": "展開すると極端に大きくなるか、OTLP ではありません。"
                    "送信側の不具合か、ゲートウェイへの攻撃です。",
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
        targets=("AgentCannotSend", "AgentQueueFull", "TelemetryStale", "SloEventsAbsent"),
        reason="Nobody can send: of the layers themselves nothing is known.",
    ),
    Inhibition(
        source=("KafkaTooFewBrokers", "KafkaOfflinePartitions", "KafkaUnderMinIsr"),
        targets=("GatewaySpills",),
        reason="Kafka refuses writes, so they go to disk. If the disk fills, GatewayQueueFull still tells.",
    ),
    Inhibition(
        source=("GatewayQueueFilling",),
        targets=("GatewaySpills",),
        equal=("instance",),
        reason="The queue on disk fills because of what is written to it.",
    ),
    Inhibition(
        source=("GatewayQueueFull",),
        targets=("GatewayQueueFilling",),
        equal=("instance", "exporter"),
        reason="Of one queue, the later threshold says it all.",
    ),
)
