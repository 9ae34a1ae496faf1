"""Rules about Thanos: can metrics be read, from every replica, and soon enough? Are the rulers' alerts raised where
series are divided over shards?

And of the blocks in the object storage: do they arrive, can they be read, are they looked after? That the store gateway
or the compactor does not answer is told by the rules about all targets.
"""

from __future__ import annotations

from components.rules import FRESH_S, Alert, Inhibition, RuleGroup, Severity, any_of, fewer_up, grew

_QUERY = 'job="thanos-query"'
_QUESTIONS = f'{_QUERY},handler=~"query|query_range"'
_CALLS = f'grpc_client_handled_total{{{_QUERY},grpc_service="thanos.Store",grpc_method="Series"'
_SIDECARS = f'thanos_store_nodes_grpc_connections{{{_QUERY},store_type="sidecar"}}'
_SERVERS = 'up{job=~"prometheus-.+"}'
_REPLICAS = f"count(count by (job) (time() - timestamp({_SERVERS}) < {FRESH_S}))"

ALERTMANAGER_PORT = 9093
"""By it Alertmanagers are told from other receivers of alerts (tests compare it with the one at which they listen)."""
SLOW_S = 5
"""P95 of the answers above which somebody is told (requirement S2)."""

QUERY = RuleGroup(
    name="thanos",
    rules=(
        Alert(
            name="ThanosQueryDown",
            expr=fewer_up(_QUERY, 1),
            for_="30s",
            severity=Severity.HIGH,
            summary="No pod of the query layer answers",
            description="Metrics cannot be read: dashboards are empty. They are still stored, and alerts still raised; "
            "but where metrics are in shards, those of the layers are not.",
            labels={"job": "thanos-query"},
            annotations={
                "summary_ja": "照会層のポッドが応答しません",
                "description_ja": "メトリクスを閲覧できません。保存とアラートは続いています"
                "(シャード構成ではレイヤーのアラートは出ません)。",
            },
        ),
        Alert(
            name="ThanosStoreMissing",
            # A pod that reads no replica at all has no such series.
            expr=f"(sum by (job, instance) ({_SIDECARS})"
            f" or 0 * sum by (job, instance) (up{{{_QUERY}}} == 1)) < on () group_left () {_REPLICAS}",
            for_="1m",
            severity=Severity.HIGH,
            summary="Thanos Query {{ $labels.instance }} reads only {{ $value }} replicas",
            description="Answers hold what those replicas have. If the next one goes, nothing can be read.",
            annotations={
                "summary_ja": "Thanos Query {{ $labels.instance }} が {{ $value }} 台のレプリカしか読めません",
                "description_ja": "回答は残りのレプリカの内容だけです。さらに失うと閲覧できません。",
            },
        ),
        Alert(
            name="ThanosSidecarCutOff",
            expr='thanos_sidecar_prometheus_up{job=~"thanos-sidecar-.+"} == 0',
            for_="1m",
            severity=Severity.HIGH,
            summary="{{ $labels.job }} does not reach its Prometheus",
            description="Readers do not see this replica, although it may be running.",
            annotations={
                "summary_ja": "{{ $labels.job }} が自分の Prometheus に到達できません",
                "description_ja": "Prometheus が動いていても、このレプリカは閲覧されません。",
            },
        ),
        Alert(
            name="ThanosPartialAnswers",
            expr=f'sum by (job) (rate({_CALLS},grpc_code!="OK"}}[5m])) / sum by (job) (rate({_CALLS}}}[5m])) > 0.05',
            for_="2m",
            severity=Severity.MEDIUM,
            summary="{{ $value | humanizePercentage }} of the questions to replicas fail",
            description="Answers leave out what the replica would have added, and carry a warning that few people see.",
            annotations={
                "summary_ja": "レプリカへの照会の {{ $value | humanizePercentage }} が失敗しています",
                "description_ja": "回答からそのレプリカの分が欠けます。",
            },
        ),
        Alert(
            name="ThanosQueryErrors",
            expr=f'sum by (job) (rate(http_requests_total{{{_QUESTIONS},code=~"5.."}}[5m]))'
            f" / sum by (job) (rate(http_requests_total{{{_QUESTIONS}}}[5m])) > 0.05",
            for_="1m",
            severity=Severity.HIGH,
            summary="{{ $value | humanizePercentage }} of the queries for metrics fail",
            description="Dashboards show errors or gaps.",
            annotations={
                "summary_ja": "メトリクス照会の {{ $value | humanizePercentage }} が失敗しています",
                "description_ja": "ダッシュボードにエラーや欠落が出ます。",
            },
        ),
        Alert(
            name="ThanosQuerySlow",
            expr="histogram_quantile(0.95, sum by (job, le) "
            f"(rate(http_request_duration_seconds_bucket{{{_QUESTIONS}}}[5m]))) > {SLOW_S}",
            for_="5m",
            severity=Severity.MEDIUM,
            summary="One in twenty queries for metrics takes longer than {{ $value | humanizeDuration }}",
            description="Dashboards are slow. A replica is slow or catching up, or somebody asks for very much.",
            annotations={
                "summary_ja": "メトリクス照会の 20 件に 1 件が {{ $value | humanizeDuration }} を超えています",
                "description_ja": "ダッシュボードが遅くなっています。レプリカの遅れか、重い照会です。",
            },
        ),
    ),
)


