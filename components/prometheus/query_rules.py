"""Rules about Thanos: can metrics be read, from every replica, and soon enough?"""

from __future__ import annotations

from components.alerting.promql import fewer_up
from components.rules import Alert, RuleGroup, Severity

_JOB = 'job="thanos-query"'
_QUESTIONS = f'{_JOB},handler=~"query|query_range"'
_CALLS = f'grpc_client_handled_total{{{_JOB},grpc_service="thanos.Store",grpc_method="Series"'
_CONNECTIONS = f'thanos_store_nodes_grpc_connections{{{_JOB},store_type="sidecar"}}'
_REPLICAS = 'count(count by (job) (up{job=~"prometheus-.+"}))'

SLOW_S = 5
"""P95 of the answers above which somebody is told (requirement S2)."""

QUERY = RuleGroup(
    name="thanos",
    rules=(
        Alert(
            name="ThanosQueryDown",
            expr=fewer_up(_JOB, 1),
            for_="30s",
            severity=Severity.HIGH,
            summary="No pod of the query layer answers",
            description="Metrics cannot be read: dashboards are empty. They are still stored, and alerts still raised.",
            labels={"job": "thanos-query"},
            annotations={
                "summary_ja": "照会層のポッドが応答しません",
                "description_ja": "メトリクスを閲覧できません。保存とアラートは続いています。",
            },
        ),
        Alert(
            name="ThanosStoreMissing",
            # A pod that reads no replica at all has no such series.
            expr=f"(sum by (job, instance) ({_CONNECTIONS})"
            f" or 0 * sum by (job, instance) (up{{{_JOB}}} == 1)) < on () group_left () {_REPLICAS}",
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
