"""The start: how far back the topic is read, and that whoever tries made-up names decides on no memory."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from services.audit import AuditSettings, Kafka, Source, journal
from services.audit.journal import Past, Tail, request_key
from services.audit.records import CHECKPOINT, AuditRecord, Entry, event_key, link_of, linked, note, parsed, value_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REGION = "region-a"


def chain(entries: Sequence[Entry], *, first: timedelta, region: str = REGION) -> list[AuditRecord]:
    """Records of these, evenly from ``first`` ago until now."""
    records: list[AuditRecord] = []
    for number, told in enumerate(entries):
        at = NOW - first * (1 - (number + 1) / len(entries))
        records.append(linked(told, region, link_of(records[-1]) if records else None, at))
    return records


def refused(number: int, **positions: str) -> Entry:
    told = note("login", f"realm:{number}", NOW).model_copy(update={"who": f"user-{number}"})
    return Entry(access=told, source=Source.CLUSTER, positions=positions)


def checkpoint(**positions: str) -> Entry:
    return Entry(access=note(CHECKPOINT, "audit:log", NOW), source=Source.AUDIT, positions=positions)


class Message:
    """A record of the topic; without a value its end."""

    def __init__(self, offset: int, value: bytes | None) -> None:
        self._offset, self._value = offset, value

    def error(self) -> Message | None:
        return self if self._value is None else None

    def name(self) -> str:
        return "_PARTITION_EOF"

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value


class Consumer:
    """A topic with these records; the first offsets are gone."""

    def __init__(self, records: Sequence[AuditRecord], low: int = 0) -> None:
        self.values, self.low = [value_of(record) for record in records], low
        self.begins: list[int] = []
        self.options: dict[str, Any] = {}
        self._at = 0

    def __call__(self, options: dict[str, Any]) -> Consumer:
        self.options = options
        return self

    def get_watermark_offsets(self, _partition: Any, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return self.low, self.low + len(self.values)

    def assign(self, partitions: list[Any]) -> None:
        self._at = partitions[0].offset
        self.begins.append(self._at)

    def consume(self, number: int, timeout: float) -> list[Message]:
        assert timeout > 0
        values = self.values[self._at - self.low :][:number]
        messages = [Message(self._at + index, value) for index, value in enumerate(values)]
        self._at += len(messages)
        return messages or [Message(self._at, None)]

    def close(self) -> None:
        pass


class Topic:
    """Reads the end of a topic, and counts how many records are in memory at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, consumer: Consumer) -> None:
        (folder / "password").write_text("hunter2")
        file = folder / "password"
        kafka = Kafka(bootstrap="b:1", ca_file=file, user="audit", group="audit", password_file=file)
        self._settings = cast("AuditSettings", Settings(kafka))
        self._alive = 0
        self.most_alive = 0
        monkeypatch.setattr(journal, "Consumer", consumer)
        monkeypatch.setattr(journal, "parsed", self._parsed)

    def _parsed(self, value: bytes) -> tuple[AuditRecord, bool] | None:
        known = parsed(value)
        if known is not None:
            self._alive += 1
            self.most_alive = max(self.most_alive, self._alive)
            weakref.finalize(known[0], self._gone)
        return known

    def _gone(self) -> None:
        self._alive -= 1

    def read(self) -> Past:
        return Tail(self._settings).read(NOW)


class Settings:
    """Those that the reading needs."""

    region, topic = REGION, "audit"

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka


def test_whoever_tries_made_up_names_fills_no_memory_of_the_next_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = [refused(number, **{request_key(f"{number:032x}"): "t"}) for number in range(3000)]
    records = chain([checkpoint(), *tries], first=timedelta(hours=3))
    consumer = Consumer(records)
    topic = Topic(monkeypatch, tmp_path, consumer)
    monkeypatch.setattr(journal, "MOST_KNOWN", 50, raising=False)
    known = topic.read()
    assert topic.most_alive <= 5
    assert consumer.options["queued.max.messages.kbytes"] == 16_384
    assert known.newest == link_of(records[-1])
    assert known.requests == {f"{number:032x}" for number in range(2950, 3000)}, "the newest"


def test_no_more_is_read_than_back_to_a_checkpoint_and_to_what_has_to_be_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = [refused(number, **{"pod/1/kafka/0": str(number)}) for number in range(8000)]
    entries[500] = checkpoint(**{"pod/0/kafka/0": "long ago"})
    entries[7900] = checkpoint(**{"pod/2/kafka/0": "b"})
    entries[7950] = refused(1, **{event_key("command"): "t"})
    entries[4000] = refused(1, **{event_key("older-command"): "t"})
    consumer = Consumer(chain(entries, first=timedelta(hours=4)), low=100)
    known = Topic(monkeypatch, tmp_path, consumer).read()
    assert consumer.begins == [7100, 3100], "an hour has 2000 records"
    assert known.positions == {"pod/2/kafka/0": "b", "pod/1/kafka/0": "7999"}
    assert known.events == {"command", "older-command"}
    assert known.written == NOW


def test_a_topic_that_is_shorter_is_read_from_its_beginning_and_not_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records = chain([refused(number) for number in range(1500)], first=timedelta(hours=1))
    consumer = Consumer(records, low=10)
    known = Topic(monkeypatch, tmp_path, consumer).read()
    assert consumer.begins == [510, 10]
    assert known.newest == link_of(records[-1])


def test_records_of_another_region_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = chain([checkpoint(), refused(1)], first=timedelta(hours=3))
    others = chain([checkpoint(**{"pod/9/kafka/0": "z"})], first=timedelta(hours=3), region="region-b")
    known = Topic(monkeypatch, tmp_path, Consumer([*own, *others])).read()
    assert (known.newest, known.positions) == (link_of(own[-1]), {})


def test_an_empty_topic_has_no_past(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    consumer = Consumer([], low=7)
    known = Topic(monkeypatch, tmp_path, consumer).read()
    assert (known.newest, known.written, consumer.begins) == (None, None, [])
