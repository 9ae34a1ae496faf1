"""Scenarios of the alerts about the alert event service."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_SERVICE = 'job="alert-events",instance="10-88-0-7"'
_UP = f"up{{{_SERVICE}}}"


def _refused(reason: str) -> str:
    return f'alert_events_refused_total{{{_SERVICE},endpoint="raw",reason="{reason}"}}'


def _written(endpoint: str) -> str:
    return f'alert_events_written_total{{{_SERVICE},endpoint="{endpoint}"}}'


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="AlertEventsDown",
        bad={_UP: "1x9 0x40"},
        good={_UP: "1x9 0 1x40", 'up{job="other",instance="o"}': "0x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "alert-events"},
    ),
    Scenario(
        alert="AlertEventsDown",
        bad={_UP: "1x9 stale", 'up{job="other",instance="o"}': "1x50"},
        good={_UP: "1x50", 'up{job="other",instance="o"}': "1x9 stale"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels={"job": "alert-events"},
    ),
    Scenario(
        alert="AlertEventsStalled",
        bad={_written("raw"): "0+4x10 40x40", _written("processed"): "0+1x50"},
        good={_written("raw"): "0+1x50", _written("processed"): "0x50"},
        silent_at="11m",
        firing_at="12m",
        labels={"job": "alert-events"},
    ),
    Scenario(
        alert="AlertEventsRefused",
        bad={_refused("brokers"): "0x9 1+1x40"},
        good={_refused("login"): "0x9 1+1x40", _refused("brokers"): "0x9 1x40", _refused("content"): "7x50"},
        silent_at="7m30s",
        firing_at="8m30s",
        labels={"job": "alert-events", "endpoint": "raw", "reason": "brokers"},
    ),
    Scenario(
        alert="AlertEventsRefused",
        bad={_refused("size"): "0x9 1x40"},
        good={_refused("busy"): "0x9 1x40"},
        silent_at="7m30s",
        firing_at="8m30s",
        labels={"job": "alert-events", "endpoint": "raw", "reason": "size"},
    ),
    Scenario(
        alert="AlertEventsLoginsFail",
        bad={_refused("login"): "0x9 1+1x40"},
        good={_refused("login"): "0x9 1+1x2 3x40", _refused("brokers"): "0x9 1+1x40"},
        silent_at="11m",
        firing_at="13m",
        labels={"job": "alert-events", "endpoint": "raw"},
    ),
)
