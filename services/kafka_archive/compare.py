"""Compares a live topic with the archive, record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from services.backup.encryption import Identity
from services.backup.errors import BackupError, one_line
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records
from services.kafka_archive.records import Record, record

_REQUEST_S = 20.0
_SILENCE_S = 60
_BATCH = 500
_MOST_LOGGED = 20
_Placed = tuple[int, Record]


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
