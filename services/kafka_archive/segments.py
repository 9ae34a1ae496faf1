"""A run of records of one partition: written as Avro while they come, encrypted when it is closed, and read again.

Its key is ``archive/<topic>/<partition>/<first offset>-<last offset>.<topic id>.avro.age``. Offsets have 20 digits, so
that keys sort as offsets do. The id is Kafka's own of the topic: a topic that was lost and made again counts from 0
again, and its segments must not replace, or mix with, those of the one before.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fastavro import parse_schema, reader
from fastavro.write import Writer

from services.backup import BackupError
from services.backup.encryption import Identity, decrypt_bytes, encrypt_bytes
from services.runtime import one_line
from services.runtime.kafka import librdkafka

FOLDER = "archive/"
_CLIENT = "kafka-archive"
"""Its name in the brokers' logs."""
_KEY = re.compile(r"archive/([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{20})-(\d{20})\.([A-Za-z0-9_-]{22})\.avro\.age")
OVERHEAD = 64
"""What a record weighs beside its key, value and headers, about."""
_BYTES = ["null", "bytes"]
SCHEMA: Any = parse_schema(
    {
        "type": "record",
        "name": "Record",
        "namespace": "obs.kafka.archive",
        "fields": [
            {"name": "offset", "type": "long"},
            {"name": "timestamp_ms", "type": "long"},
            {"name": "timestamp_type", "type": "int"},
            {"name": "key", "type": _BYTES},
            {"name": "value", "type": _BYTES},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Header",
                        "fields": [{"name": "key", "type": "string"}, {"name": "value", "type": _BYTES}],
                    },
                },
            },
        ],
    }
)
"""Of one record; ``timestamp_type``: 0 none, 1 given by the producer, 2 by the broker."""
SHA256, RECORDS, FIRST_MS, LAST_MS = "sha256", "records", "first-timestamp-ms", "last-timestamp-ms"
"""Metadata of an object: digest of what is stored, number of records, earliest and latest timestamp."""
_BLOCK = 64 * 1024
# Level 6 takes twice the time for 6 % less: measured with telemetry.
_LEVEL = 1


@dataclass(frozen=True, order=True)
class Name:
    """What a key says.

    Attributes:
        topic: The topic.
        partition: The partition.
        first: Offset of the first record.
        last: Offset of the last record.
        topic_id: Kafka's id of the topic.
    """

    topic: str
    partition: int
    first: int
    last: int
    topic_id: str

    @property
    def key(self) -> str:
        """The key below the bucket's prefix."""
        return f"{folder(self.topic, self.partition)}{self.first:020d}-{self.last:020d}.{self.topic_id}.avro.age"


def folder(topic: str, partition: int | None = None) -> str:
    """What all keys of a topic, or of a partition, begin with."""
    return f"{FOLDER}{topic}/" if partition is None else f"{FOLDER}{topic}/{partition}/"


def parse(key: str) -> Name | None:
    """What a key says; None when it is none of a segment."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return Name(topic=match[1], partition=int(match[2]), first=int(match[3]), last=int(match[4]), topic_id=match[5])


class Record(NamedTuple):
    """One record.

    Attributes:
        offset: Its offset.
        timestamp_ms: Milliseconds since 1970.
        timestamp_type: Who gave it: 0 nobody, 1 the producer, 2 the broker.
        key: Its key; None is not the same as empty.
        value: Its value; likewise.
        headers: Its headers in their order; a name may come twice.
    """

    offset: int
    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def weight(self) -> int:
        """Bytes of key, value and headers."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"")
        return size


def record(message: Any) -> Record:
    """The record of a message that is no error.

    Raises:
        UnicodeDecodeError: The name of a header is no text.
    """
    kind, timestamp_ms = message.timestamp()
    headers = message.headers()
    return Record(
        message.offset(), timestamp_ms, kind, message.key(), message.value(), tuple(headers) if headers else ()
    )


def connection(bootstrap: str, ca_file: Path, username: str, password: str) -> dict[str, Any]:
    """What every client of the brokers says."""
    access = librdkafka(bootstrap=bootstrap, ca=ca_file, username=username, password=password, client_id=_CLIENT)
    return {**access, "log_level": 3}


