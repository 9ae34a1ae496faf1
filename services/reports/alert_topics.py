"""Reads ``alerts-processed`` and ``alerts-raw`` from a moment on without a trace: joins no group, commits nothing.

When alerts ended is what each Prometheus said of them, silenced or not: Alertmanager notifies nobody of the end of an
alert that is silenced, and an acknowledgement is a silence; so ``alerts-processed`` alone does not have it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import ValidationError

from services.alert_events.events import ProcessedEvent, RawEvent
from services.reports import KafkaAccess
from services.reports.model import ReportError
from services.runtime import one_line
from services.runtime.kafka import group_consumer

_SLACK_S = 60.0
"""Two Prometheus see a begin or an end at different evaluations."""


@dataclass(frozen=True, kw_only=True)
class Firing:
    """A time that an alert fired, whichever Prometheus said so; ``ended`` is None while one still does."""

    started: float
    ended: float | None

    def covers(self, moment: float) -> bool:
        """Whether an alert that began at a moment began with this."""
        return self.started - _SLACK_S <= moment and (self.ended is None or moment <= self.ended + _SLACK_S)


Firings = Mapping[str, tuple[Firing, ...]]
"""Fingerprint -> its firings, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """The last that a Prometheus said of a firing: it ended then, or it is over if not repeated until then."""

    resolved: bool
    until: float | None


class FiringReader:
    """Takes records in the order of the topic and keeps the last state of each firing only."""

    def __init__(self, identities: Collection[str]) -> None:
        """Keep what is about these alerts."""
        self._keys = frozenset(identity.encode() for identity in identities)
        self._states: dict[tuple[str, str, float], _State] = {}
        self._newest = 0.0

    def take(self, key: bytes | None, value: bytes | None, at: float) -> None:
        """Take a record that was written at ``at``, seconds since 1970; what cannot be read says nothing."""
        self._newest = max(self._newest, at)
        if key not in self._keys:
            return
        try:
            event = RawEvent.model_validate_json(value or b"")
        except ValidationError:
            return
        resolved = event.status == "resolved"
        until = event.ends_at if resolved else event.valid_until
        self._states[event.sender, event.fingerprint, event.starts_at.timestamp()] = _State(
            resolved=resolved, until=until.timestamp() if until else None
        )

    def firings(self) -> Firings:
        """All firings; times of two Prometheus that meet are one."""
        spans: dict[str, list[Firing]] = defaultdict(list)
        for (_, fingerprint, started), state in self._states.items():
            # The alert that always fires keeps the topic moving: who is behind its newest record is gone.
            over = state.until is not None and (state.resolved or state.until + _SLACK_S < self._newest)
            spans[fingerprint].append(Firing(started=started, ended=state.until if over else None))
        return {fingerprint: _merged(those) for fingerprint, those in spans.items()}


def _merged(spans: list[Firing]) -> tuple[Firing, ...]:
    merged: list[Firing] = []
    for span in sorted(spans, key=lambda one: one.started):
        last = merged[-1] if merged else None
        if last is None or (last.ended is not None and last.ended < span.started):
            merged.append(span)
        elif last.ended is not None:
            ended = None if span.ended is None else max(last.ended, span.ended)
            merged[-1] = Firing(started=last.started, ended=ended)
    return tuple(merged)


_REQUEST_S = 20.0
_READ_LIMIT_S = 300.0
_BATCH = 500
MOST_NOTIFICATIONS = 200_000
"""What a report holds; each takes memory, all that is made from it included."""
_QUIET = {"log_level": 2}
ESCALATION = "escalation"
"""Label of an alert that was raised again for somebody else; its ``alert_id`` is that of its original."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """What a report keeps of a record of ``alerts-processed``; times are seconds since 1970.

    Attributes:
        alert: Name.
        identity: The alert's identity.
        fingerprint: Hash of all labels.
        priority: Its severity.
        layer: Layer, or empty.
        started: When the alert began to fire.
        ended: When it ended; None while it fires.
        received: When the notification was received.
        receiver: Alertmanager's receiver.
        escalation: Whom an escalated alert was raised for; empty: it is the original.
        summary: What it said, in English and Japanese.
    """

    alert: str
    identity: str
    fingerprint: str
    priority: str
    layer: str
    started: float
    ended: float | None
    received: float
    receiver: str
    escalation: str
    summary: tuple[str, str]


def notification(event: ProcessedEvent) -> Notification:
    """The notification of a record."""
    summary = event.annotations.get("summary", "")
    over = event.ends_at if event.status == "resolved" else None
    return Notification(
        alert=intern(event.labels.get("alertname", "")),
        identity=intern(event.alert_id),
        fingerprint=intern(event.fingerprint),
        priority=intern(event.labels.get("severity", "")),
        layer=intern(event.labels.get("layer", "")),
        started=event.starts_at.timestamp(),
        ended=over.timestamp() if over else None,
        received=event.received_at.timestamp(),
        receiver=intern(event.receiver),
        escalation=intern(event.labels.get(ESCALATION, "")),
        summary=(intern(summary), intern(event.annotations.get("summary_ja") or summary)),
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was read.

    Attributes:
        events: Notifications, in the order of their receipt.
        unreadable: Records of another version, or that are none.
        left_out: Notifications beyond `MOST_NOTIFICATIONS`.
        known_since: From when on the topic is whole, where it no longer reaches back to the begin; else None.
    """

    events: tuple[Notification, ...]
    unreadable: int = 0
    left_out: int = 0
    known_since: float | None = None


