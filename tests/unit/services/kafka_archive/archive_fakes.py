"""Fakes of Kafka's clients and of the object storage, for the loop of the archive; encryption is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
from confluent_kafka import TopicPartition

from services.backup import BackupError
from services.backup.store import Object
from services.kafka_archive import KafkaArchiveSettings
from services.kafka_archive.archiver import Archiver
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.segments import Name, Record, Segment
from services.kafka_archive.upload_pool import Result

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())
TOPIC, TOPIC_ID, OTHER_ID = "telemetry-logs", "AAAAAAAAAAAAAAAAAAAAAg", "BBBBBBBBBBBBBBBBBBBBBw"
START = datetime(2026, 11, 25, tzinfo=UTC)


def content(folder: Path) -> dict[str, Any]:
    """A settings file's content."""
    (folder / "secret").write_text("hunter2\n")
    file = str(folder / "secret")
    return {
        "kafka": {
            "bootstrap": "kafka:9092",
            "topics": [TOPIC],
            "ca_file": str(folder / "ca.pem"),
            "username": "archive",
            "group": "archive",
            "password_file": file,
        },
        "storage": {
            "endpoint": "https://storage:7070",
            "region": "ap-northeast-1",
            "bucket": "obs-local",
            "prefix": "backups/",
            "access_key_id_file": file,
            "secret_access_key_file": file,
            "ca_file": None,
        },
        "recipients": [RECIPIENT],
        "flush_s": 60,
        "segment_bytes": 4 * 2**20,
        "segment_records": 1000,
        "memory_bytes": 16 * 2**20,
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")},
        "metrics": {"user": "scrape-kafka-archive", "password_file": file},
    }


def settings(folder: Path, **more: Any) -> KafkaArchiveSettings:
    """KafkaArchiveSettings of an archive."""
    return KafkaArchiveSettings.parse(content(folder) | more)


class Message:
    """A Kafka message."""

    def __init__(self, offset: int, value: bytes | None = b"v", *, partition: int = 0, error: Any = None) -> None:
        self._offset, self._value, self._partition, self._error = offset, value, partition, error
        self.named: Any = None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        if isinstance(self.named, Exception):
            raise self.named
        return self.named

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._offset

    def error(self) -> Any:
        return self._error


