"""Puts archived records back into an empty topic: same partition, key, value, headers, timestamp; offsets are new."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from services.backup.encryption import Identity
from services.backup.errors import BackupError, one_line
from services.backup.store import Store
from services.kafka_archive.catalogue import OffsetGap, ReadStats, catalogue, records
from services.kafka_archive.records import Record

_REQUEST_S = 20.0
_AGAIN_S = 0.5
_NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
_SEND_S = 180.0
"""No record may take longer; `records.restoring` gives each 120 s."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was restored.

    Attributes:
        topic: Where to.
        topic_id: Kafka's id of the topic that was archived.
        records: Partition -> records that the brokers confirmed.
        objects: Segments that were read.
        doubled: Records that the archive had twice; restored once.
        holes: Offsets that the archive does not have.
    """

    topic: str
    topic_id: str
    records: Mapping[int, int]
    objects: int
    doubled: int
    holes: tuple[OffsetGap, ...]


def restore(
    storage: Store,
    identity: Sequence[Identity],
    topic: str,
    producer: Any,
    *,
    admin: Any,
    since: datetime | None = None,
    until: datetime | None = None,
    into: str | None = None,
    topic_id: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Restore a topic.

    Args:
        storage: The bucket.
        identity: Of an operator.
        topic: What was archived.
        producer: Client with the options of `records.restoring`.
        admin: ``AdminClient`` of the same brokers: tells whether the topic is empty.
        since: Only records with this timestamp or a later one.
        until: Only records with an earlier timestamp.
        into: Topic to restore to; None: of the same name. It must be there, be empty, and have enough partitions.
            Brokers soon delete what is older than its retention: set that first.
        topic_id: Which one, where a topic was made again.
        progress: Told partition and number of records of it so far, now and then.

    Returns:
        Counts. Nothing of a broken restore is complete: make the topic again, and repeat it.

    Raises:
        BackupError: The archive is not whole, the topic does not fit, or the brokers do not take a record.
    """
    target = into or topic
    segments_held = catalogue(storage, topic, topic_id)
    _check_target(producer, admin, target, max(segments_held.segments) + 1)
    sending, stats = _Sending(producer, target), ReadStats()
    for partition, segments in sorted(segments_held.segments.items()):
        for number, record in enumerate(records(storage, identity, segments, stats, since=since, until=until), 1):
            sending.send(partition, record)
            if progress is not None and number % 1000 == 0:
                progress(partition, number)
    sending.finish()
    return Restored(
        topic=target,
        topic_id=segments_held.topic_id,
        records={partition: sending.confirmed[partition] for partition in sorted(segments_held.segments)},
        objects=stats.objects,
        doubled=stats.doubled,
        holes=tuple(stats.holes),
    )


def _check_target(producer: Any, admin: Any, topic: str, partitions: int) -> None:
    try:
        listed = producer.list_topics(topic, timeout=_REQUEST_S).topics[topic]
        if listed.error is not None:
            raise BackupError(f"topic {topic} cannot be restored to: {listed.error.str()}; make it first")
        if len(listed.partitions) < partitions:
            raise BackupError(f"topic {topic} has {len(listed.partitions)} partitions; make it with {partitions}")
        earliest, latest = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        for number in listed.partitions:
            first, end = (_offset(admin, topic, number, spec) for spec in (earliest, latest))
            if first != end:
                raise BackupError(f"topic {topic} is not empty: partition {number} has {end - first} records")
    except KafkaException as error:
        raise BackupError(f"topic {topic} cannot be restored to: {one_line(error)}") from None


def _offset(admin: Any, topic: str, partition: int, spec: Any) -> int:
    topic_partition, deadline = TopicPartition(topic, partition), time.monotonic() + _REQUEST_S
    while True:
        [answer] = admin.list_offsets({topic_partition: spec}, request_timeout=_REQUEST_S).values()
        try:
            return int(answer.result(timeout=2 * _REQUEST_S).offset)
        except KafkaException as error:
            # A topic that was made this moment has no leaders yet.
            if error.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_S)


class _Sending:
    """Sends records, in the order of each partition, and waits for all of them.

    Attributes:
        confirmed: Partition -> records that the brokers have.
    """

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._problem = ""
        self.confirmed: Counter[int] = Counter()

    def send(self, partition: int, record: Record) -> None:
        """Hand over a record; waits while there are too many on their way.

        Raises:
            BackupError: One of those before could not be delivered.
        """
        # 0 would be "now" to the client; a time before 1970 is none to Kafka.
        more = {"timestamp": record.timestamp_ms} if record.timestamp_ms > 0 else {}
        deadline = time.monotonic() + _SEND_S
        while True:
            self._check()
            try:
                self._producer.produce(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    partition=partition,
                    headers=list(record.headers) or None,
                    on_delivery=self._delivered,
                    **more,
                )
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise BackupError(f"the brokers took nothing of {self._topic} for {_SEND_S:.0f} s") from None
                self._producer.poll(0.2)
            except KafkaException as error:
                raise BackupError(f"{self._topic}[{partition}]: offset {record.offset}: {one_line(error)}") from None
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait for everything that is on its way.

        Raises:
            BackupError: Something could not be delivered.
        """
        left = self._producer.flush(_SEND_S)
        self._check()
        if left:
            raise BackupError(f"the brokers did not confirm {left} records of {self._topic} within {_SEND_S:.0f} s")

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self.confirmed[message.partition()] += 1
        elif not self._problem:
            self._problem = f"{self._topic}[{message.partition()}]: the brokers refuse a record: {error.str()}"

    def _check(self) -> None:
        if self._problem:
            raise BackupError(self._problem)
