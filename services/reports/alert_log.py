"""Alerts of a period, from ``alerts-processed``, and their section of a report (6.2).

The topic is read from a moment on without a trace (joins no group, commits nothing), as episodes: one for each time
that an alert fired, with the notifications that were sent about it. The section has them by priority, the urgent ones,
the most frequent ones, and the Low ones in full.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import ValidationError

from services.alert_events.events import ProcessedEvent
from services.reports.cells import cell, figure, place, priority, table
from services.reports.i18n import translate
from services.reports.metrics import QueryRunner
from services.reports.model import ReportError, Section, Table, Text, duration, moment, one_line, text_of
from services.reports.settings import KafkaAccess
from services.runtime.kafka import group_consumer

_REQUEST_S = 20.0
_READ_LIMIT_S = 300.0
_BATCH = 500
_MOST_LISTED = 40
_QUIET = {"log_level": 2}


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was read.

    Attributes:
        events: Notifications, in the order of their receipt.
        unreadable: Records of another version, or that are none.
    """

    events: tuple[ProcessedEvent, ...]
    unreadable: int = 0


class AlertLog(Protocol):
    """Who knows the notifications."""

    def since(self, start: float) -> Log:
        """All notifications that were received from ``start`` (seconds since 1970) until now.

        Raises:
            ReportError: They cannot be read.
        """


