"""Puts archived records back into an empty topic, and compares a live topic with the archive, record by record.

Partition, key, value, headers and timestamp are the same; offsets are new.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from services.backup import BackupError
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import OffsetGap, ReadStats, catalogue, records
from services.kafka_archive.segments import Record, record
from services.runtime import one_line

_REQUEST_S = 20.0
_AGAIN_S = 0.5
_NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
_SEND_S = 180.0
"""No record may take longer; `records.restoring` gives each 120 s."""
_SILENCE_S = 60
_BATCH = 500
_MOST_LOGGED = 20
_Placed = tuple[int, Record]


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
        for number, archived in enumerate(records(storage, identity, segments, stats, since=since, until=until), 1):
            sending.send(partition, archived)
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


@dataclass(kw_only=True)
class Compared:
    """What was found, by partition.

    Attributes:
        equal: Records that are the same in both.
        different: Records that are not.
        only_live: Records that only the topic has: not archived yet, or never.
        only_archived: Records that only the archive has: retention removed them, or they were not restored.
        told: The first differences in words; they show no content.
    """

    equal: Counter[int] = field(default_factory=Counter)
    different: Counter[int] = field(default_factory=Counter)
    only_live: Counter[int] = field(default_factory=Counter)
    only_archived: Counter[int] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether both have the same records."""
        return not (self.different or self.only_live or self.only_archived)

    def tell(self, text: str) -> None:
        """Keep a difference in words, of the first ones."""
        if len(self.told) < _MOST_LOGGED:
            self.told.append(text)


def compare(
    storage: Store,
    identity: Sequence[Identity],
    topic: str,
    consumer: Any,
    *,
    live: str | None = None,
    by_offset: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    topic_id: str | None = None,
) -> Compared:
    """Compare what a topic has now with the archive.

    Args:
        storage: The bucket.
        identity: Of an operator.
        topic: What was archived.
        consumer: Client with the options of `records.comparing`; nobody else reads with it.
        live: The topic to compare with; None: of the same name.
        by_offset: Whether records of the same offset are compared, timestamp type included, as of a topic that was
            archived; otherwise those of the same place in order, as of a topic that was restored.
        since: Only archived records with this timestamp or a later one.
        until: Only archived records with an earlier timestamp.
        topic_id: Which one, where a topic was made again.

    Raises:
        BackupError: The archive is not whole, or the brokers do not answer.
    """
    target, archive, result = live or topic, catalogue(storage, topic, topic_id), Compared()
    for partition in sorted({*archive.segments, *_partitions(consumer, target)}):
        archived = records(
            storage, identity, archive.segments.get(partition, ()), ReadStats(), since=since, until=until
        )
        there = _live(consumer, target, partition)
        _partition(result, partition, _placed(archived, by_offset), _placed(there, by_offset), by_offset)
    return result


def _placed(archive_records: Iterable[Record], by_offset: bool) -> Iterator[_Placed]:
    for number, archive_record in enumerate(archive_records):
        yield (archive_record.offset if by_offset else number), archive_record


def _partition(
    result: Compared, partition: int, archived: Iterator[_Placed], there: Iterator[_Placed], by_offset: bool
) -> None:
    left, right = next(archived, None), next(there, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            result.only_archived[partition] += 1
            result.tell(f"partition {partition}: archived offset {left[1].offset} is not in the topic")
            left = next(archived, None)
        elif left is None or right[0] < left[0]:
            result.only_live[partition] += 1
            result.tell(f"partition {partition}: offset {right[1].offset} of the topic is not in the archive")
            right = next(there, None)
        else:
            parts = differences(left[1], right[1], timestamp_type=by_offset)
            result.equal[partition] += not parts
            if parts:
                result.different[partition] += 1
                where = f"archived offset {left[1].offset} and offset {right[1].offset} of the topic"
                result.tell(f"partition {partition}: {where} differ in {', '.join(parts)}")
            left, right = next(archived, None), next(there, None)


def differences(one: Record, other: Record, *, timestamp_type: bool) -> list[str]:
    """Names of the parts in which two records differ, their offsets left out."""
    fields = ["timestamp_ms", "key", "value", "headers", *(["timestamp_type"] if timestamp_type else [])]
    return [name for name in fields if getattr(one, name) != getattr(other, name)]


def _partitions(consumer: Any, topic: str) -> Mapping[int, Any]:
    try:
        listed = consumer.list_topics(topic, timeout=_REQUEST_S).topics[topic]
    except KafkaException as error:
        raise BackupError(f"topic {topic} cannot be compared: {one_line(error)}") from None
    if listed.error is not None:
        raise BackupError(f"topic {topic} cannot be compared: {listed.error.str()}")
    partitions: Mapping[int, Any] = listed.partitions
    return partitions


def _live(consumer: Any, topic: str, partition: int) -> Iterator[Record]:
    """Records of a partition from its first one to what was its end at the start."""
    where = f"{topic}[{partition}]"
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_REQUEST_S)
        if low >= high:
            return
        consumer.assign([TopicPartition(topic, partition, low)])
        silent = 0
        while silent < _SILENCE_S:
            messages = consumer.consume(_BATCH, 1.0)
            silent = 0 if messages else silent + 1
            for message in messages:
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return
                if error is not None:
                    raise BackupError(f"{where} cannot be read: {error.str()}")
                if message.offset() >= high:
                    return
                yield record(message)
        raise BackupError(f"{where} cannot be read: the brokers sent nothing for {_SILENCE_S} s")
    except KafkaException as error:
        raise BackupError(f"{where} cannot be read: {one_line(error)}") from None
    finally:
        consumer.unassign()
