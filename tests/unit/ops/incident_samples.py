"""A made-up incident with everything that may be collected about it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

from components.rules import Severity
from ops.incidents.collect import SOURCES
from ops.incidents.evidence import (
    AlertEvent,
    Change,
    ClusterEvent,
    Evidence,
    Firing,
    Line,
    LogSeen,
    Measured,
    Notification,
    Silenced,
    Source,
    TraceSeen,
)
from ops.incidents.record import AlertRecord, Incident, Note, Phase

START = datetime(2026, 11, 24, 22, 10, tzinfo=UTC)
ALERT_ID = "RecordingFailures/job=recorder/site=tokyo+1"
EXPRESSION = (
    "sum by (job, site) (rate(recording_failures_total[5m])) / sum by (job, site) (rate(recording_attempts_total[5m]))"
    " > 0.05"
)


def after(minutes: float) -> datetime:
    """A moment, minutes after the alert."""
    return START + timedelta(minutes=minutes)


def alert(**changes: Any) -> AlertRecord:
    """The alert."""
    values: dict[str, Any] = {
        "alert_id": ALERT_ID,
        "name": "RecordingFailures",
        "severity": Severity.CRITICAL,
        "layer": "streaming",
        "labels": {
            "alertname": "RecordingFailures",
            "alert_id": ALERT_ID,
            "severity": "critical",
            "layer": "streaming",
            "job": "recorder",
            "site": "tokyo 1",
            "region": "here",
        },
        "annotations": {
            "summary": "More than 5 % of recordings fail / 録画の失敗が5%を超えています",
            "description": "Segments are lost: what workers do is not recorded.",
            "runbook_url": "https://runbooks.example.org/RecordingFailures.md",
        },
        "starts": START,
        "expression": EXPRESSION,
        "source": "alertmanager",
    }
    return AlertRecord.model_validate({**values, **changes})


def note(text: str, minutes: float, phase: Phase = Phase.RESPOND, **changes: Any) -> Note:
    """A note."""
    values: dict[str, Any] = {"at": after(minutes), "written": after(minutes), "author": "sato", "phase": phase}
    return Note.model_validate({**values, "text": text, **changes})


def incident(**changes: Any) -> Incident:
    """The incident, closed, with notes of every phase."""
    values: dict[str, Any] = {
        "id": "INC-20261124-01",
        "title": "More than 5 % of recordings fail",
        "severity": Severity.CRITICAL,
        "opened": after(3),
        "opened_by": "sato",
        "alert": alert(),
        "notes": (
            note("On it. Tokyo 1 only; other sites record.", 4.5, first_response=True),
            note("PUT to storage fails since the update of 22:04.", 12, Phase.DIAGNOSE),
            note("Rolled the recorder back to the update before.", 19, Phase.RECOVER, author="tanaka"),
            note(
                "Test uploads before a rollout",
                60,
                Phase.FOLLOW_UP,
                owner="tanaka",
                due=date(2026, 12, 1),
            ),
        ),
        "closed": after(65),
        "closed_by": "sato",
        "cause": "The update of 22:04 gave the recorder a storage address that does not answer.",
    }
    return Incident.model_validate({**values, **changes})


def _failures(minute: float) -> float:
    return 0.004 + (0.31 / (1 + math.exp(-(minute + 1))) if minute < 21 else 0.31 * math.exp(-(minute - 21) / 2))


def measured() -> tuple[Measured, ...]:
    """The alert's series, and that of another alert of the layer."""
    times = [START.timestamp() + 30 * step for step in range(-60, 90)]

    def line(labels: dict[str, str], value: Any, own: bool = False) -> Line:
        return Line(labels=labels, points=tuple((at, value((at - START.timestamp()) / 60)) for at in times), own=own)

    value = EXPRESSION.removesuffix(" > 0.05")
    return (
        Measured(
            alert="RecordingFailures",
            value=value,
            comparison=">",
            limit=0.05,
            unit="1",
            expression=value,
            step_s=30,
            lines=(
                line({"job": "recorder", "site": "tokyo 1"}, _failures, own=True),
                line({"job": "recorder", "site": "osaka 1"}, lambda minute: 0.004 + 0.001 * math.sin(minute / 4)),
            ),
        ),
        Measured(
            alert="StreamDelay",
            sibling=True,
            value="stream_delay_seconds",
            comparison=">",
            limit=1,
            unit="s",
            expression="max(stream_delay_seconds)",
            step_s=30,
            total=40,
            lines=(line({}, lambda minute: 0.3 + 6 * max(0.0, _failures(minute) - 0.1)),),
        ),
    )


