"""Restores and comparisons: order, doubled records, holes, topics made again, times, and what must not be touched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError

from services.backup import BackupError
from services.kafka_archive import restore as restoring
from services.kafka_archive.catalogue import OffsetGap, ReadStats, catalogue, records
from services.kafka_archive.restore import compare, differences, restore
from services.kafka_archive.segments import Record
from tests.unit.services.kafka_archive.archive_fakes import IDENTITY, OTHER_ID, TOPIC, TOPIC_ID, Store, put, some


def offsets(store: Store, stats: ReadStats | None = None, **more: Any) -> list[int]:
    untyped_store: Any = store
    segments = catalogue(untyped_store, TOPIC).segments[0]
    return [record.offset for record in records(untyped_store, [IDENTITY], segments, stats or ReadStats(), **more)]


def test_records_come_by_offset_each_once() -> None:
    store, stats = Store(), ReadStats()
    put(store, some(4, 5, 6, 7))
    put(store, some(0, 1, 2))
    put(store, some(0, 1, 2, 3, 4))
    put(store, some(6, 7, 8))
    assert offsets(store, stats) == list(range(9))
    assert stats.doubled == 6
    assert stats.holes == []


def test_offsets_that_are_not_there_are_told() -> None:
    store, stats = Store(), ReadStats()
    put(store, some(0, 1))
    put(store, some(5, 6))
    put(store, some(7, 9))
    assert offsets(store, stats) == [0, 1, 5, 6, 7, 9]
    assert stats.holes == [OffsetGap(0, 2, 4)]


def test_a_time_is_chosen_by_the_timestamps_of_records() -> None:
    store = Store()
    for first in range(0, 30, 10):
        put(store, some(*range(first, first + 10), at_ms=0))

    def at(ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, UTC)

    assert offsets(store, since=at(5), until=at(12)) == list(range(5, 12))
    assert len(store.read) == 2, "what is outside is not even read"
    assert offsets(store, until=at(3)) == [0, 1, 2]
    assert offsets(store, since=at(10**6)) == []
    with pytest.raises(BackupError, match="has no time zone"):
        offsets(store, since=datetime(2026, 11, 25))


def test_segments_stored_an_hour_before_are_not_asked_for() -> None:
    store, stats = Store(), ReadStats()
    put(store, some(0))
    put(store, some(1))
    since = store.held[max(store.held)][2] + timedelta(hours=2)
    assert offsets(store, stats, since=since) == []
    assert store.read == []


def test_a_topic_that_was_made_again_is_never_mixed() -> None:
    store: Any = Store()
    put(store, some(0, 1, 2), topic_id=OTHER_ID)
    put(store, some(0, 1))
    with pytest.raises(BackupError, match=r"was made again, and the archive has each: choose by topic_id: BBBB.* AAAA"):
        catalogue(store, TOPIC)
    assert catalogue(store, TOPIC, TOPIC_ID).segments[0][0][0].last == 1
    assert catalogue(store, TOPIC, OTHER_ID).segments[0][0][0].last == 2
    with pytest.raises(BackupError, match="has no topic telemetry-logs with the id x"):
        catalogue(store, TOPIC, "x")


def test_nothing_of_a_topic_is_said() -> None:
    store: Any = Store()
    with pytest.raises(BackupError, match="the archive has nothing of topic telemetry-logs; it has nothing"):
        catalogue(store, TOPIC)
    put(store, some(0))
    with pytest.raises(BackupError, match="nothing of topic other; it has telemetry-logs"):
        catalogue(store, "other")


def test_a_damaged_segment_ends_it() -> None:
    store = Store()
    name = put(store, some(0, 1))
    encrypted, metadata, written = store.held[name.key]
    store.held[name.key] = encrypted[:-1] + bytes([encrypted[-1] ^ 1]), metadata, written
    with pytest.raises(BackupError, match="is damaged"):
        offsets(store)


class Listed:
    """What brokers say of topics."""

    def __init__(self, partitions: int, error: Any = None) -> None:
        self.partitions, self.error = dict.fromkeys(range(partitions)), error


class Producer:
    """Takes records; refuses when it is told to."""

    def __init__(self, partitions: int = 1) -> None:
        self.listed = Listed(partitions)
        self.sent: list[dict[str, Any]] = []
        self.refusal: Any = None
        self.full = self.left = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        return type("Metadata", (), {"topics": {topic: self.listed}})

    def produce(self, topic: str, **record: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        callback = record.pop("on_delivery")
        self.sent.append(record | {"topic": topic})
        message = type("Message", (), {"partition": lambda _self: record["partition"]})()
        callback(self.refusal, message)

    def poll(self, _seconds: float) -> int:
        return 0

    def flush(self, _seconds: float) -> int:
        return self.left


class Admin:
    """Tells ends of partitions."""

    def __init__(self, end: int = 0) -> None:
        self.end = end

    def list_offsets(self, requests: dict[Any, Any], request_timeout: float) -> dict[Any, Future[Any]]:
        assert request_timeout > 0
        answer: Future[Any] = Future()
        [spec] = requests.values()
        latest = "latest" in str(getattr(spec, "_value", spec)).lower() or getattr(spec, "_value", None) == -1
        answer.set_result(type("Info", (), {"offset": self.end if latest else 0}))
        return dict.fromkeys(requests, answer)


def stored() -> Any:
    store = Store()
    put(store, iter([Record(0, 5, 1, None, None, ()), Record(1, 0, 0, b"", b"", (("a", None),))]))
    return store


def test_a_record_is_sent_as_it_was() -> None:
    producer = Producer()
    done = restore(stored(), [IDENTITY], TOPIC, producer, admin=Admin(), into="copy")
    first, second = producer.sent
    assert first == {"topic": "copy", "value": None, "key": None, "partition": 0, "headers": None, "timestamp": 5}
    assert second == {"topic": "copy", "value": b"", "key": b"", "partition": 0, "headers": [("a", None)]}
    assert done.records == {0: 2}
    assert (done.topic, done.topic_id, done.objects, done.doubled, done.holes) == ("copy", TOPIC_ID, 1, 0, ())


def test_a_full_queue_is_waited_for() -> None:
    producer = Producer()
    producer.full = 3
    assert restore(stored(), [IDENTITY], TOPIC, producer, admin=Admin()).records == {0: 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"refusal": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)}, r"telemetry-logs\[0\]: the brokers refuse a record"),
        ({"left": 4}, "did not confirm 4 records"),
        ({"listed": Listed(0)}, "has 0 partitions; make it with 1"),
        ({"listed": Listed(0, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))}, "make it first"),
    ],
)
def test_what_is_not_restored_is_said(change: dict[str, Any], message: str) -> None:
    producer = Producer()
    for name, value in change.items():
        setattr(producer, name, value)
    with pytest.raises(BackupError, match=message):
        restore(stored(), [IDENTITY], TOPIC, producer, admin=Admin())


def test_brokers_that_take_nothing_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_SEND_S", -1.0)
    producer = Producer()
    producer.full = 10
    with pytest.raises(BackupError, match="took nothing"):
        restore(stored(), [IDENTITY], TOPIC, producer, admin=Admin())


def test_a_topic_with_records_is_not_touched() -> None:
    producer = Producer()
    with pytest.raises(BackupError, match="is not empty: partition 0 has 7 records"):
        restore(stored(), [IDENTITY], TOPIC, producer, admin=Admin(7))
    assert producer.sent == []


class Message:
    """What a consumer gives."""

    def __init__(self, record: Record | None, code: int = 0) -> None:
        self.record, self.code = record, code

    def __getattr__(self, name: str) -> Any:
        return lambda: getattr(self.record, name)

    def timestamp(self) -> tuple[int, int]:
        assert self.record is not None
        return self.record.timestamp_type, self.record.timestamp_ms

    def error(self) -> Any:
        return None if self.record else KafkaError(self.code)


class Consumer:
    """A topic of one partition."""

    def __init__(self, live_records: Sequence[Record]) -> None:
        self.records = list(live_records)

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        return type("Metadata", (), {"topics": {topic: Listed(1)}})

    def get_watermark_offsets(self, _partition: Any, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return (self.records[0].offset, self.records[-1].offset + 1) if self.records else (0, 0)

    def assign(self, partitions: Any) -> None:
        self.messages = [*map(Message, self.records), Message(None, KafkaError._PARTITION_EOF)]

    def unassign(self) -> None:
        self.messages = []

    def consume(self, number: int, _seconds: float) -> list[Message]:
        return [self.messages.pop(0) for _ in range(min(number, len(self.messages)))]


def compared(live: Sequence[Record], **more: Any) -> Any:
    store: Any = Store()
    put(store, some(10, 11, 12, 13))
    return compare(store, [IDENTITY], TOPIC, Consumer(live), **more)


def test_a_restored_topic_is_compared_in_order() -> None:
    live = [record._replace(offset=number, timestamp_type=2) for number, record in enumerate(some(10, 11, 12, 13))]
    comparison = compared(live)
    assert comparison.same
    assert comparison.equal == {0: 4}
    assert not compared(live[:3]).same
    assert compared(live[:3]).only_archived == {0: 1}
    assert compared([*live, live[0]._replace(offset=4)]).only_live == {0: 1}
    assert compared([]).only_archived == {0: 4}


def test_a_live_topic_is_compared_by_offset() -> None:
    comparison = compared(list(some(12, 13, 14)), by_offset=True)
    assert (comparison.equal, comparison.only_archived, comparison.only_live) == ({0: 2}, {0: 2}, {0: 1})
    assert "partition 0: offset 14 of the topic is not in the archive" in comparison.told


def test_each_difference_is_named_without_content() -> None:
    [one] = some(10)
    changes: dict[str, Any] = {"timestamp_ms": 1, "key": b"", "value": None, "headers": ()}
    for name, value in changes.items():
        assert differences(one, one._replace(**{name: value}), timestamp_type=True) == [name]
    assert differences(one, one._replace(timestamp_type=2), timestamp_type=False) == []
    assert differences(one, one._replace(timestamp_type=2), timestamp_type=True) == ["timestamp_type"]
    comparison = compared([*some(10, 11, 12), one._replace(offset=13, value=b"himitsu")], by_offset=True)
    assert comparison.different == {0: 1}
    [told] = comparison.told
    assert "differ in timestamp_ms, key, value, headers" in told
    assert "himitsu" not in told


def test_only_the_first_differences_are_kept_in_words() -> None:
    comparison = compared([record._replace(offset=record.offset - 100) for record in some(*range(100, 200))])
    assert len(comparison.told) == 20
