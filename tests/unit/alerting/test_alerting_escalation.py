"""Twins of alerts: which, when, for whom; and delays that a person may get wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest

from components.alerting.escalation import (
    FIRST_WITHIN,
    LEVELS,
    TIMINGS,
    EscalationDelays,
    Way,
    escalated,
    milliseconds,
    recorded_of,
)
from components.rules import Alert, Recording, RuleGroup, Severity, rule_file


def alert(severity: Severity = Severity.HIGH, **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "name": "DiskFull",
        "expr": "disk > 0.9",
        "for_": "90s",
        "severity": severity,
        "summary": "Disk {{ $labels.disk }} is full",
        "description": "Nothing can be written.",
        "labels": {"layer": "data", "owner": "platform"},
    }
    return Alert(**{**values, **changes})


def twins(one: Alert, delays: EscalationDelays | None = None) -> list[Alert]:
    (group,) = escalated([RuleGroup(name="disks", rules=(one,))], delays)
    return [alert for alert in group.alerts if alert.original]


@pytest.mark.parametrize(
    ("severity", "hold", "contact"),
    [
        (Severity.CRITICAL, "5m50s", "senior-manager"),
        (Severity.HIGH, "30m50s", "on-call-engineer"),
        (Severity.MEDIUM, "3h59m", "team-leader"),
    ],
)
def test_each_priority_goes_to_its_level_after_its_delay(severity: Severity, hold: str, contact: str) -> None:
    (twin,) = twins(alert(severity))
    assert (twin.name, twin.for_, twin.severity) == ("DiskFullEscalated", hold, severity)
    assert twin.labels == {"layer": "data", "owner": "platform", "escalation": contact}


WAIT_S = {severity: milliseconds(timing.group_wait) / 1000 for severity, timing in TIMINGS.items()}


def notifications_s(severity: Severity, delay: str, interval: str, hold: str) -> tuple[float, float]:
    """Seconds from a fault to the notification of its escalation, at best and at worst, beside the alert's own time.

    What the parts are is written here again on purpose (docs/adr/0012): until the next scrape up to 15 s, until the
    next evaluation, the route's wait, 3 s for the first Alertmanager, 2 s on the wires.
    """
    delays = EscalationDelays(**{severity.value: delay})
    group = RuleGroup(name="disks", rules=(alert(severity, for_=hold),), interval=interval)
    (twin,) = (alert for alert in escalated([group], delays)[0].alerts if alert.original)
    every = milliseconds(interval) / 1000
    fires = math.ceil(milliseconds(twin.for_) / 1000 / every) * every
    own = milliseconds(hold) / 1000
    return fires + WAIT_S[severity] - own, 15 + every + fires + WAIT_S[severity] + 3 + 2 - own


@pytest.mark.parametrize("hold", ["0s", "30s", "3m"])
@pytest.mark.parametrize("interval", ["5s", "10s", "30s"])
@pytest.mark.parametrize("delay", ["5m", "15m", "30m", "1h", "4h"])
@pytest.mark.parametrize("severity", LEVELS)
def test_the_notification_is_there_within_the_delay_at_worst_and_little_earlier_at_best(
    severity: Severity, delay: str, interval: str, hold: str
) -> None:
    promised, every = milliseconds(delay) / 1000, milliseconds(interval) / 1000
    best, worst = notifications_s(severity, delay, interval, hold)
    assert worst <= promised
    # What nobody can know beforehand, and what an evaluation rounds.
    assert best >= promised - (15 + every + 3 + 2) - every


@pytest.mark.parametrize("hold", ["0s", "30s", "60s"])
def test_a_senior_manager_has_a_critical_notification_within_five_minutes_and_half_a_minute_early_at_most(
    hold: str,
) -> None:
    best, worst = notifications_s(Severity.CRITICAL, "5m", "5s", hold)
    assert 270 <= best <= worst <= 300


@pytest.mark.parametrize("severity", FIRST_WITHIN)
def test_a_first_notification_is_there_in_the_time_of_its_priority(severity: Severity) -> None:
    longest = Way().longest_ms(severity, RuleGroup(name="disks", rules=(), interval="30s"))
    assert longest <= milliseconds(FIRST_WITHIN[severity])


def test_a_delay_that_is_shorter_than_the_way_of_a_notification_is_one_clear_line() -> None:
    with pytest.raises(
        ValueError, match="escalation delay medium: within 2m nobody can be notified of alerts of disks"
    ):
        twins(alert(Severity.MEDIUM), EscalationDelays(medium="2m"))


@pytest.mark.parametrize("one", [alert(Severity.LOW), alert(Severity.CRITICAL, name="Watchdog")])
def test_low_alerts_and_the_watchdog_never_escalate(one: Alert) -> None:
    assert twins(one) == []


def test_a_twin_says_for_how_long_nobody_acknowledged_in_both_languages() -> None:
    (twin,) = twins(alert(annotations={"summary_ja": "ディスク満杯", "description_ja": "書き込めません"}))
    data = twin.data("https://example.org/runbooks")
    assert data["annotations"] == {
        "summary": "Not acknowledged for 30 minutes: Disk {{ $labels.disk }} is full",
        "description": "Nothing can be written.",
        "summary_ja": "30分確認されていません: ディスク満杯",
        "description_ja": "書き込めません",
        "runbook_url": "https://example.org/runbooks/DiskFull.md",
    }


@pytest.mark.parametrize(
    ("delay", "words", "japanese"),
    [("1m", "1 minute", "1分"), ("90s", "1 minute 30 seconds", "1分30秒"), ("4h", "4 hours", "4時間")],
)
def test_a_delay_is_told_in_words(delay: str, words: str, japanese: str) -> None:
    (twin,) = twins(alert(annotations={"summary_ja": "満杯"}), EscalationDelays(high=delay))
    assert twin.summary.startswith(f"Not acknowledged for {words}: ")
    assert twin.annotations["summary_ja"] == f"{japanese}確認されていません: 満杯"


def test_twins_stand_behind_the_rules_of_their_own_group() -> None:
    recording = Recording(record="a:b", expr="1")
    group = RuleGroup(name="disks", rules=(alert(), recording, alert(name="DiskSlow")), interval="7s")
    (result,) = escalated([group])
    assert (result.name, result.interval) == ("disks", "7s")
    assert result.rules[:3] == group.rules
    assert [alert.name for alert in result.alerts[2:]] == ["DiskFullEscalated", "DiskSlowEscalated"]


def test_what_is_wide_is_recorded_before_the_alert_and_read_by_both() -> None:
    rules = (alert(), alert(name="DiskSlow", wide=True, for_="0s"), alert(Severity.LOW, name="DiskOld", wide=True))
    (group,) = escalated([RuleGroup(name="disks", rules=rules, interval="7s")])
    read = "alert:DiskSlow:value and last_over_time(alert:DiskSlow:value[8s])"
    assert [(rule.record if isinstance(rule, Recording) else rule.name, rule.expr) for rule in group.rules] == [
        ("DiskFull", "disk > 0.9"),
        ("alert:DiskSlow:value", "disk > 0.9"),
        ("DiskSlow", read),
        ("DiskOld", "disk > 0.9"),
        ("DiskFullEscalated", "disk > 0.9"),
        ("DiskSlowEscalated", read),
    ]
    assert recorded_of(read) == "alert:DiskSlow:value"
    assert recorded_of("disk > 0.9") == recorded_of(f"{read} > 1") == ""


def test_twins_have_no_twins() -> None:
    once = escalated([RuleGroup(name="disks", rules=(alert(),))])
    with pytest.raises(ValueError, match="DiskFullEscalated is a twin already"):
        escalated(once)


def test_the_groups_cannot_be_loaded_beside_their_escalated_selves() -> None:
    groups = (RuleGroup(name="disks", rules=(alert(),)),)
    with pytest.raises(ValueError, match="DiskFull, disks occurs twice"):
        rule_file([*groups, *escalated(groups)], "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"high": "30"}, "escalation delay high: '30' is no duration: write for example 30s, 5m or 1h30m"),
        ({"critical": "0s"}, "escalation delay critical is 0s: give people some time, for example 5m"),
    ],
)
def test_a_wrong_delay_is_one_clear_line(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        EscalationDelays(**changes)
    assert str(caught.value) == message
