"""Alerts of a period: episodes, notifications, escalations, and what is made of them."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from components.alertmanager import config as alertmanager
from components.alertmanager.config import paged_receiver, split_receivers
from components.alertmanager.receivers import Channel
from services.alert_events.events import ProcessedEvent
from services.reports import alert_log
from services.reports.alert_log import DAILY_REPORT, Alerts, Episode, by_alert, daily, tally, with_ends
from services.reports.alert_topics import FiringReader, notification
from services.reports.model import Table
from services.reports.recommendations import noisy
from tests.unit.services.reports.events import event, raised, read_firings
from tests.unit.services.reports.harness import DAY, HOUR, MINUTE, TOKYO, at

NOON = at("2026-11-24 12:00")
START, END = at("2026-11-24 00:00"), at("2026-11-25 00:00")


def episodes(events: Sequence[ProcessedEvent], end: float = END) -> tuple[Episode, ...]:
    return alert_log.episodes([notification(one) for one in events], START, end)


def test_firing_and_resolved_are_one_episode_with_the_time_between() -> None:
    (episode,) = episodes(
        [
            event("KafkaBrokerDown", NOON, received=NOON + 10, instance="kafka-1"),
            event("KafkaBrokerDown", NOON, received=NOON + HOUR + 5, end=NOON + HOUR, instance="kafka-1"),
        ],
        END,
    )
    assert (episode.alert, episode.priority, episode.layer) == ("KafkaBrokerDown", "high", "platform")
    assert episode.seconds == HOUR
    assert episode.notifications == 2
    assert episode.subject.startswith("instance=kafka-1")
    assert (episode.summary.en, episode.summary.ja) == ("it is down", "停止しています")


def test_an_alert_that_fires_again_is_another_episode() -> None:
    firings = episodes([event("A", NOON + n * HOUR, received=NOON + n * HOUR) for n in range(3)], END)
    assert [episode.started for episode in firings] == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert all(episode.ended is None for episode in firings)


def test_the_same_notification_within_a_minute_counts_once_and_a_reminder_counts_again() -> None:
    told = [
        event("A", NOON, received=NOON + 10),
        event("A", NOON, received=NOON + 12, sender="10.0.0.2"),
        event("A", NOON, received=NOON + 10, receiver="owners"),
        event("A", NOON, received=NOON + 4 * HOUR),
    ]
    (episode,) = episodes(told, END)
    assert episode.notifications == 3


def test_a_call_and_the_other_channels_of_the_same_contact_are_one_notification() -> None:
    names = [paged_receiver("operators-critical", [Channel.PHONE, Channel.SMS]), "operators-critical"]
    (episode,) = episodes(
        [event("A", NOON, received=NOON + n, receiver=str(name)) for n, name in enumerate(names)], END
    )
    assert names[0] != names[1]
    assert episode.notifications == 1


def test_mail_of_the_same_contact_and_what_the_pager_is_told_again_count_once() -> None:
    parts = [*split_receivers("operators-high", [Channel.PHONE, Channel.SLACK, Channel.MAIL])]
    told = [event("A", NOON, received=NOON + n, receiver=name) for n, name in enumerate(parts)]
    again = [event("A", NOON, received=NOON + n * 5 * MINUTE, receiver=parts[0]) for n in range(1, 13)]
    ended = [event("A", NOON, received=NOON + HOUR + 5, receiver=name, end=NOON + HOUR) for name in parts]
    (episode,) = episodes([*told, *again, *ended])
    assert len(parts) == 3
    assert episode.notifications == 2


def test_an_escalation_belongs_to_the_episode_that_it_was_raised_in() -> None:
    told = [
        event("A", NOON, received=NOON + 10),
        event("A", NOON, received=NOON + 20 * MINUTE, end=NOON + 20 * MINUTE),
        event("A", NOON + 5 * MINUTE, received=NOON + 5 * MINUTE, escalation="senior-manager"),
        event("A", NOON + HOUR, received=NOON + HOUR),
    ]
    first, second = episodes(told, END)
    assert (first.escalated, second.escalated) == (("senior-manager",), ())
    assert (first.notifications, second.notifications) == (3, 1)


def test_what_began_after_the_period_is_left_out_and_an_end_after_it_counts() -> None:
    told = [
        event("A", NOON, received=NOON),
        event("A", NOON, received=END + HOUR, end=END + HOUR),
        event("B", END + 1, received=END + 2),
    ]
    (episode,) = episodes(told, END)
    assert episode.ended == END + HOUR


def test_a_text_that_is_in_english_only_stands_in_both_languages() -> None:
    (episode,) = episodes([event("A", NOON, received=NOON, summary="only this", summary_ja="")], END)
    assert episode.summary.ja == "only this"


def test_episodes_are_counted_with_the_middle_and_the_longest_time() -> None:
    told = []
    for number, minutes in enumerate((5, 10, 60)):
        start = NOON + number * HOUR
        told.append(event("A", start, received=start))
        told.append(event("A", start, received=start + minutes * MINUTE, end=start + minutes * MINUTE))
    told.append(event("B", NOON, received=NOON))
    firings = episodes(told, END)
    one = tally(firings)
    assert (one.count, one.earlier, one.open, one.notifications) == (4, 0, 1, 7)
    assert (one.median_s, one.longest_s) == (600, 3600)
    assert [(name, len(those)) for name, those in by_alert(firings)] == [("A", 3), ("B", 1)]
    assert tally(()).median_s is None


@pytest.mark.parametrize(("times", "minutes", "told"), [(10, 5, True), (9, 5, False), (10, 30, False)])
def test_an_alert_that_fires_often_and_shortly_is_called_noisy(times: int, minutes: int, told: bool) -> None:
    events = []
    for number in range(times):
        start = NOON - number * HOUR
        events.append(event("A", start, received=start))
        events.append(event("A", start, received=start + minutes * MINUTE, end=start + minutes * MINUTE))
    recommendations = noisy(episodes(events, END))
    assert bool(recommendations) == told
    if told:
        assert recommendations[0].metric == 'ALERTS{alertname="A"}'
        assert recommendations[0].value.en == "10"


def test_what_was_notified_after_the_period_belongs_to_the_next_report() -> None:
    (episode,) = episodes(
        [
            event("A", NOON, received=NOON),
            event("A", NOON, received=END + 5, end=END),
            event("A", END + 60, received=END + 60, escalation="senior-manager"),
        ]
    )
    assert (episode.notifications, episode.escalated, episode.ended) == (1, (), END)


def test_what_began_before_the_period_is_no_begin_in_it() -> None:
    firings = episodes(
        [
            event("A", START - HOUR, received=START + MINUTE, end=START),
            event("A", NOON, received=NOON),
            event("B", START - DAY, received=NOON),
            event("B", START - 2 * DAY, received=NOON, instance="other"),
        ]
    )
    one = tally(firings)
    assert (one.count, one.earlier, one.notifications) == (1, 3, 4)
    assert [name for name, _ in by_alert(firings)] == ["A", "B"]
    assert noisy(episodes([event("A", START - n * HOUR, received=NOON, end=START) for n in range(1, 12)])) == []


def test_nobody_is_notified_by_the_receiver_of_the_daily_report() -> None:
    assert DAILY_REPORT == alertmanager.DAILY_REPORT
    told = [
        event("A", NOON, received=NOON, severity="low", receiver=DAILY_REPORT),
        event("A", NOON, received=NOON + HOUR, end=NOON + HOUR, severity="low", receiver=DAILY_REPORT),
    ]
    (episode,) = episodes(told)
    assert (episode.notifications, episode.seconds) == (0, HOUR)


def test_low_alerts_are_listed_beyond_forty_and_those_left_out_are_named() -> None:
    told = [
        event(f"A{number % 2}", NOON + number, received=NOON + number, severity="low", receiver=DAILY_REPORT)
        for number in range(503)
    ]
    section = daily(Alerts(episodes=episodes(told)), TOKYO)
    low = section.blocks[-1]
    assert isinstance(low, Table)
    assert len(low.rows) == 500
    assert low.rows[0][-1].text.en == "-"
    assert low.note is not None
    assert low.note.en == "Not listed: A0 (2), A1 (1). 3 more are not shown."


def acknowledged() -> tuple[Episode, ...]:
    """An alert that was silenced after it was notified."""
    return episodes([event("A", NOON, received=NOON + 10)])


def test_an_alert_that_was_acknowledged_and_then_mended_has_the_end_that_prometheus_raised() -> None:
    ids = {acknowledged()[0].identity}
    raw = [
        raised("A", NOON, received=NOON + 20),
        raised("A", NOON + 5, received=NOON + 25, sender="prometheus-secondary-0"),
        raised("B", NOON, received=NOON + 30),
        raised("A", NOON, received=NOON + HOUR, end=NOON + HOUR),
    ]
    # One of two still says that it fires.
    (episode,) = with_ends(acknowledged(), read_firings(raw, ids))
    assert episode.ended == NOON + HOUR
    fires = [*raw, raised("A", NOON + 5, received=NOON + HOUR, sender="prometheus-secondary-0")]
    (episode,) = with_ends(acknowledged(), read_firings(fires, ids))
    assert episode.ended is None
    over = [
        *fires,
        raised("A", NOON + 5, received=NOON + HOUR + 9, end=NOON + HOUR + 8, sender="prometheus-secondary-0"),
        raised("A", NOON + 2 * HOUR, received=NOON + 2 * HOUR),
    ]
    (episode,) = with_ends(acknowledged(), read_firings(over, ids))
    assert episode.ended == NOON + HOUR + 8


def test_an_alert_whose_prometheus_is_gone_is_over_and_one_of_a_silent_topic_is_not() -> None:
    ids = {acknowledged()[0].identity}
    last = raised("A", NOON, received=NOON + HOUR)
    (episode,) = with_ends(acknowledged(), read_firings([last], ids))
    assert episode.ended is None
    moving = [last, raised("Watchdog", NOON, received=NOON + 2 * HOUR)]
    (episode,) = with_ends(acknowledged(), read_firings(moving, ids))
    assert episode.ended == NOON + HOUR + 36


def test_records_that_are_none_are_passed_over_and_other_alerts_are_not_looked_at() -> None:
    reader = FiringReader({"A"})
    reader.take(b"A", b"no JSON", NOON)
    reader.take(b"B", b"no JSON", NOON)
    reader.take(b"A", None, NOON)
    assert reader.firings() == {}


def test_memory_and_time_of_many_notifications_are_bounded() -> None:
    """A fifth of `MOST_NOTIFICATIONS`, all of one alert that comes and goes: the worst case of both."""
    one = notification(event("A", NOON, received=NOON))
    up = notification(event("A", NOON, received=NOON, escalation="senior-manager"))
    tracemalloc.start()
    began = time.process_time()
    told = [
        replace(source, started=NOON + number, received=NOON + number, summary=(f"{number} down", f"{number} 停止"))
        for number in range(20_000)
        for source in (one, up)
    ]
    firings = alert_log.episodes(told, START, END)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(firings) == 20_000
    assert all(episode.escalated for episode in firings)
    assert most < 80 * 2**20
    assert time.process_time() - began < 20
