"""The timeline: everything in one order, nothing twice, causes before what follows."""

from __future__ import annotations

from typing import Any

from ops.incidents.evidence import AlertEvent, Entry, Evidence, LogSeen, entries
from ops.incidents.record import Incident
from tests.unit.ops import incident_samples as samples


def told(incident: Incident | None = None, **changes: Any) -> list[Entry]:
    return entries(incident or samples.incident(), samples.evidence(**changes))


def kinds(timeline: list[Entry]) -> list[str]:
    return [entry.kind for entry in timeline]


def only(timeline: list[Entry], kind: str) -> list[Entry]:
    return [entry for entry in timeline if entry.kind == kind]


def test_everything_is_there_in_the_order_of_time() -> None:
    timeline = told()
    assert [entry.at for entry in timeline] == sorted(entry.at for entry in timeline)
    assert kinds(timeline) == [
        "change",
        "rollout",
        "restart",
        "trace",
        "log",
        "pending",
        "alert",
        "fired",
        "notification",
        "sibling",
        "opened",
        "slow",
        "acknowledged",
        "response",
        "note",
        "note",
        "sibling_ended",
        "ended",
        "notification_resolved",
        "note",
        "closed",
    ]


def test_without_evidence_the_record_alone_is_told() -> None:
    assert kinds(entries(samples.incident(), None)) == ["alert", "opened", "response", *["note"] * 3, "closed"]


def test_of_the_same_moment_causes_come_first() -> None:
    change = samples.evidence().changes[0].model_copy(update={"at": samples.START})
    entry_kinds = [entry.kind for entry in told(changes=(change,)) if entry.at == samples.START]
    assert entry_kinds == ["change", "alert"]


def test_events_tell_better_than_series_when_an_alert_fired() -> None:
    assert {entry.source for entry in only(told(), "fired")} == {"events"}
    from_series = told(events=())
    assert {entry.source for entry in only(from_series, "fired")} == {"firing"}
    assert [entry.text for entry in only(from_series, "fired")] == [
        "RecordingFailures, primary",
        "RecordingFailures, secondary",
    ]
    assert len(only(from_series, "ended")) == 2


def test_an_escalated_alert_is_told_as_its_own() -> None:
    original = samples.evidence().firing[1]
    twin = original.model_copy(update={"alert": "RecordingFailuresEscalated", "start": samples.after(5)})
    timeline = told(firing=(*samples.evidence().firing, twin))
    assert "RecordingFailuresEscalated, primary" in [entry.text for entry in only(timeline, "fired")]


def test_lines_of_one_service_that_follow_each_other_are_one_entry() -> None:
    def line(minutes: float, service: str = "recorder") -> LogSeen:
        return LogSeen(at=samples.after(minutes), severity="ERROR", service=service, trace="", text=f"at {minutes}")

    log_entries = only(told(logs=(line(1), line(2), line(2.5, "storage"), line(3), line(9))), "log")
    assert [entry.text for entry in log_entries] == ["recorder: at 1 (+2)", "storage: at 2.5", "recorder: at 9"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    notification = samples.evidence().notifications[0]
    silence = samples.evidence().silences[0].model_copy(update={"comment": "\x1b[2Jgone"})
    acknowledgements = only(told(silences=(silence,), notifications=(notification,)), "acknowledged")
    assert "\x1b" not in acknowledgements[0].text


def event(minutes: float, status: str, replica: str, alert: str = "RecordingFailures") -> AlertEvent:
    return AlertEvent(
        at=samples.after(minutes), replica=replica, alert=alert, alert_id=samples.ALERT_ID, status=status, own=True
    )


def resolved(**changes: Any) -> Evidence:
    return samples.evidence(**changes)


def test_an_alert_has_ended_when_every_prometheus_says_so() -> None:
    both = (event(0, "firing", "a"), event(0, "firing", "b"), event(9, "resolved", "a"))
    assert resolved(events=both).resolved is None
    assert resolved(events=(*both, event(11, "resolved", "b"))).resolved == samples.after(11)
    again = (*both, event(11, "resolved", "b"), event(12, "firing", "a"))
    assert resolved(events=again).resolved is None


def test_a_prometheus_that_died_while_the_alert_fired_does_not_keep_it_firing() -> None:
    died = event(0, "firing", "b").model_copy(update={"expired": samples.after(4)})
    both = (event(0, "firing", "a"), died)
    assert resolved(events=both).resolved is None
    assert resolved(events=(*both, event(9, "resolved", "a"))).resolved == samples.after(9)
    [over] = only(told(events=both), "expired")
    assert (over.at, over.text) == (samples.after(4), "RecordingFailures, b")


def test_series_tell_the_end_where_there_are_no_events() -> None:
    assert resolved(events=()).resolved == samples.after(27.2)
    still = [firing.model_copy(update={"end": None}) for firing in samples.evidence().firing]
    assert resolved(events=(), firing=tuple(still)).resolved is None
    assert resolved(events=(), firing=()).resolved is None
