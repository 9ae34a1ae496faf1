"""Scenarios of the alerts about the audit log."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_SERVICE = 'job="audit",instance="10-88-0-7"'
_UP = f"up{{{_SERVICE}}}"
_WAITING = f"audit_waiting_since_timestamp_seconds{{{_SERVICE}}}"


def _of(metric: str, source: str) -> str:
    return f'{metric}{{{_SERVICE},source="{source}"}}'


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="AuditDown",
        bad={_UP: "1x9 0x40"},
        good={_UP: "1x9 0x4 1x40", 'up{job="other",instance="o"}': "0x50"},
        silent_at="7m45s",
        firing_at="8m30s",
        labels={"job": "audit"},
    ),
    Scenario(
        alert="AuditSourceNotRead",
        bad={
            _of("audit_expected_streams", "kafka"): "3x50",
            _of("audit_open_streams", "kafka"): "3x9 2x40",
            _of("audit_expected_streams", "traces"): "6x50",
            _of("audit_open_streams", "traces"): "6x50",
        },
        good={
            _of("audit_expected_streams", "kafka"): "3x9 0x40",
            _of("audit_open_streams", "kafka"): "3x9 0x40",
            _of("audit_expected_streams", "traces"): "6x50",
            _of("audit_open_streams", "traces"): "6x9 4x4 6x40",
        },
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"job": "audit", "source": "kafka"},
    ),
    Scenario(
        alert="AuditGap",
        bad={_of("audit_gaps_total", "kafka"): "0x9 1x40", _of("audit_unreadable_total", "kafka"): "0x50"},
        good={_of("audit_gaps_total", "kafka"): "0x50", _of("audit_unreadable_total", "kafka"): "0x50"},
        silent_at="4m45s",
        firing_at="5m30s",
        labels={"job": "audit", "source": "kafka"},
    ),
    Scenario(
        alert="AuditGap",
        # Old gaps say nothing, a new one does.
        bad={_of("audit_gaps_total", "traces"): "3x200", _of("audit_unreadable_total", "traces"): "1x149 3x50"},
        good={_of("audit_gaps_total", "traces"): "3x200", _of("audit_unreadable_total", "traces"): "1x200"},
        silent_at="74m30s",
        firing_at="75m30s",
        labels={"job": "audit", "source": "traces"},
    ),
    Scenario(
        alert="AuditGap",
        # A pod that starts and has found one before it is scraped.
        bad={_of("audit_gaps_total", "kafka"): "_x9 1x40"},
        good={_of("audit_gaps_total", "kafka"): "_x9 0x40"},
        silent_at="4m15s",
        firing_at="5m30s",
        labels={"job": "audit", "source": "kafka"},
    ),
    Scenario(
        alert="AuditNotWritten",
        # Waits since the fifth minute.
        bad={_WAITING: "0x9 300x40"},
        good={_WAITING: "0x9 300x3 0x40"},
        silent_at="8m45s",
        firing_at="9m45s",
        labels={"job": "audit", "instance": "10-88-0-7"},
    ),
)