class Consumer:
    """Gives batches; remembers what was committed, paused and resumed."""

    def __init__(self, *batches: Sequence[Message], partitions: int = 2) -> None:
        self.batches = [list(batch) for batch in batches]
        self.partitions = partitions
        self.known: dict[int, int] = {}
        self.lows: dict[int, int] = {}
        self.commits: list[list[tuple[int, int]]] = []
        self.sync_commits: list[list[tuple[int, int]]] = []
        self.commit_problem: Any = None
        self.paused: set[int] = set()
        self.most: list[int] = []
        self.closed = False
        self.options: dict[str, Any] = {}
        self.callbacks: dict[str, Any] = {}

    def __call__(self, options: dict[str, Any]) -> Consumer:
        self.options = options
        return self

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.topics, self.callbacks = topics, callbacks

    def assign(self, *partitions: int) -> None:
        self.callbacks["on_assign"](self, [TopicPartition(TOPIC, partition) for partition in partitions])

    def revoke(self, *partitions: int) -> None:
        self.callbacks["on_revoke"](self, [TopicPartition(TOPIC, partition) for partition in partitions])

    def lose(self, *partitions: int) -> None:
        self.callbacks["on_lost"](self, [TopicPartition(TOPIC, partition) for partition in partitions])

    def consume(self, number: int, _seconds: float) -> list[Message]:
        self.most.append(number)
        return self.batches.pop(0) if self.batches else []

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]:
        assert timeout > 0
        return [
            TopicPartition(partition.topic, partition.partition, self.known.get(partition.partition, -1001))
            for partition in partitions
        ]

    def get_watermark_offsets(self, partition: Any, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return self.lows.get(partition.partition, 0), 10**6

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> list[Any]:
        positions = sorted((offset.partition, offset.offset) for offset in offsets)
        (self.commits if asynchronous else self.sync_commits).append(positions)
        if asynchronous:
            self.options["on_commit"](self.commit_problem, offsets)
        return offsets

    def pause(self, partitions: list[Any]) -> None:
        self.paused |= {partition.partition for partition in partitions}

    def resume(self, partitions: list[Any]) -> None:
        self.paused -= {partition.partition for partition in partitions}

    def close(self) -> None:
        self.closed = True


class UploadPool:
    """Encrypts and keeps segments at once, or fails, or waits until it is told."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.requests: list[Segment] = []
        self.problem = ""
        self.waits = False
        self.attempts = 0

    def submit(self, segment: Segment) -> None:
        self.requests.append(segment)

    def results(self, _wait_s: float = 0.0) -> list[Result]:
        return [] if self.waits else [self._end(self.requests.pop(0)) for _ in range(len(self.requests))]

    def _end(self, segment: Segment) -> Result:
        self.attempts += 1
        if self.problem:
            return Result(segment=segment, problem=self.problem)
        encrypted = segment.encrypt(TOPIC_ID, [RECIPIENT])
        self.stored[encrypted.name.key] = encrypted.content
        return Result(segment=segment, size=len(encrypted.content))

    def ranges(self) -> list[tuple[int, int, int]]:
        """Partition, first and last offset of what is stored."""
        parts = [key.split("/") for key in self.stored]
        return [(int(part[2]), int(part[3][:20]), int(part[3][21:41])) for part in parts]


class Ids:
    """Ids of topics."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def of(self, _topic: str) -> str:
        return TOPIC_ID

    def forget(self, topic: str) -> None:
        self.forgotten.append(topic)


class Harness:
    """An archiver between the fakes."""

    def __init__(self, folder: Path, consumer: Consumer, **more: Any) -> None:
        self.consumer, self.pool, self.ids = consumer, UploadPool(), Ids()
        self.log: list[str] = []
        self.metrics = Metrics([TOPIC])
        storing_and_ids: Any = (self.pool, self.ids)
        self.archiver = Archiver(settings(folder, **more), *storing_and_ids, self.metrics, self.log.append, consumer)
        consumer.assign(*range(consumer.partitions))

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.archiver.turn()

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"kafka_archive_{name}", labels) or 0.0


class Store:
    """A bucket in memory; everything is stored a minute after the one before."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[bytes, Mapping[str, str], datetime]] = {}
        self.read: list[str] = []
        self.problem = ""

    def put(self, name: str, content: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        if self.problem:
            raise BackupError(self.problem)
        self.held[name] = content, dict(metadata or {}), START + timedelta(minutes=len(self.held))

    def head(self, name: str) -> Object:
        content, metadata, written = self.held[name]
        return Object(name=name, bytes=len(content), written=written, metadata=metadata)

    def get(self, name: str, most: int) -> bytes:
        self.read.append(name)
        assert len(self.held[name][0]) <= most
        return self.held[name][0]

    def objects(self, below: str = "") -> list[Object]:
        return [self.head(name) for name in sorted(self.held) if name.startswith(below)]

    def folders(self, below: str = "") -> list[str]:
        return sorted({name[len(below) :].split("/")[0] for name in self.held if name.startswith(below)})

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            del self.held[name]


def some(*offsets: int, at_ms: int = 1000) -> Iterator[Record]:
    """Records of these offsets."""
    for offset in offsets:
        yield Record(offset, at_ms + offset, 1, b"k%d" % offset, b"v%d" % offset, (("h", b"%d" % offset),))


def put(store: Store, records: Iterator[Record], *, partition: int = 0, topic_id: str = TOPIC_ID) -> Name:
    """Store records as a segment."""
    segment = Segment(TOPIC, partition)
    for record in records:
        segment.add(record)
    encrypted = segment.encrypt(topic_id, [RECIPIENT])
    store.put(encrypted.name.key, encrypted.content, metadata=encrypted.metadata)
    return encrypted.name
