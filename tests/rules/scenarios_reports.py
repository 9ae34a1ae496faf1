"""Scenarios of the alerts about the reports."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_ONE = 'job="report-server",instance="10-88-0-7"'
_OTHER = 'job="report-server",instance="10-88-0-8"'
_UP = f"up{{{_ONE}}}"


def _due(pod: str, kind: str) -> str:
    return f'report_due_timestamp_seconds{{{pod},kind="{kind}"}}'


def _failed(pod: str, kind: str) -> str:
    return f'report_last_run_failed{{{pod},kind="{kind}"}}'


def _read(pod: str) -> str:
    return f"report_server_read_timestamp_seconds{{{pod}}}"


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="ReportMissing",
        bad={_due(_ONE, "weekly"): "600x60", _due(_OTHER, "weekly"): "600x60", _due(_ONE, "daily"): "90000x60"},
        good={_due(_ONE, "weekly"): "600x60", _due(_OTHER, "weekly"): "90000x60"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"job": "report-server", "kind": "weekly"},
    ),
    Scenario(
        alert="ReportFailed",
        bad={_failed(_ONE, "daily"): "0x9 1x80", _failed(_OTHER, "daily"): "0x9 1x80", _failed(_ONE, "weekly"): "0x90"},
        good={_failed(_ONE, "daily"): "0x9 1x40 0x40", _failed(_OTHER, "daily"): "0x90"},
        silent_at="34m45s",
        firing_at="35m30s",
        labels={"job": "report-server", "kind": "daily"},
    ),
    Scenario(
        alert="ReportStorageUnreadable",
        bad={_read(_ONE): "0+30x20 600x60", _read(_OTHER): "0+30x20 600x60"},
        good={_read(_ONE): "0+30x20 600x60", _read(_OTHER): "0+30x80"},
        silent_at="25m45s",
        firing_at="26m30s",
        labels={"job": "report-server"},
    ),
    Scenario(
        alert="ReportServerDown",
        bad={_UP: "1x9 0x40", f"up{{{_OTHER}}}": "1x9 0x40"},
        good={_UP: "1x9 0x40", f"up{{{_OTHER}}}": "1x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "report-server"},
    ),
    Scenario(
        alert="ReportServerDown",
        bad={_UP: "1x9 stale", 'up{job="other",instance="o"}': "1x50"},
        good={_UP: "1x50", 'up{job="other",instance="o"}': "1x9 stale"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels={"job": "report-server"},
    ),
)
