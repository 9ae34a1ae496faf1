"""Scenarios of the alerts about the alert event service."""

from __future__ import annotations

from tests.rules.scenario import Scenario


def _refused(reason: str) -> str:
    return (
        f'alert_events_refused_total{{job="alert-events",instance="alert-events-1",entrance="raw",reason="{reason}"}}'
    )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="AlertEventsRefused",
        bad={_refused("brokers"): "0x9 1+1x40"},
        good={_refused("login"): "0x9 1+1x40"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels={"job": "alert-events", "entrance": "raw", "reason": "brokers"},
    ),
    Scenario(
        alert="AlertEventsLoginsFail",
        bad={_refused("login"): "0x9 1+1x40"},
        good={_refused("brokers"): "0x9 1+1x40"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"job": "alert-events", "entrance": "raw"},
    ),
)
