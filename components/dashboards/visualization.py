"""Visualization: do Grafana, its database and the reports do what people wait for? (requirements G1, G5, R1, S2)"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import Dashboard, Query, Row, bars, stat, table
from components.dashboards.visualization_database import DATABASE
from components.dashboards.visualization_grafana import FAILED, PEOPLE, REQUESTS, SLOW, SLOWEST

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
