"""Reading spans: what Kafka gave is taken before anything else happens, and only then is it passed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from services.runtime.settings import KafkaTopic
from services.service_graph.graph import EdgeMetrics, Matcher, Tally
from services.service_graph.reader import Reader
from tests.unit.services.graph_records import CLIENT, One, record

TOPIC = "telemetry-traces"


class Message:
    """A Kafka message of the one partition."""

    def __init__(self, offset: int, value: bytes = b"", error: KafkaError | None = None) -> None:
        self._offset, self._value, self._error = offset, value, error

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000 + self._offset

    def error(self) -> KafkaError | None:
        return self._error


class Consumer:
    """Gives batches; remembers what was committed."""

    def __init__(self, *batches: Sequence[Message]) -> None:
        self.batches = list(batches)
        self.commits: list[int] = []

    def __call__(self, _options: dict[str, Any]) -> Consumer:
        return self

    def subscribe(self, _topics: list[str], *, on_assign: Any, on_revoke: Any) -> None:
        del on_revoke
        on_assign(self, [TopicPartition(TOPIC, 0)])

    def assign(self, _partitions: list[Any]) -> None:
        pass

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]:
        del timeout
        return [TopicPartition(TOPIC, partition.partition, -1001) for partition in partitions]

    def get_watermark_offsets(self, _partition: Any, timeout: float) -> tuple[int, int]:
        del timeout
        return 0, 100

    def consume(self, num_messages: int, timeout: float) -> Sequence[Message]:
        del num_messages, timeout
        return self.batches.pop(0) if self.batches else []

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        assert not asynchronous
        self.commits.append(offsets[0].offset)


class Reading:
    """A reader of batches, with what it reports and counts."""

    def __init__(self, folder: Path, *batches: Sequence[Message]) -> None:
        file = folder / "password"
        file.write_text("hunter2")
        self.consumer, self.tally, self.told = Consumer(*batches), Tally(10), list[str]()
        settings = KafkaTopic(
            bootstrap="b:1", topic=TOPIC, ca_file=file, username="graph", group="graph", password_file=file
        )
        self.reader = Reader(
            settings,
            Matcher(1000, 1000),
            EdgeMetrics(10),
            self.tally,
            window_ms=1000,
            report=self.told.append,
            connect=self.consumer,
        )


CALLER, CALLED = record(One("a", "1", kind=CLIENT)), record(One("b", "2", parent="1"))
GRAVE = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def test_records_beside_an_error_are_not_lost(tmp_path: Path) -> None:
    other = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    batch = [Message(0, CALLER), Message(0, error=GRAVE), Message(0, error=other), Message(1, CALLED)]
    reading = Reading(tmp_path, batch)
    with pytest.raises(KafkaException) as raised:
        reading.reader.read(0)
    assert raised.value.args[0] is GRAVE, "the first one"
    assert reading.tally.calls == {("a", "b"): 1}
    assert reading.reader.records == 2
    reading.reader.commit()
    assert reading.consumer.commits == [2]


def test_an_error_that_passes_is_reported_and_nothing_more(tmp_path: Path) -> None:
    passing = KafkaError(KafkaError._TRANSPORT, "away", retriable=True)
    reading = Reading(tmp_path, [Message(0, CALLER), Message(0, error=passing), Message(1, CALLED)])
    assert reading.reader.read(0) == 3
    assert reading.told[-1] == "Kafka: away"
    assert reading.tally.calls == {("a", "b"): 1}
