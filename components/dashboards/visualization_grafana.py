"""Rows about Grafana: is it asked, does it answer in time, who comes in, and what do data sources do (G1, G5, S2).

Grafana counts logins and people, and no sessions: who is signed in now is in its database only.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Limit, Query, Row, bars, series, stat

_JOB = 'job="grafana"'
_ASKED = f'{_JOB},handler!~"/api/live.*"'
"""Without connections that stay open."""
_SECONDS = "grafana_http_request_duration_seconds"
_SOURCE = "grafana_datasource_request"
_POOL = "grafana_database_conn"
_ALL = f"sum(rate({_SECONDS}_count{{{_ASKED}}}[5m]))"
SLOW = (Limit(value=limits.ANSWER_S, label="GrafanaSlow", tone="warning"),)
SLOWEST = f"histogram_quantile(0.95, sum by (le) (rate({_SECONDS}_bucket{{{_ASKED}}}[5m])))"
FAILED = f'(sum(rate({_SECONDS}_count{{{_ASKED},status_code=~"5.."}}[5m])) or 0 * {_ALL}) / {_ALL}'
"""Share of all requests."""

REQUESTS = Row(
    title="Grafana: requests",
    panels=(
        series(
            "Requests by answer",
            "Requests per second, by the status of the answer. 401 and 403: not signed in, or not allowed.",
            "{request}/s",
            Query(expr=f"sum by (status_code) (rate({_SECONDS}_count{{{_ASKED}}}[{RATE}]))", legend="{{status_code}}"),
            stacked=True,
        ),
        series(
            "Time of answers",
            "Half, nineteen of twenty and 99 of 100 answers are not slower, over five minutes. Grafana's own measure "
            "ends at 5 s: what is above is drawn there.",
            "s",
            *(
                Query(
                    expr=f"histogram_quantile({percent / 100:g}, sum by (le) "
                    f"(rate({_SECONDS}_bucket{{{_ASKED}}}[5m])))",
                    legend=f"P{percent}",
                )
                for percent in (50, 95, 99)
            ),
            limits=SLOW,
        ),
        series(
            "Share of requests that fail",
            "Answers with a status from 500 on, over five minutes.",
            "1",
            Query(expr=FAILED, legend="failed"),
            limits=limits.platform("GrafanaErrors"),
        ),
        bars(
            "Slowest requests",
            "P95 by what is asked for, over fifteen minutes: the ten slowest.",
            "s",
            Query(
                expr=f"histogram_quantile(0.95, sum by (handler, le) (rate({_SECONDS}_bucket{{{_ASKED}}}[15m]))) > 0",
                legend="{{handler}}",
            ),
            limits=SLOW,
            width=12,
            top=10,
        ),
        series(
            "Requests in work",
            "Requests that each replica has not answered yet. Growing ones wait for the database or a data source.",
            "{request}",
            Query(expr=f"sum by (instance) (grafana_http_request_in_flight{{{_JOB}}})", legend="{{instance}}"),
            width=12,
        ),
    ),
)

PEOPLE = Row(
    title="Grafana: people and data sources",
    panels=(
        stat(
            "People",
            "Those who used Grafana within thirty days, and all that it knows. It tells no number of sessions.",
            "{person}",
            Query(expr=f"max(grafana_stat_active_users{{{_JOB}}})", legend="within 30 days"),
            Query(expr=f"max(grafana_stat_total_users{{{_JOB}}})", legend="known"),
            width=8,
            height=8,
        ),
        series(
            "Logins",
            "Logins within five minutes; programs that show their password with every request count each time.",
            "{login}",
            Query(
                expr=f"sum(increase(grafana_authn_authn_successful_login_total{{{_JOB}}}[5m])) or vector(0)",
                legend="accepted",
            ),
            Query(
                expr=f"sum(increase(grafana_authn_authn_failed_login_total{{{_JOB}}}[5m])) or vector(0)",
                legend="refused",
            ),
        ),
        series(
            "Refused logins",
            "Refused logins within five minutes. Above the limit, a program tries passwords, or the directory is away.",
            "{login}",
            Query(
                expr=f"sum(increase(grafana_authn_authn_failed_login_total{{{_JOB}}}[5m])) or vector(0)",
                legend="refused",
            ),
            limits=limits.platform("GrafanaLoginsFail"),
        ),
        series(
            "Data sources: time of answers",
            "P95 of each data source over five minutes; 0 where nobody asked.",
            "s",
            Query(
                expr=f"(histogram_quantile(0.95, sum by (datasource, le) (rate({_SOURCE}_duration_seconds_bucket"
                f"{{{_JOB}}}[5m]))) >= 0) or 0 * sum by (datasource) (rate({_SOURCE}_total{{{_JOB}}}[5m]))",
                legend="{{datasource}}",
            ),
        ),
        series(
            "Data sources: share of questions that fail",
            "Refused logins and broken answers of each data source over five minutes; a mistyped query does not count.",
            "1",
            Query(
                expr=f'sum by (datasource) (rate({_SOURCE}_total{{{_JOB},code=~"401|403|5.."}}[5m]))'
                f" / (sum by (datasource) (rate({_SOURCE}_total{{{_JOB}}}[5m])) > 0)"
                f" or 0 * sum by (datasource) (rate({_SOURCE}_total{{{_JOB}}}[5m]))",
                legend="{{datasource}}",
            ),
            limits=limits.platform("GrafanaSourceFails"),
        ),
        series(
            "Connections to the database",
            "Share in use of the connections that each replica may have. At the limit, requests wait for one another.",
            "1",
            Query(
                expr=f"max by (instance) ({_POOL}_in_use{{{_JOB}}})"
                f" / (max by (instance) ({_POOL}_max_open{{{_JOB}}}) > 0)",
                legend="{{instance}}",
            ),
            limits=limits.platform("GrafanaDatabasePoolFull"),
        ),
    ),
)
