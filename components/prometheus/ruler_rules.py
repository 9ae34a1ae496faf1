"""Rules about the rulers: are the layers' alerts raised where series are divided over shards?"""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity, fewer_up

_RULER = 'job=~"thanos-rule-.+"'


def _increase(counter: str, window: str) -> str:
    return f"sum by (job, instance) (increase({counter}{{{_RULER}}}[{window}]))"


RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="rulers",
        rules=(
            Alert(
                name="ThanosRulersDown",
                expr=fewer_up(_RULER, 1),
                for_="30s",
                severity=Severity.CRITICAL,
                summary="No ruler answers: alerts of the layers are not raised",
                description="Metrics are divided over shards: only the rulers evaluate what is about all of them. "
                "Telemetry is stored and can be read; nobody is notified of what it says.",
                labels={"job": "thanos-rule"},
                annotations={
                    "summary_ja": "ルーラーが応答せず、レイヤーのアラートが発報されません",
                    "description_ja": "シャード全体にわたるルールはルーラーだけが評価します。"
                    "データの保存と閲覧は続いていますが、異常は通知されません。",
                },
            ),
            Alert(
                name="ThanosRulerFails",
                expr=f"{_increase('prometheus_rule_evaluation_failures_total', '5m')} > 0",
                for_="1m",
                severity=Severity.HIGH,
                summary="Rules of {{ $labels.instance }} fail",
                description="The read address does not answer it, or a rule is wrong. If that is so for every ruler, "
                "alerts of the layers are not raised.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のルールの評価に失敗しています",
                    "description_ja": "照会層の無応答か、ルールの誤りです。全台ならレイヤーのアラートが出ません。",
                },
            ),
            Alert(
                name="ThanosRulerReadsPart",
                expr=f"{_increase('thanos_rule_evaluation_with_warnings_total', '2m')} > 0",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="{{ $labels.instance }} evaluates rules on a part of the metrics",
                description="A store does not answer the read address. Where the other replica of the same shard does, "
                "nothing is missing; else rules do not see this shard.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} が一部のメトリクスだけでルールを評価しています",
                    "description_ja": "照会層に応答しないストアがあります。同じシャードのもう一方が応答していれば"
                    "欠落はありません。",
                },
            ),
            Alert(
                name="ThanosRulerCannotNotify",
                expr=f"{_increase('thanos_alert_sender_alerts_dropped_total', '2m')}"
                f" + {_increase('thanos_alert_queue_alerts_dropped_total', '2m')} > 0",
                for_="30s",
                severity=Severity.HIGH,
                summary="Nobody takes the alerts of {{ $labels.instance }}",
                description="No Alertmanager takes alerts from it. If that is so for every ruler, nobody is notified "
                "of what layers report.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のアラートを受け取る相手がいません",
                    "description_ja": "Alertmanager が受け取りません。全台ならレイヤーの異常は誰にも通知されません。",
                },
            ),
        ),
    ),
)
"""Rules for a platform with rulers."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("ThanosQueryDown", "ThanosRulersDown"),
        targets=("ThanosRulerFails", "ThanosRulerReadsPart"),
        reason="Rules that read nothing fail.",
    ),
)
