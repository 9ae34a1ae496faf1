"""The whole tree of escalation, in a time that runs faster: who is notified what, and who is not (requirement A2).

Every story is one alert that nobody else shares. All of them happen at the same time, in front of a real Prometheus and
a real pair of Alertmanagers; Prometheus is restarted while only Medium alerts wait for their escalation.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from components.alerting.escalation import LEVELS
from components.rules import Severity
from tests.config.escalation_harness import LOOK_S, Harness, Told, delay_s, early_s, harness, hold_s, wait_s

pytestmark = pytest.mark.timed

FIRST = {
    Severity.CRITICAL: ("phone", "sms", "slack"),
    Severity.HIGH: ("slack", "mail"),
    Severity.MEDIUM: ("mail",),
}
NEXT = {
    Severity.CRITICAL: ("phone", "sms", "mail"),
    Severity.HIGH: ("phone",),
    Severity.MEDIUM: ("mail",),
}
"""Every channel that the test's contact of the next level has."""
LATE_S = 20.0
"""How much later than it should a busy machine may do something."""
RESTART_AT_S = 45.0
"""When Critical and High alerts are over, and Medium ones wait for longer than the restarted Prometheus does (30 s)."""
EARLY_S = 1.5
"""What the times that Prometheus keeps over a restart are rounded by, and what our clock is read before."""


@dataclass
class Story:
    """What happens to one alert, and when it did, as seconds since 1970."""

    severity: Severity
    kind: str
    moments: dict[str, float] = field(default_factory=dict)

    @property
    def alert(self) -> str:
        """Name of the alert."""
        return f"{self.severity.capitalize()}{self.kind}"

    def expected(self) -> Counter[tuple[str, str, str]]:
        """State, contact and channel of every notification that there should be."""
        if self.severity is Severity.LOW:
            return Counter()
        first = [("operators", channel) for channel in FIRST[self.severity]]
        second = [(LEVELS[self.severity], channel) for channel in NEXT[self.severity]]
        told = {
            "Ignored": {"firing": first + second, "resolved": first + second},
            "Acknowledged": {"firing": first},
            "AcknowledgedLate": {"firing": first + second},
            "Recovered": {"firing": first, "resolved": first},
        }[self.kind]
        return Counter(
            (state, *notification) for state, notifications in told.items() for notification in notifications
        )


STORIES = (
    *(
        Story(severity, kind)
        for kind in ("Ignored", "Acknowledged", "AcknowledgedLate", "Recovered")
        for severity in LEVELS
    ),
    Story(Severity.LOW, "Ignored"),
)
BY_NAME = {story.alert: story for story in STORIES}


def _begin(here: Harness, story: Story) -> list[Told]:
    story.moments["trouble"] = here.trouble(story.alert, True)
    return here.wait(story.alert, "firing", "operators", FIRST[story.severity], hold_s(story.severity) + LATE_S)


def _escalation(here: Harness, story: Story) -> list[Told]:
    limit = delay_s(story.severity) + 2 * LATE_S
    return here.wait(story.alert, "firing", LEVELS[story.severity], NEXT[story.severity], limit)


def _ignored(here: Harness, story: Story) -> None:
    first, second = _begin(here, story), _escalation(here, story)
    here.between_looks(first, second)
    story.moments["over"] = here.trouble(story.alert, False)
    for contact, channels in (("operators", FIRST), (LEVELS[story.severity], NEXT)):
        here.wait(story.alert, "resolved", contact, channels[story.severity], LOOK_S + LATE_S)


def _acknowledged(here: Harness, story: Story) -> None:
    _begin(here, story)
    story.moments["acknowledged"] = here.acknowledge(story.alert)


def _acknowledged_late(here: Harness, story: Story) -> None:
    _begin(here, story)
    _escalation(here, story)
    story.moments["acknowledged"] = here.acknowledge(story.alert)


def _recovered(here: Harness, story: Story) -> None:
    here.between_looks(_begin(here, story))
    story.moments["over"] = here.trouble(story.alert, False)
    here.wait(story.alert, "resolved", "operators", FIRST[story.severity], LOOK_S + LATE_S)


def _low(here: Harness, story: Story) -> None:
    story.moments["trouble"] = here.trouble(story.alert, True)