class KafkaAlertLog:
    """The topic in Kafka."""

    def __init__(self, access: KafkaAccess, connect: Callable[[dict[str, Any]], Any] = Consumer) -> None:
        """Read as ``access`` says; ``connect`` makes the client from librdkafka settings."""
        self._access, self._connect = access, connect

    def since(self, start: float) -> Log:
        """As `AlertLog` says."""
        client = None
        try:
            # Nothing joins the group that the client asks for, and nothing is committed.
            client = self._connect(group_consumer(self._access) | _QUIET)
            return self._read(client, start)
        except KafkaException as error:
            raise ReportError(f"topic {self._access.topic} cannot be read: {one_line(_text(error))}") from None
        except OSError as error:
            raise ReportError(f"{self._access.password_file}: cannot be read: {error.strerror}") from None
        finally:
            if client is not None:
                client.close()

    def _read(self, client: Any, start: float) -> Log:
        left = self._ends(client, start)
        events: list[ProcessedEvent] = []
        unreadable = 0
        deadline = time.monotonic() + _READ_LIMIT_S
        while left:
            if time.monotonic() > deadline:
                raise ReportError(f"topic {self._access.topic} was not read to its end within {_READ_LIMIT_S:.0f} s")
            for message in client.consume(num_messages=_BATCH, timeout=1.0):
                error = message.error()
                if error is not None:
                    if error.fatal() or not error.retriable():
                        raise KafkaException(error)
                    continue
                partition = message.partition()
                if partition not in left or message.offset() >= left[partition]:
                    left.pop(partition, None)
                    continue
                try:
                    events.append(ProcessedEvent.model_validate_json(message.value() or b""))
                except ValidationError:
                    unreadable += 1
            # Positions also pass over what compaction and transactions left out.
            for position in client.position([TopicPartition(self._access.topic, partition) for partition in left]):
                if position.offset >= left[position.partition]:
                    left.pop(position.partition)
        # Kafka finds the first record of a moment; older ones may stand behind it.
        events = [event for event in events if event.received_at.timestamp() >= start]
        return Log(events=tuple(sorted(events, key=lambda event: event.received_at)), unreadable=unreadable)

    def _ends(self, client: Any, start: float) -> dict[int, int]:
        """Begin at ``start``; returns the present end of each partition that has records from then on."""
        topic = self._access.topic
        metadata = client.list_topics(topic, timeout=_REQUEST_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        wanted = [TopicPartition(topic, partition, int(start * 1000)) for partition in metadata.partitions]
        places = client.offsets_for_times(wanted, timeout=_REQUEST_S)
        ends: dict[int, int] = {}
        begin: list[TopicPartition] = []
        for first in places:
            if first.error is not None:
                raise KafkaException(first.error)
            low, high = client.get_watermark_offsets(TopicPartition(topic, first.partition), timeout=_REQUEST_S)
            if 0 <= first.offset < high:
                ends[first.partition] = high
                begin.append(TopicPartition(topic, first.partition, max(first.offset, low)))
        client.assign(begin)
        return ends


def _text(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return inner.str() if hasattr(inner, "str") else str(inner)


PRIORITIES = ("critical", "high", "medium", "low")
"""Most urgent first (requirement 6.2)."""


ESCALATION = "escalation"


PAGED, MAILED = "-phone", "-mail"
"""Ends of the names of receivers that ring a phone or mail, beside that of a contact's other channels."""
"""Label of an alert that was raised again for somebody else; its ``alert_id`` is that of its original."""


_AGAIN_S = 330.0
"""The pager is told each 5 minutes of what still fires, which rings nobody."""
"""The same notification within this time is one that was sent again, or by the other Alertmanager."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One time that one alert fired.

    Attributes:
        alert: Name.
        identity: The alert's identity: what it is about.
        priority: Of `PRIORITIES`, or what else the rule says.
        layer: Layer, or empty.
        started: When it began to fire, seconds since 1970.
        ended: When it ended; None while it fires.
        notifications: Notifications to people, escalations among them.
        escalated: To whom it was escalated.
        summary: What it said, in both languages.
    """

    alert: str
    identity: str
    priority: str
    layer: str
    started: float
    ended: float | None
    notifications: int
    escalated: tuple[str, ...]
    summary: Text

    @property
    def subject(self) -> str:
        """What it is about: its identity without its name."""
        return self.identity.removeprefix(self.alert).lstrip("/")

    @property
    def seconds(self) -> float | None:
        """How long it fired; None while it does."""
        return None if self.ended is None else max(self.ended - self.started, 0.0)


def episodes(events: Iterable[ProcessedEvent], end: float) -> tuple[Episode, ...]:
    """Episodes that began before ``end``, oldest first; what an escalation tells is part of its original's."""
    own: dict[tuple[str, float], list[ProcessedEvent]] = defaultdict(list)
    raised: dict[str, list[ProcessedEvent]] = defaultdict(list)
    for event in events:
        if event.labels.get(ESCALATION):
            raised[event.alert_id].append(event)
        elif event.starts_at.timestamp() < end:
            own[event.fingerprint, event.starts_at.timestamp()].append(event)
    starts: dict[str, list[float]] = defaultdict(list)
    for (_, start), told in own.items():
        starts[told[0].alert_id].append(start)
    collected = []
    for (_, start), told in own.items():
        identity = told[0].alert_id
        following = min((other_start for other_start in starts[identity] if other_start > start), default=float("inf"))
        also = [event for event in raised[identity] if start <= event.starts_at.timestamp() < following]
        collected.append(_episode(told, also))
    return tuple(sorted(collected, key=lambda episode: (episode.started, episode.alert, episode.identity)))


def _episode(told: Sequence[ProcessedEvent], raised: Sequence[ProcessedEvent]) -> Episode:
    last = max(told, key=lambda event: event.received_at)
    ends = [event.ends_at for event in told if event.status == "resolved" and event.ends_at is not None]
    summary = last.annotations.get("summary", "")
    return Episode(
        alert=last.labels.get("alertname", ""),
        identity=last.alert_id,
        priority=last.labels.get("severity", ""),
        layer=last.labels.get("layer", ""),
        started=last.starts_at.timestamp(),
        ended=max(ends).timestamp() if ends else None,
        notifications=_notifications([*told, *raised]),
        escalated=tuple(sorted({event.labels[ESCALATION] for event in raised})),
        summary=Text(en=summary, ja=last.annotations.get("summary_ja") or summary),
    )


def _notifications(events: Sequence[ProcessedEvent]) -> int:
    """Different notifications: what was tried again, or told by both Alertmanagers, counts once."""
    last: dict[tuple[str, str], tuple[str, float]] = {}
    count = 0
    for event in sorted(events, key=lambda event: event.received_at):
        receiver = event.receiver.removesuffix(PAGED).removesuffix(MAILED)
        key, at = (event.fingerprint, receiver), event.received_at.timestamp()
        status, before = last.get(key, ("", float("-inf")))
        count += event.status != status or at - before > _AGAIN_S
        last[key] = event.status, at
    return count


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Several episodes in numbers.

    Attributes:
        count: How many.
        open: How many had not ended.
        notifications: Notifications to people.
        escalated: How many were escalated.
        median_s: Middle time until one ended; None where none has.
        longest_s: Longest time until one ended.
    """

    count: int
    open: int
    notifications: int
    escalated: int
    median_s: float | None
    longest_s: float | None


def tally(episodes: Iterable[Episode]) -> Tally:
    """Count episodes."""
    listed = list(episodes)
    times = [episode.seconds for episode in listed if episode.seconds is not None]
    return Tally(
        count=len(listed),
        open=sum(episode.ended is None for episode in listed),
        notifications=sum(episode.notifications for episode in listed),
        escalated=sum(bool(episode.escalated) for episode in listed),
        median_s=median(times) if times else None,
        longest_s=max(times, default=None),
    )


def by_alert(episodes: Iterable[Episode]) -> list[tuple[str, list[Episode]]]:
    """Episodes by the alert's name, most frequent first."""
    groups: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[episode.alert].append(episode)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def read(runner: QueryRunner, log: AlertLog) -> tuple[Episode, ...] | None:
    """Episodes of the period; None where they cannot be read, which is a problem of the report."""
    try:
        log_read = log.since(runner.period.start)
    except ReportError as error:
        runner.problems.append(translate("problem.alerts", error=one_line(error)))
        return None
    if log_read.unreadable:
        runner.problems.append(translate("problem.records", count=str(log_read.unreadable)))
    return episodes(log_read.events, runner.end)


def daily(alert_episodes: Sequence[Episode] | None, zone: ZoneInfo) -> Section:
    """The alerts of a day."""
    if alert_episodes is None:
        return _unknown()
    urgent = [
        alert_episode for alert_episode in alert_episodes if alert_episode.priority in ("critical", "high", "medium")
    ]
    low = [
        alert_episode
        for alert_episode in alert_episodes
        if alert_episode.priority not in ("critical", "high", "medium")
    ]
    return Section(
        title=translate("alerts.title"),
        blocks=(
            priorities(alert_episodes),
            _list("alerts.urgent", sorted(urgent, key=_urgency), zone, empty="alerts.none-urgent"),
            _list("alerts.low", low, zone, empty="alerts.none-low"),
        ),
    )


def weekly(alert_episodes: Sequence[Episode] | None) -> Section:
    """The alerts of a week, the most frequent first."""
    if alert_episodes is None:
        return _unknown()
    rows = []
    for name, those in by_alert(alert_episodes):
        one = tally(those)
        rows.append(
            (
                cell(name),
                priority(those[0].priority),
                cell(place(those[0].layer)),
                figure(str(one.count)),
                figure(str(len({episode.identity for episode in those}))),
                figure(str(one.notifications)),
                figure(duration(one.median_s)),
                figure(duration(one.longest_s)),
            )
        )
    top = table(
        "alerts.top",
        (
            "head.alert",
            "head.priority",
            "head.layer",
            "head.count",
            "head.subjects",
            "head.notifications",
            "head.median",
            "head.longest",
        ),
        rows,
        empty="alerts.none",
        most=15,
    )
    return Section(title=translate("alerts.title"), blocks=(priorities(alert_episodes), top))


def priorities(alert_episodes: Sequence[Episode]) -> Table:
    """How many alerts there were of each priority, and how long they lasted."""
    others = sorted({alert_episode.priority for alert_episode in alert_episodes} - set(PRIORITIES))
    rows = []
    for name in (*PRIORITIES, *others):
        one = tally(alert_episode for alert_episode in alert_episodes if alert_episode.priority == name)
        rows.append(
            (
                priority(name),
                figure(str(one.count)),
                figure(str(one.open), "warning" if one.open else ""),
                figure(str(one.notifications)),
                figure(str(one.escalated)),
                figure(duration(one.median_s)),
                figure(duration(one.longest_s)),
            )
        )
    return table(
        "alerts.priorities",
        (
            "head.priority",
            "head.count",
            "head.open",
            "head.notifications",
            "head.escalated",
            "head.median",
            "head.longest",
        ),
        rows,
        note=translate("alerts.note"),
    )


def _list(title: str, alert_episodes: Sequence[Episode], zone: ZoneInfo, *, empty: str) -> Table:
    rows = [
        (
            cell(moment(alert_episode.started, zone, "%m-%d %H:%M")),
            priority(alert_episode.priority),
            cell(alert_episode.alert),
            cell(alert_episode.summary if alert_episode.summary.en else text_of(alert_episode.subject)),
            figure(duration(alert_episode.seconds) if alert_episode.ended is not None else translate("alerts.still")),
            figure(str(alert_episode.notifications)),
        )
        for alert_episode in alert_episodes
    ]
    head = ("head.since", "head.priority", "head.alert", "head.what", "head.lasted", "head.notifications")
    return table(title, head, rows, empty=empty, most=_MOST_LISTED)


def _urgency(episode: Episode) -> tuple[int, float]:
    return (PRIORITIES.index(episode.priority), episode.started)


def _unknown() -> Section:
    return Section(
        title=translate("alerts.title"),
        blocks=(table("alerts.priorities", ("head.priority",), (), empty="alerts.unread"),),
    )
