"""Alerts of a period: episodes, notifications, escalations, and what is made of them."""

from __future__ import annotations

import pytest

from components.alertmanager.config import paged_receiver, split_receivers
from components.alertmanager.receivers import Channel
from services.reports.alert_log import by_alert, episodes, tally
from services.reports.recommendations import noisy
from tests.unit.services.reports.events import event
from tests.unit.services.reports.harness import HOUR, MINUTE, at

NOON = at("2026-11-24 12:00")
END = at("2026-11-25 00:00")


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
    (episode,) = episodes([*told, *again, *ended], END)
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
    assert (one.count, one.open, one.notifications, one.median_s, one.longest_s) == (4, 1, 7, 600, 3600)
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
