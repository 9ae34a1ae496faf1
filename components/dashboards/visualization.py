"""Visualization: do Grafana, its database and the reports do what people wait for? (requirements G1, G5, R1, S2)

Grafana counts logins and people, and no sessions: who is signed in now is in its database only.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Limit, Query, Row, State, bars, series, stat, table

_POSTGRES = 'job="postgres"'
_BEHIND = f"max by (job, instance, application_name) (pg_stat_replication_pg_wal_lsn_diff{{{_POSTGRES}}})"
_OWN = 'datname!~"template.*|"'
_ROLES = (State(value=0, text="takes writes", tone="good"), State(value=1, text="follows", tone="note"))
_ANSWERS = (State(value=1, text="answers", tone="good"), State(value=0, text="does not answer", tone="bad"))

DATABASE = Row(
    title="PostgreSQL",
    panels=(
        stat(
            "Servers",
            "Whether each server answers its exporter.",
            "",
            Query(expr=f"max by (instance) (pg_up{{{_POSTGRES}}})", legend="{{instance}}"),
            states=_ANSWERS,
            width=8,
            height=5,
        ),
        stat(
            "Roles",
            "Exactly one server takes writes. A server that does not answer has no role.",
            "",
            Query(expr=f"max by (instance) (pg_replication_is_replica{{{_POSTGRES}}})", legend="{{instance}}"),
            states=_ROLES,
            width=8,
            height=5,
        ),
        stat(
            "Damaged pages",
            "Pages that did not fit their checksum when they were read. None is right: the disk gave back other bytes.",
            "{page}",
            Query(expr=f"sum(pg_checksum_failures{{{_POSTGRES}}})", legend="damaged"),
            limits=limits.at_most("PostgresChecksumFailures"),
            height=5,
        ),
        stat(
            "Deadlocks",
            "Transactions of the last hour that PostgreSQL ended since they stood in each other's way.",
            "{transaction}",
            Query(
                expr=f"round(sum(increase(pg_stat_database_deadlocks{{{_POSTGRES},{_OWN}}}[1h])))",
                legend="last hour",
            ),
            limits=limits.at_most("PostgresDeadlocks", tone="note"),
            height=5,
        ),
        series(
            "Standbys behind",
            "Bytes of the log that each standby has not replayed yet.",
            "By",
            Query(expr=f"max by (application_name) ({_BEHIND})", legend="{{application_name}}"),
        ),
        series(
            "Standbys behind, of the log that is kept",
            "At 100 % the log that a standby still needs is gone, and the standby has to be filled anew.",
            "1",
            Query(
                expr=f"max by (application_name) ({_BEHIND} / on (job, instance) group_left () "
                f"max by (job, instance) (pg_settings_wal_keep_size_bytes{{{_POSTGRES}}}))",
                legend="{{application_name}}",
            ),
            limits=limits.platform("PostgresReplicationLag"),
        ),
        series(
            "Oldest transaction",
            "How long the oldest transaction of each server has run. What is deleted meanwhile is not cleaned up.",
            "s",
            Query(
                expr=f"max by (instance) (pg_long_running_transactions_oldest_timestamp_seconds{{{_POSTGRES}}})",
                legend="{{instance}}",
            ),
            limits=limits.platform("PostgresLongTransaction"),
        ),
        series(
            "Connections",
            "Connections to each database, on all servers.",
            "{connection}",
            Query(
                expr=f"sum by (datname) (pg_stat_database_numbackends{{{_POSTGRES},{_OWN}}})",
                legend="{{datname}}",
            ),
            stacked=True,
        ),
        bars(
            "Connections of the most allowed",
            "Share that is taken on each server. When an owner has none left, its programs fail to connect.",
            "1",
            Query(expr="max by (instance) (obs:postgres_connections_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("PostgresConnectionsNearLimit"),
        ),
        bars(
            "Volumes",
            "Share of each server's volume that databases and their log take. A server whose volume is full stops.",
            "1",
            Query(expr="max by (instance) (obs:postgres_disk_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("PostgresDiskFilling"),
        ),
        series(
            "Size of the databases",
            "Bytes of each database, without the log.",
            "By",
            Query(expr=f"max by (datname) (pg_database_size_bytes{{{_POSTGRES},{_OWN}}})", legend="{{datname}}"),
            width=12,
        ),
        series(
            "Transactions",
            "Transactions per second: those that were kept, and those that were taken back.",
            "{transaction}/s",
            Query(
                expr=f"sum(rate(pg_stat_database_xact_commit{{{_POSTGRES},{_OWN}}}[{RATE}]))",
                legend="kept",
            ),
            Query(
                expr=f"sum(rate(pg_stat_database_xact_rollback{{{_POSTGRES},{_OWN}}}[{RATE}]))",
                legend="taken back",
            ),
            width=12,
        ),
    ),
)


_GRAFANA = 'job="grafana"'
_ASKED = f'{_GRAFANA},handler!~"/api/live.*"'
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
            Query(expr=f"sum by (instance) (grafana_http_request_in_flight{{{_GRAFANA}}})", legend="{{instance}}"),
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
            Query(expr=f"max(grafana_stat_active_users{{{_GRAFANA}}})", legend="within 30 days"),
            Query(expr=f"max(grafana_stat_total_users{{{_GRAFANA}}})", legend="known"),
            width=8,
            height=8,
        ),
        series(
            "Logins",
            "Logins within five minutes; programs that show their password with every request count each time.",
            "{login}",
            Query(
                expr=f"sum(increase(grafana_authn_authn_successful_login_total{{{_GRAFANA}}}[5m])) or vector(0)",
                legend="accepted",
            ),
            Query(
                expr=f"sum(increase(grafana_authn_authn_failed_login_total{{{_GRAFANA}}}[5m])) or vector(0)",
                legend="refused",
            ),
        ),
        series(
            "Refused logins",
            "Refused logins within five minutes. Above the limit, a program tries passwords, or the directory is away.",
            "{login}",
            Query(
                expr=f"sum(increase(grafana_authn_authn_failed_login_total{{{_GRAFANA}}}[5m])) or vector(0)",
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
                f"{{{_GRAFANA}}}[5m]))) >= 0) or 0 * sum by (datasource) (rate({_SOURCE}_total{{{_GRAFANA}}}[5m]))",
                legend="{{datasource}}",
            ),
        ),
        series(
            "Data sources: share of questions that fail",
            "Refused logins and broken answers of each data source over five minutes; a mistyped query does not count.",
            "1",
            Query(
                expr=f'sum by (datasource) (rate({_SOURCE}_total{{{_GRAFANA},code=~"401|403|5.."}}[5m]))'
                f" / (sum by (datasource) (rate({_SOURCE}_total{{{_GRAFANA}}}[5m])) > 0)"
                f" or 0 * sum by (datasource) (rate({_SOURCE}_total{{{_GRAFANA}}}[5m]))",
                legend="{{datasource}}",
            ),
            limits=limits.platform("GrafanaSourceFails"),
        ),
        series(
            "Connections to the database",
            "Share in use of the connections that each replica may have. At the limit, requests wait for one another.",
            "1",
            Query(
                expr=f"max by (instance) ({_POOL}_in_use{{{_GRAFANA}}})"
                f" / (max by (instance) ({_POOL}_max_open{{{_GRAFANA}}}) > 0)",
                legend="{{instance}}",
            ),
            limits=limits.platform("GrafanaDatabasePoolFull"),
        ),
    ),
)


_REPORT_SERVER = 'job="report-server"'
_DUE = f"max by (kind) (report_due_timestamp_seconds{{{_REPORT_SERVER}}})"
_GRAFANAS = 2
"""With one, nobody sees dashboards while it restarts."""

_NOW = Row(
    title="Now",
    panels=(
        stat(
            "Grafanas",
            "Replicas that answer Prometheus. Any of them serves everybody.",
            "{replica}",
            Query(expr='sum(up{job="grafana"})', legend="answer"),
            limits=limits.at_least("GrafanaReplicaMissing", _GRAFANAS),
        ),
        stat(
            "Answers of Grafana",
            "Nineteen of twenty are not slower, over five minutes.",
            "s",
            Query(expr=SLOWEST, legend="P95"),
            limits=SLOW,
        ),
        stat(
            "Requests that fail",
            "Share of all requests to Grafana, over five minutes.",
            "1",
            Query(expr=FAILED, legend="failed"),
            limits=limits.platform("GrafanaErrors"),
        ),
        stat(
            "Standbys that do not follow",
            "Standbys of PostgreSQL that there shall be and that are not there.",
            "{server}",
            Query(expr="max(pg_standbys_wanted - pg_standbys_streaming)", legend="missing"),
            limits=limits.at_most("PostgresStandbyMissing"),
        ),
        stat(
            "Reports that are missing",
            "Kinds whose next report should be there and is not.",
            "{report}",
            Query(expr=f"count({_DUE} < time()) or vector(0)", legend="missing"),
            limits=limits.at_most("ReportMissing", tone="warning"),
        ),
        stat(
            "Report servers",
            "Pods that answer. Reports are made, stored and sent without them, and missing ones raise no alert.",
            "{replica}",
            Query(expr=f"sum(up{{{_REPORT_SERVER}}})", legend="answer"),
            limits=limits.at_least("ReportServerDown", 1),
        ),
    ),
)

_REPORTS = Row(
    title="Reports",
    panels=(
        table(
            "Reports",
            "Of each kind: how many are stored, how long ago the newest one was, and how long ago the last run ended.",
            {"kind": "Kind"},
            Query(expr=f"max by (kind) (report_stored{{{_REPORT_SERVER}}})", legend="Stored"),
            Query(
                expr=f"time() - max by (kind) (report_newest_timestamp_seconds{{{_REPORT_SERVER}}})",
                legend="Age of the newest",
                unit="s",
            ),
            Query(
                expr=f"time() - max by (kind) (report_newest_period_end_timestamp_seconds{{{_REPORT_SERVER}}})",
                legend="Its period ended",
                unit="s",
            ),
            Query(
                expr=f"time() - max by (kind) (report_last_run_timestamp_seconds{{{_REPORT_SERVER}}})",
                legend="Last run",
                unit="s",
            ),
            width=12,
            height=7,
        ),
        bars(
            "Time until the next report is missing",
            "Below zero it is: it should have been stored by then.",
            "s",
            Query(expr=f"{_DUE} - time()", legend="{{kind}}"),
            limits=limits.OVERDUE,
            width=6,
            height=7,
        ),
        stat(
            "Last runs",
            "How the last run of each kind ended: made, stored and sent, or not.",
            "",
            Query(expr=f"1 - min by (kind) (report_last_run_failed{{{_REPORT_SERVER}}})", legend="{{kind}}"),
            states=limits.WORKS,
            width=3,
            height=7,
        ),
        stat(
            "Last poll",
            "Time since the report server could last read the object storage. Beyond the limit all of this row is old.",
            "s",
            Query(expr=f"time() - max(report_server_read_timestamp_seconds{{{_REPORT_SERVER}}})", legend="ago"),
            limits=limits.platform("ReportStorageUnreadable"),
            width=3,
            height=7,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="visualization",
    title="Grafana, database and reports",
    description="Do Grafana and its database answer in time, who comes in, and are the reports there?",
    tags=("operations", "visualization"),
    rows=(_NOW, REQUESTS, PEOPLE, DATABASE, _REPORTS),
)
"""For those who run what people read."""
