"""The topic of the audit log: what was written last, and one record after the other behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from services.audit import AuditSettings, Source
from services.audit.cluster import request_of
from services.audit.metrics import Metrics
from services.audit.operators import event_of
from services.audit.records import CHECKPOINT, AuditRecord, Entry, Link, link_of, linked, parsed, value_of
from services.runtime.kafka import librdkafka
from services.runtime.kafka_sender import BrokersError, BusyError, Record, Sender

REMEMBERED = timedelta(hours=2)
"""Longer than Kubernetes keeps an Event: whose name is known from then is not written twice."""
_ASK_S = 15.0
_STEP = 1000
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
PARTITION = 0
"""One partition is one order; more would take the chain apart."""


class JournalError(Exception):
    """The topic cannot be read; in one line."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an earlier process left.

    Attributes:
        newest: The newest record of this region; None: there is none.
        positions: How far each source was read.
        events: Names of Events that were written lately.
        requests: Digests of events of the API server that were written lately.
        written: When the newest record was; None: there is none.
    """

    newest: Link | None
    positions: dict[str, str]
    events: frozenset[str]
    requests: frozenset[str] = frozenset()
    written: datetime | None = None

    def away_s(self, now: datetime) -> float:
        """How long nobody has written; 0 where nobody ever has."""
        return (now - self.written).total_seconds() if self.written else 0.0


def past(records: Sequence[AuditRecord]) -> Past:
    """What the last records of a region say, oldest first, from a checkpoint on or from the very first."""
    positions: dict[str, str] = {}
    for record in records:
        if record.action == CHECKPOINT and record.source is Source.AUDIT:
            positions = dict(record.positions)
        else:
            positions |= record.positions
    keys = [key for record in records for key in record.positions]
    return Past(
        newest=link_of(records[-1]) if records else None,
        positions={key: place for key, place in positions.items() if not event_of(key) and not request_of(key)},
        events=frozenset(filter(None, map(event_of, keys))),
        requests=frozenset(filter(None, map(request_of, keys))),
        written=records[-1].recorded_at if records else None,
    )


class Tail:
    """Reads the end of the topic."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings

    def read(self, now: datetime) -> list[AuditRecord]:
        """The last records of this region, oldest first: back to a checkpoint, and `REMEMBERED` ago.

        Raises:
            JournalError: The brokers do not answer, or refuse.
        """
        kafka = self._settings.kafka
        try:
            consumer = Consumer(
                {
                    **librdkafka(
                        bootstrap=kafka.bootstrap,
                        ca=kafka.ca_file,
                        username=kafka.user,
                        password=kafka.password_file.read_text().strip(),
                        client_id=kafka.group,
                    ),
                    "group.id": kafka.group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "log_level": 0,
                }
            )
        except OSError as error:
            raise JournalError(f"{error.filename} cannot be read: {error.strerror}") from None
        except KafkaException as error:
            raise JournalError(error.args[0].str()) from None
        try:
            return self._back(consumer, now)
        except KafkaException as error:
            raise JournalError(error.args[0].str()) from None
        finally:
            consumer.close()

    def _back(self, consumer: Any, now: datetime) -> list[AuditRecord]:
        low, high = consumer.get_watermark_offsets(TopicPartition(self._settings.topic, PARTITION), timeout=_ASK_S)
        low = max(low, 0) if low != OFFSET_INVALID else 0
        start, step = high, _STEP
        while start > low:
            start, step = max(low, start - step), step * 4
            records = self._between(consumer, start, high)
            if _enough(records, now):
                return records
        return [] if high <= low else self._between(consumer, low, high)

    def _between(self, consumer: Any, start: int, end: int) -> list[AuditRecord]:
        consumer.assign([TopicPartition(self._settings.topic, PARTITION, start)])
        records: list[AuditRecord] = []
        deadline = time.monotonic() + _ASK_S
        at = start
        while at < end:
            messages = consumer.consume(_STEP, timeout=1.0)
            if not messages and time.monotonic() > deadline:
                raise JournalError(f"{self._settings.topic}: no record after offset {at} came in time")
            for message in messages:
                if message.error():
                    # The end: what is missing up to it are marks of Kafka's own.
                    if message.error().name() == "_PARTITION_EOF":
                        return records
                    raise KafkaException(message.error())
                deadline, at = time.monotonic() + _ASK_S, message.offset() + 1
                known = parsed(message.value() or b"")
                if known and known[0].region == self._settings.region:
                    records.append(known[0])
        return records


def _enough(records: Sequence[AuditRecord], now: datetime) -> bool:
    checkpoint = any(record.action == CHECKPOINT and record.source is Source.AUDIT for record in records)
    return checkpoint and records[0].recorded_at < now - REMEMBERED


class Journal:
    """Writes records, each behind the last; one thread calls it."""

    def __init__(self, settings: AuditSettings, sender: Sender, newest: Link | None, metrics: Metrics) -> None:
        self._settings, self._sender, self._newest, self._metrics = settings, sender, newest, metrics

    def write(
        self,
        entries: Sequence[Entry],
        stop: threading.Event,
        log: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> bool:
        """Put entries into the chain and wait until Kafka has them; whether it has.

        While Kafka does not answer, the same records are sent again and again: one that it has twice is the same twice.

        Args:
            entries: In their order.
            stop: Ends the waiting.
            log: Writes one line for the operator.
            now: The clock.
        """
        records: list[AuditRecord] = []
        newest = self._newest
        for entry in entries:
            records.append(linked(entry, self._settings.region, newest, now()))
            newest = link_of(records[-1])
        batch = [Record(key=record.source.encode(), value=value_of(record)) for record in records]
        pause, told = _PAUSE_S, ""
        while True:
            try:
                self._sender.send(self._settings.topic, batch)
                break
            except (BrokersError, BusyError) as error:
                self._metrics.waiting.set(records[0].recorded_at.timestamp())
                if str(error) != told:
                    told = str(error)
                    log(f"not written: {told}")
            if stop.wait(pause):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._newest = newest
        self._metrics.waiting.set(0)
        for record in records:
            self._metrics.records.labels(record.source, record.outcome).inc()
        return True
