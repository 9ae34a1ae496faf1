"""Scenarios of the alerts about the way from an alert to a person."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_FIRST = 'job="alertmanager",instance="alertmanager-0"'
_SECOND = 'job="alertmanager",instance="alertmanager-1"'
_SENDER = 'job="prometheus-primary",instance="prometheus-primary-0"'
_UNSENT = "alertmanager_tls_transport_write_errors_total"
_PACKET = 'connection_type="packet"'
_OLDEST = "prometheus_tsdb_lowest_timestamp_seconds"
_SENDER_TWO = _SENDER.replace("primary", "secondary")
_TARGET = "https://alertmanager-0:9093/api/v2/alerts"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="AlertmanagerDown",
        bad={f"up{{{_FIRST}}}": "1x9 0x30", f"up{{{_SECOND}}}": "1x40"},
        good={f"up{{{_FIRST}}}": "1x9 0x2 1x30", f"up{{{_SECOND}}}": "1x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels={"job": "alertmanager"},
    ),
    Scenario(
        alert="AlertmanagerClusterSplit",
        bad={
            f"alertmanager_cluster_members{{{_FIRST}}}": "2x9 1x30",
            f"alertmanager_cluster_members{{{_SECOND}}}": "2x40",
        },
        # One of them is gone, and the other one knows: that is AlertmanagerDown.
        good={
            f"alertmanager_cluster_members{{{_FIRST}}}": "2x9 1x30",
            f"alertmanager_cluster_members{{{_SECOND}}}": "2x9 stale",
        },
        silent_at="7m30s",
        firing_at="8m30s",
        labels={"job": "alertmanager"},
    ),
    Scenario(
        alert="AlertmanagerClusterSplit",
        # Both still count two members, but gossip does not arrive; with one member down that is no split.
        bad={
            f"{_UNSENT}{{{_FIRST},{_PACKET}}}": "0x9 30+30x40",
            f"{_UNSENT}{{{_SECOND},{_PACKET}}}": "0x50",
            f"up{{{_FIRST}}}": "1x50",
            f"up{{{_SECOND}}}": "1x50",
        },
        good={
            f"{_UNSENT}{{{_FIRST},{_PACKET}}}": "0x9 30+30x40",
            f"up{{{_FIRST}}}": "1x50",
            f"up{{{_SECOND}}}": "0x50",
        },
        silent_at="7m30s",
        firing_at="8m30s",
        labels={"job": "alertmanager"},
    ),
    Scenario(
        alert="IncidentsNotClosed",
        bad={'incident_closer_failing{job="incident-closer",instance="alertmanager-0"}': "0x9 1x60"},
        # One look that fails is tried again five seconds later.
        good={'incident_closer_failing{job="incident-closer",instance="alertmanager-0"}': "0x9 1x8 0 1x8 0x40"},
        silent_at="14m30s",
        firing_at="15m30s",
        labels={"job": "incident-closer"},
    ),
    Scenario(
        alert="AlertmanagerNotificationsFail",
        bad={
            f'alertmanager_notifications_failed_total{{{_FIRST},integration="pagerduty",reason="other"}}': "0x9 1+1x40"
        },
        good={f'alertmanager_notifications_failed_total{{{_FIRST},integration="pagerduty",reason="other"}}': "5x50"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels={"job": "alertmanager", "integration": "pagerduty"},
    ),
    Scenario(
        alert="AlertmanagerNotificationsFail",
        bad={
            f'alertmanager_notifications_total{{{_FIRST},integration="email"}}': "0x9 1x40",
            f'alertmanager_notification_latency_seconds_count{{{_FIRST},integration="email"}}': "0x50",
        },
        good={
            f'alertmanager_notifications_total{{{_FIRST},integration="email"}}': "0x9 1x40",
            f'alertmanager_notification_latency_seconds_count{{{_FIRST},integration="email"}}': "0x9 1x40",
        },
        silent_at="6m30s",
        firing_at="7m30s",
        labels={"job": "alertmanager", "integration": "email"},
    ),
    Scenario(
        alert="AlertmanagerConfigRejected",
        bad={f"alertmanager_config_last_reload_successful{{{_FIRST}}}": "1x9 0x30"},
        good={f"alertmanager_config_last_reload_successful{{{_FIRST}}}": "1x9 0x1 1x30"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "alertmanager"},
    ),
    Scenario(
        alert="AlertmanagerConfigsDiffer",
        bad={f"alertmanager_config_hash{{{_FIRST}}}": "5x60", f"alertmanager_config_hash{{{_SECOND}}}": "5x9 7x60"},
        good={
            f"alertmanager_config_hash{{{_FIRST}}}": "5x12 7x60",
            f"alertmanager_config_hash{{{_SECOND}}}": "5x9 7x60",
        },
        silent_at="14m30s",
        firing_at="15m30s",
        labels={"job": "alertmanager"},
    ),
    Scenario(
        alert="AlertsNotDelivered",
        bad={f'prometheus_notifications_errors_total{{{_SENDER},alertmanager="{_TARGET}"}}': "0x9 1+1x40"},
        good={f'prometheus_notifications_errors_total{{{_SENDER},alertmanager="{_TARGET}"}}': "0x9 1x40"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels={"job": "prometheus-primary", "alertmanager": _TARGET},
    ),
    Scenario(
        alert="PlatformStarting",
        # Both begin at 5 min, when the clock of these tests is young as well; the second one holds nothing yet.
        bad={
            f"{_OLDEST}{{{_SENDER}}}": "_x10 300x40",
            f"{_OLDEST}{{{_SENDER_TWO}}}": "_x10 9223372036854775x2 330x40",
        },
        # One that lost its volume, beside one that is old and was away for a while.
        good={
            f"{_OLDEST}{{{_SENDER}}}": "-3600x5 _x2 -3600x40",
            f"{_OLDEST}{{{_SENDER_TWO}}}": "_x10 9223372036854775x2 330x40",
        },
        silent_at="4m45s",
        firing_at="5m15s",
    ),
    Scenario(
        alert="Watchdog",
        # It fires as long as all is well, so here "bad" is a Prometheus that sees its targets again.
        bad={f"up{{{_FIRST}}}": "0x9 1x30", f"up{{{_SENDER}}}": "0x40"},
        good={f"up{{{_FIRST}}}": "0x40", f"up{{{_SENDER}}}": "0x40"},
        silent_at="4m45s",
        firing_at="5m15s",
    ),
)
