"""What a young platform keeps quiet: alerts about its own parts, and nothing else."""

from __future__ import annotations

import pytest

from components.alerting.escalation import escalated
from components.alerting.inhibitions import STARTING, collected, startup_inhibition
from components.rules import Alert, Inhibition, RuleGroup, Severity


def alert(name: str, severity: Severity, **labels: str) -> Alert:
    return Alert(name=name, expr="up == 0", for_="0s", severity=severity, summary="s", description="d", labels=labels)


PARTS = RuleGroup(
    name="samples",
    rules=(
        alert("Outage", Severity.CRITICAL),
        alert("NodeDown", Severity.HIGH, job="node"),
        alert("Slow", Severity.MEDIUM),
        alert("Note", Severity.LOW),
        alert("DeviceGone", Severity.HIGH, layer="device"),
        alert("TelemetryStale", Severity.HIGH),
        alert("Watchdog", Severity.LOW),
    ),
)


def test_alerts_about_its_own_parts_are_kept_quiet_with_their_twins() -> None:
    (inhibition,) = collected(escalated([PARTS, STARTING]), [])
    assert inhibition.source == ("PlatformStarting",)
    assert inhibition.targets == ("NodeDown", "Slow", "Note", "NodeDownEscalated", "SlowEscalated")
    assert inhibition.equal == ()


def test_without_a_rule_that_tells_its_age_nothing_is_kept_quiet() -> None:
    assert collected(escalated([PARTS]), []) == ()


def test_with_nothing_to_keep_quiet_there_is_no_inhibition() -> None:
    assert startup_inhibition([*STARTING.alerts, alert("Outage", Severity.CRITICAL)]) == ()


def test_it_is_told_to_nobody_and_escalates_to_nobody() -> None:
    (young,) = STARTING.alerts
    assert young.severity is Severity.LOW
    assert [alert.name for group in escalated([STARTING]) for alert in group.alerts] == ["PlatformStarting"]


def test_nothing_may_keep_it_quiet_and_be_kept_quiet_by_it() -> None:
    circle = Inhibition(source=("NodeDown",), targets=("PlatformStarting",), reason="For tests.")
    with pytest.raises(ValueError, match="would keep itself quiet"):
        collected(escalated([PARTS, STARTING]), [circle])
