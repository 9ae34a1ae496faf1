"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.backup.settings import Storage, recipients, storage
from services.runtime.settings import SettingsError, address, mapping, read, texts
from services.runtime.storage import Login, login

__all__ = ["Kafka", "Limits", "Settings", "SettingsError", "load", "parse"]

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Where records come from; the user is also the consumer group."""

    bootstrap: str
    topics: tuple[str, ...]
    ca_file: Path
    username: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a segment is closed, and how much may wait.

    Attributes:
        flush_s: Age in seconds at which a segment is closed: so old may be what the storage does not have yet.
        segment_bytes: Size of a segment in memory, compressed, at which it is closed.
        segment_records: Number of records at which it is closed.
        memory_bytes: Size of everything that waits in memory; at that, no more is read.
    """

    flush_s: float
    segment_bytes: int
    segment_records: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is archived, where it goes, who can open it, and how the metrics are served.

    Attributes:
        kafka: Where records come from.
        storage: The bucket.
        recipients: Public keys of age; each of them can open the archive.
        limits: When what is stored.
        keep_days: Days after which a segment is removed.
        listen_host: Address of the metrics.
        listen_port: Port of them.
        cert_file: Certificate chain of the server.
        key_file: Its key.
        metrics: May read the metrics.
    """

    kafka: Kafka
    storage: Storage
    recipients: tuple[str, ...]
    limits: Limits
    keep_days: float
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    metrics: Login


_KAFKA = ("bootstrap", "ca_file", "username", "password_file")
_TLS = ("cert_file", "key_file")
_LIMITS = {
    "flush_s": (1, 3600),
    "segment_bytes": (64 * 1024, 256 * MEBIBYTE),
    "segment_records": (1, 10_000_000),
    "memory_bytes": (8 * MEBIBYTE, 16 * 1024 * MEBIBYTE),
}
_DAYS = (1, 36_500)
_TOP = ("kafka", "storage", "recipients", *_LIMITS, "keep_days", "listen", "tls", "metrics")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = mapping("", content, _TOP)
    tls = texts("tls", top["tls"], _TLS)
    host, port = address(top["listen"])
    return Settings(
        kafka=_kafka(top["kafka"]),
        storage=storage(top["storage"]),
        recipients=recipients(top["recipients"]),
        limits=_limits({key: _whole(key, top[key], *_LIMITS[key]) for key in _LIMITS}),
        keep_days=_whole("keep_days", top["keep_days"], *_DAYS),
        listen_host=host,
        listen_port=port,
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        metrics=login("metrics", top["metrics"]),
    )


def _kafka(value: object) -> Kafka:
    content = mapping("kafka", value, (*_KAFKA, "topics"))
    text = texts("kafka", {key: content[key] for key in _KAFKA}, _KAFKA)
    return Kafka(
        bootstrap=text["bootstrap"],
        topics=_topics(content["topics"]),
        ca_file=Path(text["ca_file"]),
        username=text["username"],
        password_file=Path(text["password_file"]),
    )


def _topics(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(topic, str) for topic in value):
        raise SettingsError(f"kafka.topics is {value!r}; it must be a list of names of topics that is not empty")
    for topic in value:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise SettingsError(f"kafka.topics has {topic!r}; a topic's name has letters, digits and . _ - only")
        if value.count(topic) > 1:
            raise SettingsError(f"kafka.topics has {topic!r} twice; name it once")
    return tuple(value)


def _limits(limits: dict[str, int]) -> Limits:
    if limits["memory_bytes"] < 2 * limits["segment_bytes"]:
        raise SettingsError(
            f"memory_bytes is {limits['memory_bytes']}; it must hold two segments at least: "
            f"{2 * limits['segment_bytes']} or more, or a smaller segment_bytes"
        )
    return Limits(
        flush_s=float(limits["flush_s"]),
        segment_bytes=limits["segment_bytes"],
        segment_records=limits["segment_records"],
        memory_bytes=limits["memory_bytes"],
    )


def _whole(key: str, value: object, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise SettingsError(f"{key} is {value!r}; it must be a whole number from {lowest} to {highest}")
    return value
