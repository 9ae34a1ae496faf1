"""Reads spans from Kafka and remembers how far each document reaches, so that nothing is counted twice or not at all.

Each commit carries two more offsets in its metadata: where the unfinished document begins (``from``), and where a
restart has to begin so that it knows the parents of what follows (``warm``). After a restart, records

* before ``from`` are only remembered;
* from there to the committed offset are counted for the document, which they fill again under the same name;
* after it are counted for Prometheus as well, which has seen the others.

A call counts where one of its two spans does, whichever of them is read first: partitions are read in any order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.protobuf.message import DecodeError

from services.runtime.kafka import group_consumer
from services.runtime.settings import KafkaTopic
from services.service_graph.graph import EdgeMetrics, Matcher, Tally, decode

REQUEST_S = 10.0
_BATCH = 1000
_MARK_EVERY_MS = 1000
_FOR_DOCUMENT, _FOR_PROMETHEUS = 1, 2


@dataclass
class Place:
    """Offsets of one partition, see the module's text; ``next`` is the first that was not read."""

    warm: int
    begin: int
    counted: int
    next: int
    marks: deque[tuple[int, int]] = field(default_factory=deque)

    def metadata(self) -> str:
        """What a commit carries."""
        return json.dumps({"from": self.begin, "warm": self.warm})

    def mark(self, now_ms: int, offset: int, window_ms: int) -> None:
        """Remember which offset was written when, for the length of the window."""
        if not self.marks or now_ms - self.marks[-1][0] >= _MARK_EVERY_MS:
            self.marks.append((now_ms, offset))
        while len(self.marks) > 1 and self.marks[1][0] < now_ms - window_ms:
            self.marks.popleft()


def place(committed: int, metadata: str | None, low: int) -> Place:
    """Where to go on, from what was committed; ``low`` is the partition's first offset that is still there."""
    if committed < 0:
        return Place(warm=low, begin=low, counted=low, next=low)
    begin = warm = committed
    try:
        stored = json.loads(metadata or "{}")
        begin, warm = int(stored.get("from", committed)), int(stored.get("warm", committed))
    except (ValueError, TypeError, AttributeError):
        pass
    begin = max(low, min(begin, committed))
    warm = max(low, min(warm, begin))
    return Place(warm=warm, begin=begin, counted=max(low, committed), next=warm)


class AssignmentError(Exception):
    """The place of the group could not be found out: only a new process may begin again."""


class Reader:
    """A group of one member."""

    def __init__(
        self,
        settings: KafkaTopic,
        matcher: Matcher,
        edges: EdgeMetrics,
        tally: Tally,
        *,
        window_ms: int,
        report: Callable[[str], None],
        connect: Callable[..., Any] = Consumer,
    ) -> None:
        """Read as ``settings`` say; ``connect`` makes the client from librdkafka settings."""
        self._settings = settings
        self._matcher, self._edges, self._tally = matcher, edges, tally
        self._window_ms = window_ms
        self._report = report
        self.places: dict[int, Place] = {}
        self._seen: dict[int, int] = {}
        self.spans = 0
        self.records = 0
        self.undecodable = 0
        self._lost = ""
        static_member = {"group.instance.id": settings.group, "session.timeout.ms": 60_000}
        self._client = connect(group_consumer(settings) | static_member)
        self._client.subscribe([settings.topic], on_assign=self._assigned, on_revoke=self._revoked)

    def read(self, wait_s: float) -> int:
        """Take what is there, for ``wait_s`` at most; returns the number of records.

        Raises:
            KafkaException: Kafka refuses to be read from; it may answer later. The records beside the error are taken.
            AssignmentError: This process cannot go on.
        """
        messages = self._client.consume(num_messages=_BATCH, timeout=wait_s)
        if self._lost:
            raise AssignmentError(f"partitions were assigned, but their offsets are unknown: {self._lost}")
        grave = None
        for message in messages:
            error = message.error()
            if error is None:
                self._take(message)
            elif error.fatal() or not error.retriable():
                grave = grave or error
            else:
                self._report(f"Kafka: {error.str()}")
        if grave is not None:
            raise KafkaException(grave)
        return len(messages)

    def _take(self, message: Any) -> None:
        place = self.places.get(message.partition())
        if place is None:
            return
        offset, now_ms = message.offset(), message.timestamp()[1]
        new, fresh = offset >= place.begin, offset >= max(place.counted, self._seen.get(message.partition(), 0))
        news = _FOR_DOCUMENT * new | _FOR_PROMETHEUS * fresh
        try:
            spans = self._matcher.add(decode(message.value() or b""), now_ms, self._call, news)
        except DecodeError:
            self.undecodable += 1
            spans = 0
        self.records += 1
        if fresh:
            self.spans += spans
        if new:
            self._tally.newest_ms = max(self._tally.newest_ms, now_ms)
        place.next = offset + 1
        place.mark(now_ms, offset, self._window_ms)

    def _call(self, client: str, server: str, served_ns: int, waited_ns: int, failed: bool, news: int) -> None:
        if news & _FOR_DOCUMENT:
            self._tally.add(client, server)
        if news & _FOR_PROMETHEUS:
            self._edges.add(client, server, served_ns, waited_ns, failed)

    def commit(self) -> None:
        """Commit how far was read, and where the unfinished document begins.

        Raises:
            KafkaException: The brokers did not take it.
        """
        done = [
            TopicPartition(self._settings.topic, number, max(place.next, place.counted), place.metadata())
            for number, place in self.places.items()
            if place.next >= place.counted
        ]
        if done:
            self._client.commit(offsets=done, asynchronous=False)

    @property
    def caught_up(self) -> bool:
        """Whether everything that the last process had read was read again."""
        return all(place.next >= place.counted for place in self.places.values())

    def begins(self) -> dict[int, int]:
        """First offset of the unfinished document, by partition."""
        return {number: place.begin for number, place in self.places.items()}

    def finish(self) -> None:
        """The document was written: the next one begins here.

        Raises:
            KafkaException: The brokers did not take the commit; the document will be written again, under its name.
        """
        for place in self.places.values():
            place.begin = max(place.next, place.begin)
            place.warm = min(place.marks[0][1], place.begin) if place.marks else place.begin
        self._tally.clear()
        self.commit()

    def close(self) -> None:
        """Leave the brokers alone; the group's place is kept for the next process."""
        self._client.close()

    def _assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        listed = list(partitions)
        self._tally.clear()
        self._matcher.clear()
        try:
            self.places = {partition.partition: self._place(consumer, partition) for partition in listed}
        except KafkaException as error:
            # Unless it is told otherwise, the client would now read from somewhere and nobody would count it.
            self._lost = str(error)
            consumer.assign([])
            return
        for partition in listed:
            partition.offset = self.places[partition.partition].next
        consumer.assign(listed)
        self._report(f"reading {len(listed)} partitions of {self._settings.topic}")

    def _place(self, consumer: Any, partition: TopicPartition) -> Place:
        [known] = consumer.committed([partition], timeout=REQUEST_S)
        if known.error is not None:
            raise KafkaException(known.error)
        low, _ = consumer.get_watermark_offsets(partition, timeout=REQUEST_S)
        return place(known.offset, known.metadata, low)

    def _revoked(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        """What was read since the last document is read again, for the document; Prometheus has seen it."""
        for partition in partitions:
            place = self.places.pop(partition.partition, None)
            if place is not None:
                self._seen[partition.partition] = max(self._seen.get(partition.partition, 0), place.next)
        self._tally.clear()