def restoring(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a producer that restores: nothing is lost, doubled or put in another order."""
    return {
        **options,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "snappy",
        "linger.ms": 20,
        "batch.size": 1_000_000,
        "message.max.bytes": 100_000_000,
        "message.timeout.ms": 120_000,
        "queue.buffering.max.kbytes": 65_536,
    }


def comparing(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a consumer that compares: it commits nothing, and no other consumer hears of it."""
    return {
        **options,
        "group.id": f"{options.get('sasl.username', 'archive')}-compare",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 16_384,
        "fetch.max.bytes": 16_777_216,
    }


@dataclass(frozen=True, kw_only=True)
class EncryptedSegment:
    """A segment as it is stored."""

    name: Name
    content: bytes
    metadata: Mapping[str, str]


class Segment:
    """Records of one partition in the order of their offsets.

    Attributes:
        topic: Topic of them.
        partition: Partition of them.
        first: Offset of the first; -1 for none.
        last: Offset of the last; -1 for none.
        records: How many.
        plain: Bytes of their keys, values and headers.
        opened: When the first one came, on the monotonic clock.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.first = self.last = -1
        self.records = self.plain = 0
        self.opened = time.monotonic()
        self._earliest, self._latest = 2**63, -1
        self._file = io.BytesIO()
        self._writer: Any = Writer(self._file, SCHEMA, "deflate", sync_interval=_BLOCK, compression_level=_LEVEL)
        self._written = self._file.tell()
        self._pending = 0
        self._encrypted: EncryptedSegment | None = None

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self._encrypted.content) if self._encrypted else self._written + self._pending

    def add(self, record: Record) -> None:
        """Take a record whose offset is above all others."""
        headers = [{"key": name, "value": value} for name, value in record.headers]
        self._writer.write(
            {
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "timestamp_type": record.timestamp_type,
                "key": record.key,
                "value": record.value,
                "headers": headers,
            }
        )
        weight = record.weight
        self.plain += weight
        written = self._file.tell()
        self._pending = self._pending + weight + OVERHEAD if written == self._written else 0
        self._written = written
        if self.first < 0:
            self.first = record.offset
        self.last = record.offset
        self.records += 1
        self._earliest = min(self._earliest, record.timestamp_ms)
        self._latest = max(self._latest, record.timestamp_ms)

    def encrypt(self, topic_id: str, recipients: Sequence[str]) -> EncryptedSegment:
        """Close it; what is encrypted once stays, for another attempt to store it.

        Raises:
            BackupError: A recipient is none.
        """
        if self._encrypted is None:
            self._writer.flush()
            content = encrypt_bytes(self._file.getvalue(), recipients)
            self._encrypted = EncryptedSegment(
                name=Name(self.topic, self.partition, self.first, self.last, topic_id),
                content=content,
                metadata={
                    SHA256: hashlib.sha256(content).hexdigest(),
                    RECORDS: str(self.records),
                    FIRST_MS: str(self._earliest),
                    LAST_MS: str(self._latest),
                },
            )
            # The plain bytes are not needed any more; the memory is.
            self._writer = None
            self._file = io.BytesIO()
        return self._encrypted


def read(name: Name, content: bytes, metadata: Mapping[str, str], identities: Sequence[Identity]) -> Iterator[Record]:
    """Records of a stored segment, checked against its name and its metadata.

    Args:
        name: Its name.
        content: What is stored.
        metadata: Metadata of the object.
        identities: Of those who may open it.

    Raises:
        BackupError: It is not what was stored, or cannot be opened; records before that may have been yielded.
    """
    digest = hashlib.sha256(content).hexdigest()
    if metadata.get(SHA256) != digest:
        raise BackupError(f"{name.key} is damaged: its sha256 is {digest}, not {metadata.get(SHA256) or 'known'}")
    try:
        plain = decrypt_bytes(content, identities)
    except BackupError as error:
        raise BackupError(f"{name.key}: {error}") from None
    count, last = 0, -1
    for record in _records(name, plain):
        if record.offset <= last or (count == 0 and record.offset != name.first):
            raise BackupError(f"{name.key} holds offset {record.offset} where it should not be")
        count, last = count + 1, record.offset
        yield record
    if last != name.last or str(count) != metadata.get(RECORDS):
        wanted = f"{metadata.get(RECORDS)} up to {name.last}"
        raise BackupError(f"{name.key} holds {count} records up to offset {last}; stored were {wanted}")


def _records(name: Name, plain: bytes) -> Iterator[Record]:
    try:
        for avro_row in reader(io.BytesIO(plain), reader_schema=SCHEMA):
            row: Any = avro_row
            yield Record(
                offset=row["offset"],
                timestamp_ms=row["timestamp_ms"],
                timestamp_type=row["timestamp_type"],
                key=row["key"],
                value=row["value"],
                headers=tuple((header["key"], header["value"]) for header in row["headers"]),
            )
    except (ValueError, KeyError, TypeError, EOFError, IndexError, zlib.error) as error:
        raise BackupError(f"{name.key} holds no records that can be read: {one_line(error)}") from None
