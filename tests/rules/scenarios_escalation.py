"""Scenarios of alerts that are raised again: one of each priority, and one that recovered before its delay."""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity
from tests.rules.scenario import Scenario


def _alert(name: str, severity: Severity, for_: str) -> Alert:
    return Alert(
        name=name,
        expr=f'trouble{{kind="{name}"}} > 0',
        for_=for_,
        severity=severity,
        summary="Trouble {{ $value }} at {{ $labels.instance }}",
        description="Only for tests.",
    )


GROUPS: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="sample",
        rules=(
            _alert("SampleCritical", Severity.CRITICAL, "0s"),
            _alert("SampleHigh", Severity.HIGH, "2m"),
            _alert("SampleMedium", Severity.MEDIUM, "1m"),
            _alert("SampleLow", Severity.LOW, "0s"),
        ),
    ),
)
"""Alerts that only these tests raise, one of each priority."""


INSTANCE = "rack 1/ラック=1"
"""With everything in it that an identity has to escape."""


def _series(name: str) -> str:
    return f'trouble{{kind="{name}",instance="{INSTANCE}"}}'


def _labels(name: str, level: str = "") -> dict[str, str]:
    return {"kind": name, "instance": INSTANCE} | ({"escalation": level} if level else {})


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="SampleCritical",
        bad={_series("SampleCritical"): "0x9 3x100"},
        good={_series("SampleCritical"): "0x100"},
        silent_at="4m45s",
        firing_at="5m15s",
        labels=_labels("SampleCritical"),
    ),
    Scenario(
        alert="SampleCriticalEscalated",
        original="SampleCritical",
        bad={_series("SampleCritical"): "0x9 3x100"},
        good={_series("SampleCritical"): "0x9 3x7 0x1 3x7 0x50"},
        silent_at="9m10s",
        firing_at="9m30s",
        labels=_labels("SampleCritical", "senior-manager"),
    ),
    Scenario(
        alert="SampleHighEscalated",
        original="SampleHigh",
        bad={_series("SampleHigh"): "0x9 3x100"},
        good={_series("SampleHigh"): "0x9 3x60 0x1 3x60"},
        silent_at="36m10s",
        firing_at="36m30s",
        labels=_labels("SampleHigh", "on-call-engineer"),
    ),
    Scenario(
        alert="SampleMediumEscalated",
        original="SampleMedium",
        bad={_series("SampleMedium"): "0x9 3x600"},
        good={_series("SampleMedium"): "0x9 3x400 0x1 3x400"},
        silent_at="243m20s",
        firing_at="243m40s",
        labels=_labels("SampleMedium", "team-leader"),
    ),
)