_TELL: dict[str, Callable[[Harness, Story], None]] = {
    "Ignored": _ignored,
    "Acknowledged": _acknowledged,
    "AcknowledgedLate": _acknowledged_late,
    "Recovered": _recovered,
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """The harness after all stories, when nothing more can come."""
    with harness(tmp_path_factory.mktemp("escalation"), {story.alert: story.severity for story in STORIES}) as here:
        running = here.start_prometheus()
        try:
            with ThreadPoolExecutor(len(STORIES)) as pool:
                begun = time.time()
                told = [
                    pool.submit(_low if story.severity is Severity.LOW else _TELL[story.kind], here, story)
                    for story in STORIES
                ]
                time.sleep(RESTART_AT_S)
                here.away_from = time.time()
                running.close()
                running = here.start_prometheus()
                here.away_to = time.time()
                for future in told:
                    future.result()
            time.sleep(max(0.0, begun + delay_s(Severity.MEDIUM) + LATE_S - time.time()))
            # What was acknowledged would now be told as resolved.
            for story in STORIES:
                here.trouble(story.alert, False)
            time.sleep(2 * LOOK_S)
            yield here
        finally:
            running.close()


@pytest.mark.parametrize("name", BY_NAME)
def test_exactly_the_right_people_are_told_by_exactly_the_right_channels(lived: Harness, name: str) -> None:
    told = Counter(
        (notification.state, notification.contact, notification.channel) for notification in lived.told(name)
    )
    assert told == BY_NAME[name].expected()


@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("kind", ["Ignored", "Acknowledged", "AcknowledgedLate", "Recovered"])
def test_the_first_notification_comes_at_once(lived: Harness, severity: Severity, kind: str) -> None:
    story = BY_NAME[Story(severity, kind).alert]
    due = story.moments["trouble"] + hold_s(severity)
    for notification in lived.told(story.alert):
        if (notification.state, notification.contact) == ("firing", "operators"):
            assert due <= notification.at <= due + wait_s(severity) + LATE_S


@pytest.mark.drill
@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("kind", ["Ignored", "AcknowledgedLate"])
def test_the_next_level_is_told_within_the_delay(lived: Harness, severity: Severity, kind: str) -> None:
    """Of the five seconds that five minutes are here, a busy machine takes two: with the machine for itself."""
    story = BY_NAME[Story(severity, kind).alert]
    due = story.moments["trouble"] + delay_s(severity)
    # The time for which the only Prometheus is away does not count; on the platform the other replica goes on.
    away = lived.away_s if severity is Severity.MEDIUM else 0.0
    assert max(_next_told(lived, story)) <= due + away


@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("kind", ["Ignored", "AcknowledgedLate"])
def test_the_next_level_is_told_once_and_not_too_early(lived: Harness, severity: Severity, kind: str) -> None:
    story = BY_NAME[Story(severity, kind).alert]
    told = _next_told(lived, story)
    assert len(told) == len(NEXT[severity])
    assert story.moments["trouble"] + delay_s(severity) - early_s(severity) - EARLY_S <= min(told)


def _next_told(here: Harness, story: Story) -> list[float]:
    contact = LEVELS[story.severity]
    return [
        notification.at
        for notification in here.told(story.alert)
        if (notification.state, notification.contact) == ("firing", contact)
    ]


def test_a_restart_of_prometheus_starts_no_delay_anew(lived: Harness) -> None:
    story = BY_NAME[Story(Severity.MEDIUM, "Ignored").alert]
    (told,) = (
        notification
        for notification in lived.told(story.alert)
        if (notification.state, notification.contact) == ("firing", "team-leader")
    )
    assert lived.away_to < told.at, "the restart came too late to show anything"
    assert told.at < lived.away_to + delay_s(Severity.MEDIUM) - LATE_S


@pytest.mark.parametrize("severity", LEVELS)
def test_acknowledgements_came_before_the_delay_was_over(lived: Harness, severity: Severity) -> None:
    moments = BY_NAME[Story(severity, "Acknowledged").alert].moments
    assert moments["acknowledged"] < moments["trouble"] + delay_s(severity), "the machine was too slow for this test"


def test_a_low_alert_is_told_to_kafka_alone_for_the_daily_report(lived: Harness) -> None:
    story = BY_NAME[Story(Severity.LOW, "Ignored").alert]
    (event, *_) = lived.pair.events(story.alert)
    assert event["labels"]["severity"] == "low"
