"""One record of Kafka, as it is archived and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from services.runtime.kafka import librdkafka

OVERHEAD = 64
"""What a record weighs beside its key, value and headers, about."""


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
    access = librdkafka(bootstrap=bootstrap, ca=ca_file, username=username, password=password, client_id=username)
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