def traces() -> tuple[TraceSeen, ...]:
    """A failed and a slow trace."""
    common: dict[str, Any] = {
        "service": "recording",
        "services": ("device-edge", "recording"),
        "data_class": "internal",
    }
    return (
        TraceSeen(
            trace_id="0af7651916cd43dd8448eb211c80319c",
            at=after(-2),
            operation="POST /v1/recordings",
            duration_us=2_400_000,
            failed=True,
            **common,
        ),
        TraceSeen(
            trace_id="1bf7651916cd43dd8448eb211c80319c",
            at=after(3),
            operation="compact batch",
            duration_us=5_100_000,
            failed=False,
            **common,
        ),
    )


def evidence(**changes: Any) -> Evidence:
    """All sources answered, but the logs."""
    sources = {name: Source(collected=after(70)) for name in SOURCES}
    sources["logs"] = Source(collected=None, problem="no pod of search is ready in namespace obs-local")
    sources["cluster"] = Source(
        collected=after(30), problem="the cluster does not answer: timed out", remark="2 of 90, the most telling ones"
    )
    values: dict[str, Any] = {
        "start": after(-30),
        "end": after(80),
        "clearance": "internal",
        "sources": sources,
        "measured": measured(),
        "firing": (
            Firing(
                replica="primary",
                alert="RecordingFailures",
                state="pending",
                start=after(-1),
                end=START,
                own=True,
            ),
            Firing(replica="primary", alert="RecordingFailures", state="firing", start=START, end=after(27), own=True),
            Firing(
                replica="secondary",
                alert="RecordingFailures",
                state="firing",
                start=after(0.2),
                end=after(27.2),
                own=True,
            ),
            Firing(replica="primary", alert="StreamDelay", state="firing", start=after(2), end=after(20), count=12),
        ),
        "events": (
            AlertEvent(
                at=after(0.02),
                replica="prometheus-primary-0",
                alert="RecordingFailures",
                alert_id=ALERT_ID,
                status="firing",
                own=True,
            ),
            AlertEvent(
                at=after(27.1),
                replica="prometheus-primary-0",
                alert="RecordingFailures",
                alert_id=ALERT_ID,
                status="resolved",
                own=True,
            ),
        ),
        "notifications": (
            Notification(
                at=after(0.1), receiver="operators-critical", status="firing", alerts=("RecordingFailures",), own=True
            ),
            Notification(
                at=after(27.3),
                receiver="operators-critical",
                status="resolved",
                alerts=("RecordingFailures",),
                own=True,
            ),
        ),
        "silences": (
            Silenced(
                start=after(4),
                end=after(124),
                author="sato",
                comment="acknowledged",
                matchers=f"alert_id={ALERT_ID}",
                acknowledges=True,
            ),
        ),
        "traces": traces(),
        "logs": (
            LogSeen(
                at=after(-1.5),
                severity="ERROR",
                service="recorder",
                trace="0af7651916cd43dd8448eb211c80319c",
                text="segment not stored: connection refused | user=[masked]",
            ),
        ),
        "cluster": (
            ClusterEvent(
                at=after(-6),
                kind="rollout",
                subject="Deployment recorder",
                reason="Rollout",
                text="new revision 6c9d",
                warning=False,
            ),
            ClusterEvent(
                at=after(-3),
                kind="restart",
                subject="Pod recorder-6c9d-x2, container recorder",
                reason="Error",
                text="exit code 1, 2 restarts so far",
                warning=True,
            ),
        ),
        "changes": (
            Change(
                at=after(-6.5),
                end=after(-5),
                kind="update",
                version=41,
                result="succeeded",
                message="Storage address of the recorder",
                commit="54fe94a12345",
                author="Tanaka",
                changes={"update": 2, "same": 290},
            ),
        ),
    }
    return Evidence.model_validate({**values, **changes})