_SIDECAR = 'job=~"thanos-sidecar-.+"'
_STORE = 'job="thanos-store"'
_COMPACT = 'job="thanos-compact"'

_BY = "by (job, instance)"
_UPLOADED = f"thanos_objstore_bucket_last_successful_upload_time{{{_SIDECAR}}}"
_SINCE_START = f"max {_BY} (process_start_time_seconds{{{_SIDECAR}}}) and on (job, instance) {_UPLOADED}"
_STORES = f'thanos_store_nodes_grpc_connections{{{_QUERY},store_type="store"}}'
_ROUNDS = f"thanos_compact_iterations_total{{{_COMPACT}}}"
_BLOCKS_MISSED = 3
_ROUND_H = 6


def block_rules(block_duration_s: int) -> RuleGroup:
    """Rules for sidecars that ship a block every ``block_duration_s`` seconds."""
    return RuleGroup(
        name="blocks",
        rules=(*_shipping(_BLOCKS_MISSED * block_duration_s), *_reading(), _compacting()),
    )


def _increase(counter: str, job: str, window: str) -> str:
    return f"sum {_BY} (increase({counter}{{{job}}}[{window}]))"


def _shipping(most_s: int) -> tuple[Alert, ...]:
    shipper = "thanos_shipper"
    return (
        Alert(
            name="ThanosShipFailing",
            expr=any_of(
                (
                    # It tries twice a minute, and where one block fails goes on with the next.
                    f"({_increase(f'{shipper}_dir_sync_failures_total', _SIDECAR, '10m')} > 3"
                    f" unless {_increase(f'{shipper}_dir_syncs_total', _SIDECAR, '10m')} > 0)",
                    f"{_increase(f'{shipper}_upload_failures_total', _SIDECAR, '10m')} > 5",
                    f"{_increase(f'{shipper}_corrupted_blocks_total', _SIDECAR, '10m')} > 0",
                )
            ),
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} cannot ship blocks to the object storage",
            description="What was collected since then is on the replica's volume alone, and goes with it. The storage "
            "does not answer or refuses, or a block is damaged.",
            annotations={
                "summary_ja": "{{ $labels.job }} がブロックをオブジェクトストレージへ転送できません",
                "description_ja": "以後のデータはレプリカのボリュームにしかありません。"
                "ストレージの無応答か拒否、またはブロックの破損です。",
            },
        ),
        Alert(
            name="ThanosShipStalled",
            expr=f"time() - (max {_BY} ({_UPLOADED} > 0) or {_SINCE_START}) > {most_s}",
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} has shipped no block for {{ $value | humanizeDuration }}",
            description=f"{_BLOCKS_MISSED} blocks are missing in the object storage. Prometheus makes none, or the "
            "sidecar does not see them.",
            annotations={
                "summary_ja": "{{ $labels.job }} が {{ $value | humanizeDuration }} ブロックを転送していません",
                "description_ja": f"{_BLOCKS_MISSED} ブロック分が保管されていません。Prometheus がブロックを"
                "作らないか、サイドカーから見えません。",
            },
        ),
    )


