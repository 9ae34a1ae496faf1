"""Rules about Grafana: can people log in, see dashboards, and soon enough (requirements G1, G5, S2)?"""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity, fewer_up

_JOB = 'job="grafana"'
_REQUESTS = "grafana_http_request_duration_seconds"
_LIVE = 'handler!~"/api/live.*"'
"""Without connections that stay open."""
_SOURCE = "grafana_datasource_request_total"
_POOL = "grafana_database_conn"

REPLICAS = 2
SLOW_S = 5
"""Nineteen of twenty answers have to come within so many seconds (requirement S2). Grafana's histogram ends there."""
WRONG_PASSWORDS = 20
"""Within five minutes: more than people mistype, fewer than a program that tries passwords."""


def grafana_rules(replicas: int = REPLICAS) -> tuple[RuleGroup, ...]:
    """Rules for a number of replicas (with an autoscaler: its minimum)."""
    return (_reach(replicas), _INSIDE)


def _reach(replicas: int) -> RuleGroup:
    request_rate = f"sum by (job) (rate({_REQUESTS}_count{{{_JOB},{_LIVE}}}[5m]))"
    return RuleGroup(
        name="grafana",
        rules=(
            Alert(
                name="GrafanaDown",
                expr=fewer_up(_JOB, 1),
                for_="1m",
                severity=Severity.HIGH,
                summary="No Grafana answers",
                description="Nobody sees a dashboard. Telemetry is kept and alerts are told all the same.",
                labels={"job": "grafana"},
                annotations={
                    "summary_ja": "Grafana が 1 台も応答しません",
                    "description_ja": "ダッシュボードを閲覧できません。データの保存と通知は続いています。",
                },
            ),
            Alert(
                name="GrafanaReplicaMissing",
                expr=fewer_up(_JOB, replicas),
                for_="5m",
                severity=Severity.HIGH,
                summary=f"Only {{{{ $value }}}} of {replicas} Grafanas answer",
                description="The others serve everybody, sessions included. If they fail too, nobody sees a dashboard.",
                labels={"job": "grafana"},
                annotations={
                    "summary_ja": f"Grafana が {replicas} 台中 {{{{ $value }}}} 台しか応答しません",
                    "description_ja": "残りの台が全員に応答しています。それも止まると閲覧できません。",
                },
            ),
            Alert(
                name="GrafanaErrors",
                expr=f'sum by (job) (rate({_REQUESTS}_count{{{_JOB},{_LIVE},status_code=~"5.."}}[5m]))'
                f" / {request_rate} > 0.05",
                for_="2m",
                severity=Severity.HIGH,
                summary="{{ $value | humanizePercentage }} of the requests to Grafana fail",
                description="Pages or panels show errors: the database is away or slow, or what panels ask fails.",
                annotations={
                    "summary_ja": "Grafana へのリクエストの {{ $value | humanizePercentage }} が失敗しています",
                    "description_ja": "画面やパネルにエラーが出ます。データベースか照会先に問題があります。",
                },
            ),
            Alert(
                name="GrafanaSlow",
                # One bound of the histogram is written 5 by Grafana and 5.0 by Prometheus.
                expr=f"1 - sum by (job) (rate({_REQUESTS}_bucket"
                f'{{{_JOB},{_LIVE},le=~"{SLOW_S}(\\\\.0)?"}}[5m])) / {request_rate} > 0.05',
                for_="5m",
                severity=Severity.MEDIUM,
                summary=f"{{{{ $value | humanizePercentage }}}} of the answers of Grafana take longer than {SLOW_S} s",
                description="Dashboards are slow: a data source or the database is, or somebody asks for very much.",
                annotations={
                    "summary_ja": "Grafana の応答の {{ $value | humanizePercentage }} が "
                    f"{SLOW_S} 秒を超えています",
                    "description_ja": "ダッシュボードが遅くなっています。"
                    "照会先かデータベースの遅れ、または重い照会です。",
                },
            ),
        ),
    )


_INSIDE = RuleGroup(
    name="grafana-inside",
    rules=(
        Alert(
            name="GrafanaLoginsFail",
            expr=f"sum by (job) (increase(grafana_authn_authn_failed_login_total{{{_JOB}}}[5m])) > {WRONG_PASSWORDS}",
            for_="0s",
            severity=Severity.MEDIUM,
            summary="{{ $value | humanize }} logins at Grafana failed within five minutes",
            description="Somebody tries passwords, or the directory answers nobody. An account rests for five minutes "
            "after five wrong ones.",
            annotations={
                "summary_ja": "5 分間に Grafana へのログインが {{ $value | humanize }} 回失敗しました",
                "description_ja": "パスワードの総当たりか、ディレクトリの障害です。",
            },
        ),
        Alert(
            name="GrafanaDatabasePoolFull",
            expr=f"{_POOL}_in_use{{{_JOB}}} >= 0.9 * {_POOL}_max_open{{{_JOB}}} and {_POOL}_max_open{{{_JOB}}} > 0",
            for_="3m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.instance }} uses {{ $value }} connections to its database, nearly all it may have",
            description="Requests wait for one another: logins and pages become slow, then fail.",
            annotations={
                "summary_ja": "{{ $labels.instance }} の DB 接続が {{ $value }} 本で、上限に近づいています",
                "description_ja": "リクエストが待たされ、ログインや画面が遅くなり、やがて失敗します。",
            },
        ),
        Alert(
            name="GrafanaSourceFails",
            expr=f'sum by (job, datasource) (rate({_SOURCE}{{{_JOB},code=~"401|403|5.."}}[5m]))'
            f" / sum by (job, datasource) (rate({_SOURCE}{{{_JOB}}}[5m])) > 0.1",
            for_="3m",
            severity=Severity.MEDIUM,
            summary="{{ $value | humanizePercentage }} of the questions to {{ $labels.datasource }} fail",
            description="Panels that ask this data source show errors. A refused login counts, a mistyped query not.",
            annotations={
                "summary_ja": "{{ $labels.datasource }} への照会の {{ $value | humanizePercentage }} が失敗しています",
                "description_ja": "この照会先を使うパネルにエラーが出ます。認証の拒否も含みます。",
            },
        ),
        Alert(
            name="GrafanaDashboardsMissing",
            expr=f"max by (job) (grafana_stat_totals_dashboard{{{_JOB}}}) < 1",
            for_="15m",
            severity=Severity.MEDIUM,
            summary="Grafana has no dashboards",
            description="Its database is new or was restored without them. `pulumi up --policy-pack policy` makes them "
            "again.",
            annotations={
                "summary_ja": "Grafana にダッシュボードがありません",
                "description_ja": "データベースが新しいか、復元が不完全です。"
                "`pulumi up --policy-pack policy` で再作成できます。",
            },
        ),
    ),
)

RULES: tuple[RuleGroup, ...] = grafana_rules()
INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("GrafanaDown",),
        targets=("GrafanaReplicaMissing",),
        equal=("job",),
        reason="It says that all are gone, which the other one says of some.",
    ),
    Inhibition(
        source=("GrafanaDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="That every replica is missing is known already.",
    ),
)