class AlertLog(Protocol):
    """Who knows the notifications, and what each Prometheus raised."""

    def since(self, start: float, end: float) -> Log:
        """Notifications received from ``start`` until now, of alerts that began before ``end`` (seconds since 1970).

        Raises:
            ReportError: They cannot be read.
        """

    def firings(self, identities: Collection[str], start: float) -> Firings:
        """When some alerts fired, as far as it was raised from ``start`` until now.

        Raises:
            ReportError: It cannot be read.
        """


class KafkaAlertLog:
    """The topics in Kafka."""

    def __init__(self, access: KafkaAccess, connect: Callable[[dict[str, Any]], Any] = Consumer) -> None:
        """Read as ``access`` says; ``connect`` makes the client from librdkafka settings."""
        self._access, self._connect = access, connect

    def since(self, start: float, end: float) -> Log:
        """As `AlertLog` says."""
        events: list[Notification] = []
        unreadable = left_out = 0

        def take(message: Any) -> None:
            nonlocal unreadable, left_out
            try:
                event = notification(ProcessedEvent.model_validate_json(message.value() or b""))
            except ValidationError:
                unreadable += 1
                return
            # Kafka finds the first record of a moment; older ones may stand behind it.
            if event.received >= start and event.started < end:
                if len(events) < MOST_NOTIFICATIONS:
                    events.append(event)
                else:
                    left_out += 1

        known_since = self._read(self._access.topic, start, take)
        return Log(
            events=tuple(sorted(events, key=lambda event: event.received)),
            unreadable=unreadable,
            left_out=left_out,
            known_since=known_since,
        )

    def firings(self, identities: Collection[str], start: float) -> Firings:
        """As `AlertLog` says."""
        reader = FiringReader(identities)
        self._read(
            self._access.raw_topic,
            start,
            lambda message: reader.take(message.key(), message.value(), message.timestamp()[1] / 1000),
        )
        return reader.firings()

    def _read(self, topic: str, start: float, take: Callable[[Any], None]) -> float | None:
        """Hand over each record from ``start`` to the present end; returns from when on the topic is whole."""
        client = None
        try:
            # Nothing joins the group that the client asks for, and nothing is committed.
            client = self._connect(group_consumer(self._access) | _QUIET)
            return self._consume(client, topic, start, take)
        except KafkaException as error:
            raise ReportError(f"topic {topic} cannot be read: {one_line(_text(error))}") from None
        except OSError as error:
            raise ReportError(f"{self._access.password_file}: cannot be read: {error.strerror}") from None
        finally:
            if client is not None:
                client.close()

    def _consume(self, client: Any, topic: str, start: float, take: Callable[[Any], None]) -> float | None:
        left, cut = self._ends(client, topic, start)
        known_since: float | None = None
        deadline = time.monotonic() + _READ_LIMIT_S
        while left:
            if time.monotonic() > deadline:
                raise ReportError(f"topic {topic} was not read to its end within {_READ_LIMIT_S:.0f} s")
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
                if partition in cut:
                    cut.remove(partition)
                    known_since = max(known_since or start, message.timestamp()[1] / 1000)
                take(message)
            # Positions also pass over what compaction and transactions left out.
            for position in client.position([TopicPartition(topic, partition) for partition in left]):
                if position.offset >= left[position.partition]:
                    left.pop(position.partition)
        return known_since

    def _ends(self, client: Any, topic: str, start: float) -> tuple[dict[int, int], set[int]]:
        """Begin at ``start``.

        Returns:
            The present end of each partition that has records from then on; those of them whose records from before
            their first one were removed, so that some of them may have been of that time.
        """
        metadata = client.list_topics(topic, timeout=_REQUEST_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        wanted = [TopicPartition(topic, partition, int(start * 1000)) for partition in metadata.partitions]
        places = client.offsets_for_times(wanted, timeout=_REQUEST_S)
        ends: dict[int, int] = {}
        cut: set[int] = set()
        begin: list[TopicPartition] = []
        for first in places:
            if first.error is not None:
                raise KafkaException(first.error)
            low, high = client.get_watermark_offsets(TopicPartition(topic, first.partition), timeout=_REQUEST_S)
            if 0 <= first.offset < high:
                ends[first.partition] = high
                begin.append(TopicPartition(topic, first.partition, max(first.offset, low)))
                if 0 < low >= first.offset:
                    cut.add(first.partition)
        client.assign(begin)
        return ends, cut


def _text(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return inner.str() if hasattr(inner, "str") else str(inner)