def _reading() -> tuple[Alert, ...]:
    syncs, failures = (_increase(f"thanos_blocks_meta_sync{kind}_total", _STORE, "15m") for kind in ("s", "_failures"))
    return (
        Alert(
            name="ThanosHistoryMissing",
            # A pod of the query that reads no gateway at all has no such series.
            expr=f"(sum {_BY} ({_STORES}) or 0 * sum {_BY} (up{{{_QUERY}}} == 1))"
            f" < on () group_left () count(up{{{_STORE}}} == 1)",
            for_="2m",
            severity=Severity.MEDIUM,
            summary="Thanos Query {{ $labels.instance }} reads only {{ $value }} store gateways",
            description="With none, answers leave out everything that is older than what Prometheus keeps.",
            annotations={
                "summary_ja": "Thanos Query {{ $labels.instance }} が {{ $value }} 台のストアゲートウェイしか"
                "読めません",
                "description_ja": "0 台なら、Prometheus の保持期間より古いデータが回答から欠けます。",
            },
        ),
        Alert(
            name="ThanosHistoryStale",
            expr=any_of(
                (
                    f"{failures} / ({syncs} > 0) > 0.9",
                    f"{_increase('thanos_bucket_store_block_load_failures_total', _STORE, '15m')} > 5",
                )
            ),
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} {{ $labels.instance }} does not see what is new in the object storage",
            description="The storage does not answer or refuses, or a block there is damaged. Answers from the gateway "
            "may lack blocks or fail.",
            annotations={
                "summary_ja": "{{ $labels.job }} {{ $labels.instance }} が新しいブロックを認識できません",
                "description_ja": "ストレージの無応答か拒否、またはブロックの破損です。"
                "回答が欠けたり失敗したりする恐れがあります。",
            },
        ),
    )


def _compacting() -> Alert:
    return Alert(
        name="ThanosCompactorHalted",
        expr=any_of(
            (
                f"max {_BY} (thanos_compact_halted{{{_COMPACT}}}) == 1",
                f"(sum {_BY} (increase({_ROUNDS}[{_ROUND_H}h])) == 0 and on (job, instance)"
                f" time() - process_start_time_seconds{{{_COMPACT}}} > {_ROUND_H * 3600})",
            )
        ),
        for_="10m",
        severity=Severity.MEDIUM,
        summary="The compactor of metrics has stopped working",
        description="Blocks are kept and can be read and restored; but they are not merged, and what is too old is not "
        "removed. The object storage grows.",
        annotations={
            "summary_ja": "メトリクスのコンパクターが停止しています",
            "description_ja": "ブロックの閲覧と復元は可能ですが、統合も期限切れの削除も行われず、"
            "ストレージが増え続けます。",
        },
    )


_RULER = 'job=~"thanos-rule-.+"'
_ALERTMANAGERS = f'{_RULER},alertmanager=~".+:{ALERTMANAGER_PORT}"'
"""Receivers by their addresses, without the service of alert events, which takes alerts but notifies nobody."""


def _in_rulers(counter: str, window: str) -> str:
    return _increase(counter, _RULER, window)


def _refused() -> str:
    """Whether a ruler's alerts reach no Alertmanager; Thanos counts them as dropped only if nobody else takes them."""
    sender = "thanos_alert_sender"
    taken = grew(f"{sender}_alerts_sent_total{{{_ALERTMANAGERS}}}", by="job, instance", window="2m")
    return (
        f"({_increase(f'{sender}_errors_total', _ALERTMANAGERS, '2m')} > 0 unless ({taken}))"
        f" or {_in_rulers(f'{sender}_alerts_dropped_total', '2m')}"
        f" + {_in_rulers('thanos_alert_queue_alerts_dropped_total', '2m')} > 0"
    )


RULER_RULES: tuple[RuleGroup, ...] = (
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
                expr=f"{_in_rulers('prometheus_rule_evaluation_failures_total', '5m')} > 0",
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
                expr=f"{_in_rulers('thanos_rule_evaluation_with_warnings_total', '2m')} > 0",
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
                expr=_refused(),
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

RULER_INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("ThanosQueryDown", "ThanosRulersDown"),
        targets=("ThanosRulerFails", "ThanosRulerReadsPart"),
        reason="Rules that read nothing fail.",
    ),
)
