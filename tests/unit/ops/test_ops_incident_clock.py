"""The 15-minute clock, time_format, and the time around an incident that is looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from components.rules import alert_id
from ops.core.errors import OpsError
from ops.incidents.record import (
    Incident,
    State,
    TimeFormat,
    TimeWindow,
    after,
    moment,
    read_clock,
    span,
    subject_of,
    window,
    zone,
)
from tests.unit.ops import incident_samples as samples

NOW = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)


def opened(*minutes: float, closed: float | None = None) -> Incident:
    """An incident with first responses so many minutes after the alert."""
    notes = tuple(samples.note("on it", minute, first_response=True) for minute in minutes)
    return samples.incident(notes=notes, closed=None if closed is None else samples.after(closed))


@pytest.mark.parametrize(
    ("incident", "now_minutes", "state", "elapsed", "difference"),
    [
        (opened(), 4, State.RUNNING, 4, 11),
        (opened(), 15, State.RUNNING, 15, 0),
        (opened(), 15.1, State.OVERDUE, 15.1, 0.1),
        (opened(), 600, State.OVERDUE, 600, 585),
        (opened(4.5), 600, State.MET, 4.5, 10.5),
        (opened(15), 600, State.MET, 15, 0),
        (opened(18), 600, State.MISSED, 18, 3),
        (opened(-2), 600, State.MET, 0, 15),
        (opened(20, 6), 600, State.MET, 6, 9),
        (opened(closed=10), 600, State.MET, 10, 5),
        (opened(closed=40), 600, State.MISSED, 40, 25),
        (opened(12, closed=40), 600, State.MET, 12, 3),
    ],
)
def test_the_clock_runs_from_the_alert_to_the_first_response(
    incident: Incident, now_minutes: float, state: State, elapsed: float, difference: float
) -> None:
    reading = read_clock(incident, samples.after(now_minutes))
    assert reading.state is state
    assert reading.elapsed == timedelta(minutes=elapsed)
    assert reading.difference == timedelta(minutes=difference)
    assert reading.share == pytest.approx(elapsed / 15)


def test_a_note_that_is_no_response_does_not_stop_the_clock() -> None:
    incident = samples.incident(notes=(samples.note("seen in the morning", 3),), closed=None)
    assert read_clock(incident, samples.after(20)).state is State.OVERDUE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (930, "15 min 30 s"), (7500, "2 h 5 min"), (200_000, "2 d 7 h")],
)
def test_lengths_of_time_are_exact_where_minutes_count(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T22:10Z", datetime(2026, 11, 24, 22, 10, tzinfo=UTC)),
        ("2026-11-24T22:10", datetime(2026, 11, 24, 22, 10, tzinfo=UTC)),
        ("2026-11-25T07:10+09:00", datetime(2026, 11, 24, 22, 10, tzinfo=UTC)),
        ("2026-11-24 22:10:30", datetime(2026, 11, 24, 22, 10, 30, tzinfo=UTC)),
        (" 15m ", NOW - timedelta(minutes=15)),
        ("2d", NOW - timedelta(days=2)),
        ("90s", NOW - timedelta(seconds=90)),
    ],
)
def test_moments_are_given_as_a_time_or_as_how_long_ago(text: str, expected: datetime) -> None:
    assert moment(text, "--at", NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "15", "15 min", "2026-13-01", "999999d", "22:10"])
def test_what_is_no_moment_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(OpsError, match=r"--at is .* must be a time like 2026-11-24T22:10Z") as raised:
        moment(text, "--at", NOW)
    assert "\n" not in str(raised.value)


def test_the_future_is_refused_but_for_clocks_that_differ_a_little() -> None:
    assert moment("2026-11-24T22:30:30Z", "--at", NOW) > NOW
    with pytest.raises(OpsError, match="in the future"):
        moment("2026-11-24T22:32Z", "--at", NOW)


def test_an_open_incident_is_looked_at_until_now() -> None:
    seen = window(samples.incident(closed=None), samples.after(20))
    assert seen == TimeWindow(start=samples.after(-30), end=samples.after(20))


def test_a_closed_one_is_looked_at_until_a_quarter_of_an_hour_after_its_end() -> None:
    assert window(samples.incident(), samples.after(6000)).end == samples.after(65 + 15)
    assert window(samples.incident(), samples.after(66)).end == samples.after(66)


def test_of_a_long_incident_the_first_day_is_looked_at() -> None:
    seen = window(samples.incident(closed=None), samples.after(3 * 24 * 60))
    assert seen.end - seen.start == timedelta(hours=24)
    assert seen.cut
    assert not window(samples.incident(), samples.after(80)).cut


def test_the_end_of_a_past_alert_counts_where_nobody_closed_the_incident() -> None:
    ended = samples.incident(closed=None, alert=samples.alert(ends=samples.after(40)))
    assert window(ended, samples.after(600)).end == samples.after(55)


@pytest.mark.parametrize(
    "labels", [{"job": "recorder", "site": "tokyo 1"}, {"path": "/a=b/c", "name": "日本 & x"}, {"instance": "kafka-1"}]
)
def test_an_identity_tells_the_labels_that_it_was_made_of(labels: dict[str, str]) -> None:
    assert subject_of(alert_id("RecordingFailures", labels)) == labels


def test_an_identity_without_labels_tells_none() -> None:
    assert subject_of("Watchdog") == {}


@pytest.mark.parametrize(
    ("minutes", "text"), [(0, "+0:00"), (4.5, "+4:30"), (-6.5, "-6:30"), (65, "+1:05:00"), (-90, "-1:30:00")]
)
def test_times_after_the_alert_are_written_like_a_stopwatch(minutes: float, text: str) -> None:
    assert after(samples.after(minutes), samples.START) == text


def test_times_are_written_in_the_zone_with_the_day_where_it_differs() -> None:
    tokyo = TimeFormat(zone("Asia/Tokyo"))
    assert tokyo.full(samples.START) == "2026-11-25 07:10:00"
    assert tokyo.short(samples.after(60), samples.START) == "08:10:00"
    assert TimeFormat(UTC).short(samples.after(180), samples.START) == "11-25 01:10:00"
    assert (tokyo.name, TimeFormat(UTC).name) == ("Asia/Tokyo", "UTC")


@pytest.mark.parametrize("name", ["Tokio", "../../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(OpsError, match=r"--zone is .*, must be the name of a time zone"):
        zone(name)
