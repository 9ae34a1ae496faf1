"""Scenarios of the alerts about Grafana."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_FIRST = 'job="grafana",instance="grafana-0"'
_SECOND = 'job="grafana",instance="grafana-1"'
_REQUESTS = "grafana_http_request_duration_seconds"
_DASHBOARD = 'handler="/api/dashboards/uid/:uid",method="GET"'
_LIVE = 'handler="/api/live/ws",method="GET"'
_FAILED = "grafana_authn_authn_failed_login_total"
_FORM = 'client="auth.client.form"'
_SOURCE = "grafana_datasource_request_total"
_POOL = "grafana_database_conn"
_DASHBOARDS = "grafana_stat_totals_dashboard"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="GrafanaDown",
        bad={f"up{{{_FIRST}}}": "1x9 0x30", f"up{{{_SECOND}}}": "1x9 stale"},
        good={f"up{{{_FIRST}}}": "1x9 0x30", f"up{{{_SECOND}}}": "1x40"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "grafana"},
    ),
    Scenario(
        alert="GrafanaReplicaMissing",
        bad={f"up{{{_FIRST}}}": "1x9 0x30", f"up{{{_SECOND}}}": "1x40"},
        # A replica that is rolled is back in time.
        good={f"up{{{_FIRST}}}": "1x9 0x8 1x30", f"up{{{_SECOND}}}": "1x40"},
        silent_at="9m45s",
        firing_at="10m15s",
        labels={"job": "grafana"},
    ),
    Scenario(
        alert="GrafanaErrors",
        bad={
            f'{_REQUESTS}_count{{{_FIRST},{_DASHBOARD},status_code="200"}}': "0+90x40",
            f'{_REQUESTS}_count{{{_SECOND},{_DASHBOARD},status_code="500"}}': "0x9 10+10x31",
        },
        good={
            f'{_REQUESTS}_count{{{_FIRST},{_DASHBOARD},status_code="200"}}': "0+90x40",
            f'{_REQUESTS}_count{{{_SECOND},{_DASHBOARD},status_code="404"}}': "0x9 10+10x31",
        },
        silent_at="8m",
        firing_at="11m",
        labels={"job": "grafana"},
    ),
    Scenario(
        alert="GrafanaSlow",
        bad={
            f'{_REQUESTS}_count{{{_FIRST},{_DASHBOARD},status_code="200"}}': "0+100x60",
            # As Prometheus writes the bound, and as Grafana does.
            f'{_REQUESTS}_bucket{{{_FIRST},{_DASHBOARD},status_code="200",le="5.0"}}': "0+90x60",
        },
        # Connections that stay open take as long as people stay.
        good={
            f'{_REQUESTS}_count{{{_FIRST},{_DASHBOARD},status_code="200"}}': "0+100x60",
            f'{_REQUESTS}_bucket{{{_FIRST},{_DASHBOARD},status_code="200",le="5"}}': "0+100x60",
            f'{_REQUESTS}_count{{{_FIRST},{_LIVE},status_code="200"}}': "0+100x60",
            f'{_REQUESTS}_bucket{{{_FIRST},{_LIVE},status_code="200",le="5"}}': "0x60",
        },
        silent_at="5m15s",
        firing_at="6m15s",
        labels={"job": "grafana"},
    ),
    Scenario(
        alert="GrafanaLoginsFail",
        bad={
            f"{_FAILED}{{{_FIRST},{_FORM}}}": "0x9 5+5x30",
            f'{_FAILED}{{{_SECOND},client="auth.client.basic"}}': "0x9 5+5x30",
        },
        good={f"{_FAILED}{{{_FIRST},{_FORM}}}": "0x9 5 10 15 20x30"},
        silent_at="5m15s",
        firing_at="7m",
        labels={"job": "grafana"},
    ),
    Scenario(
        alert="GrafanaDatabasePoolFull",
        bad={f"{_POOL}_in_use{{{_FIRST}}}": "3x9 18x30", f"{_POOL}_max_open{{{_FIRST}}}": "20x40"},
        good={
            f"{_POOL}_in_use{{{_FIRST}}}": "3x9 17x30",
            f"{_POOL}_max_open{{{_FIRST}}}": "20x40",
            # No bound at all.
            f"{_POOL}_in_use{{{_SECOND}}}": "3x9 18x30",
            f"{_POOL}_max_open{{{_SECOND}}}": "0x40",
        },
        silent_at="7m45s",
        firing_at="8m15s",
        labels={"job": "grafana", "instance": "grafana-0"},
    ),
    Scenario(
        alert="GrafanaSourceFails",
        bad={
            f'{_SOURCE}{{{_FIRST},datasource="metrics",code="200"}}': "0+40x60",
            f'{_SOURCE}{{{_FIRST},datasource="metrics",code="502"}}': "0x9 10+10x50",
            f'{_SOURCE}{{{_FIRST},datasource="logs",code="200"}}': "0+40x60",
        },
        # Mistyped queries.
        good={
            f'{_SOURCE}{{{_FIRST},datasource="metrics",code="200"}}': "0+40x60",
            f'{_SOURCE}{{{_FIRST},datasource="metrics",code="400"}}': "0x9 10+10x50",
        },
        silent_at="9m",
        firing_at="11m",
        labels={"job": "grafana", "datasource": "metrics"},
    ),
    Scenario(
        alert="GrafanaDashboardsMissing",
        bad={f"{_DASHBOARDS}{{{_FIRST}}}": "10x9 0x60", f"{_DASHBOARDS}{{{_SECOND}}}": "10x9 0x60"},
        # One of them has not counted yet.
        good={f"{_DASHBOARDS}{{{_FIRST}}}": "10x9 0x60", f"{_DASHBOARDS}{{{_SECOND}}}": "10x70"},
        silent_at="19m45s",
        firing_at="20m15s",
        labels={"job": "grafana"},
    ),
)
