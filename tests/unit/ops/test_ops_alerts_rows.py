"""Rows of ``ops alerts``: who is next and when, worked out from alerts and silences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.alerts.command import Escalates, Level, Row, beats, levels, row_as_json, rows, who, words
from ops.alerts.silences import acknowledgements, candidates, parse_matcher, taken
from ops.core.alertmanager import FiringAlert, Matcher, Silence
from ops.core.platform import parse

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEVELS = {"critical": Level(contact="senior-manager", delay=5 * MINUTE)}


def alert(
    name: str = "A", *, age: int = 2, state: str = "active", by: tuple[str, ...] = (), **labels: str
) -> FiringAlert:
    origin = name.removesuffix("Escalated")
    return FiringAlert(
        fingerprint=f"print-of-{name}",
        labels={"alertname": name, "severity": "critical", "alert_id": f"{origin}/x=1", "x": "1", **labels},
        annotations={},
        starts=NOW - age * MINUTE,
        receivers=("operators-critical",),
        state=state,
        silenced_by=by,
        inhibited_by=(),
    )


def silence(matcher: str = "alert_id=A/x=1", *, minutes: int = 60, state: str = "active", name: str = "s1") -> Silence:
    return Silence(
        id=name,
        state=state,
        matchers=(parse_matcher(matcher),),
        starts=NOW - MINUTE,
        ends=NOW + minutes * MINUTE,
        author="ayumi",
        comment="why",
    )


def only(alerts: list[FiringAlert], *silences: Silence) -> Row:
    [row] = rows(alerts, silences, LEVELS, NOW)
    return row


def test_the_next_contact_is_told_when_the_delay_is_over() -> None:
    row = only([alert(age=2)])
    assert (row.escalation.state, row.escalation.at) == (Escalates.LATER, NOW + 3 * MINUTE)
    assert who(row, NOW) == ["notified: operators-critical", "next: senior-manager in 3 min"]


def test_an_escalation_that_is_due_but_not_there_yet_comes_any_moment() -> None:
    assert who(only([alert(age=6)]), NOW)[-1] == "next: senior-manager now"


def test_a_twin_that_fires_means_that_the_contact_is_told() -> None:
    row = only([alert(age=9), alert("AEscalated", age=4, escalation="senior-manager")])
    assert row.alert.name == "A"
    assert who(row, NOW)[-1] == "escalated to senior-manager at 09:26"


def test_a_twin_without_its_original_has_a_row_of_its_own() -> None:
    row = only([alert("AEscalated", age=4, escalation="senior-manager")])
    assert (row.alert.name, row.escalation.state) == ("AEscalated", Escalates.NOW)


def test_an_acknowledgement_that_outlasts_the_delay_stops_the_escalation_until_its_end() -> None:
    ack = silence(minutes=60)
    row = only([alert(state="suppressed", by=("s1",))], ack)
    assert row.acknowledged == ack
    assert (row.escalation.state, row.escalation.at) == (Escalates.STOPPED, ack.ends)
    assert who(row, NOW) == ["ayumi until 10:30 (1 h)", "why", "next: senior-manager not before 10:30"]
    assert not row.open


def test_an_acknowledgement_that_ends_before_the_delay_stops_nothing() -> None:
    row = only([alert(state="suppressed", by=("s1",))], silence(minutes=1))
    assert (row.escalation.state, row.escalation.at) == (Escalates.LATER, NOW + 3 * MINUTE)


def test_a_silence_on_the_name_alone_does_not_stop_the_escalation() -> None:
    row = only([alert(state="suppressed", by=("s1",))], silence("alertname=A"))
    assert row.acknowledged is None
    assert [active.id for active in row.silences] == ["s1"]
    assert row.escalation.state is Escalates.LATER


def test_the_longest_of_several_silences_counts() -> None:
    several = (silence(minutes=10), silence("x=1", minutes=90, name="s2"))
    row = only([alert(state="suppressed", by=("s1", "s2"))], *several)
    assert row.escalation.at == NOW + 90 * MINUTE


@pytest.mark.parametrize("state", ["expired", "pending"])
def test_a_silence_that_does_not_hold_now_counts_for_nothing(state: str) -> None:
    row = only([alert()], silence(state=state))
    assert (row.acknowledged, row.escalation.state) == (None, Escalates.LATER)
    assert row.open


def test_an_escalated_alert_that_is_acknowledged_afterwards_is_stopped() -> None:
    twin = alert("AEscalated", age=4, state="suppressed", by=("s1",), escalation="senior-manager")
    row = only([alert(age=9, state="suppressed", by=("s1",)), twin], silence())
    assert row.escalation.state is Escalates.STOPPED


def test_a_priority_without_a_next_contact_never_escalates() -> None:
    row = only([alert(severity="low")])
    assert (row.escalation.state, row.open) == (Escalates.NEVER, False)
    assert who(row, NOW) == ["notified: operators-critical"]


def test_the_watchdog_is_nothing_that_somebody_has_to_take() -> None:
    watchdog = alert("Watchdog")
    assert not only([watchdog]).open
    assert beats([watchdog])
    assert not beats([alert("Watchdog", state="suppressed")])


def test_an_alert_without_an_identity_is_shown_all_the_same() -> None:
    foreign = alert("Foreign", alert_id="")
    row = only([foreign, alert("AEscalated", alert_id="", escalation="x")][:1])
    assert row_as_json(row)["alert_id"] == ""
    assert candidates([foreign], "Foreign", {}) == []


def test_of_two_acknowledgements_the_one_that_lasts_longer_counts() -> None:
    silences = acknowledgements([silence(minutes=90, name="long"), silence(minutes=10, name="short")])
    assert silences["A/x=1"].id == "long"


def test_only_a_silence_of_exactly_one_identity_is_an_acknowledgement() -> None:
    two = (Matcher(name="alert_id", value="A"), Matcher(name="x", value="1"))
    others = ("alert_id!=A", "alert_id=~A", "alertname=A")
    assert silence("alert_id=A").acknowledges == "A"
    assert [silence(other).acknowledges for other in others] == [""] * 3
    assert Silence(**{**vars(silence()), "matchers": two}).acknowledges == ""


def test_delays_are_those_of_the_stack_and_else_those_of_the_requirement(outputs: dict[str, Any]) -> None:
    warped = parse({**outputs, "alert_escalation": {"critical": "5s", "high": "30s", "medium": "1h30m"}})
    assert levels(warped)["medium"] == Level(contact="team-leader", delay=90 * MINUTE)
    assert levels(parse(outputs)) == {
        "critical": Level(contact="senior-manager", delay=5 * MINUTE),
        "high": Level(contact="on-call-engineer", delay=30 * MINUTE),
        "medium": Level(contact="team-leader", delay=240 * MINUTE),
    }


def test_a_name_goes_before_the_beginning_of_another_name() -> None:
    firing = [alert("Disk"), alert("DiskFull")]
    assert candidates(firing, "Disk", {}) == ["Disk/x=1"]
    assert candidates(firing, "Dis", {}) == ["Disk/x=1", "DiskFull/x=1"]
    assert candidates(firing, "Disk", {"x": "2"}) == []


def test_what_is_taken_back_is_found_in_identities_alone() -> None:
    known = ["Disk/instance=a%3A1/job=k", "Disk/instance=b", "DiskFull", "Disk"]
    assert taken(known, "Disk", {"instance": "a:1"}) == known[:1]
    assert taken(known, "Disk", {"instance": "a"}) == []
    assert taken(known, "Disk", {}) == ["Disk"]
    assert taken(known, "DiskFullEscalated", {}) == ["DiskFull"]
    assert taken(known, "Disk/i", {}) == known[:2]
    assert taken(known, "", {}) == []


def test_an_identity_is_shown_in_words_that_can_be_typed_again() -> None:
    assert words("A/instance=a%3A1/path=%2Fdata/what=two+words") == [
        "A",
        "instance=a:1",
        "path=/data",
        "'what=two words'",
    ]
    assert words("") == []
