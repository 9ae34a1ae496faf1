"""Reads ``alerts-processed`` from a moment on and leaves no trace: joins no group, commits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import ValidationError

from services.alert_events.events import ProcessedEvent
from services.reports.errors import ReportError, one_line

_REQUEST_S = 20.0
_READ_LIMIT_S = 300.0
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was read.

    Attributes:
        events: Notifications, in the order of their receipt.
        unreadable: Records of another version, or that are none.
    """

    events: tuple[ProcessedEvent, ...]
    unreadable: int = 0


class AlertLog(Protocol):
    """Who knows the notifications."""

    def since(self, start: float) -> Log:
        """All notifications that were received from ``start`` (seconds since 1970) until now.

        Raises:
            ReportError: They cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """The brokers, the topic, and who reads."""

    bootstrap: str
    topic: str
    ca_file: Path
    user: str
    password_file: Path


class KafkaAlertLog:
    """The topic in Kafka."""

    def __init__(self, access: KafkaAccess, connect: Callable[[dict[str, Any]], Any] = Consumer) -> None:
        """Read as ``access`` says; ``connect`` makes the client from librdkafka settings."""
        self._access, self._connect = access, connect

    def since(self, start: float) -> Log:
        """As `AlertLog` says."""
        client = None
        try:
            client = self._connect(self._settings())
            return self._read(client, start)
        except KafkaException as error:
            raise ReportError(f"topic {self._access.topic} cannot be read: {one_line(_text(error))}") from None
        except OSError as error:
            raise ReportError(f"{self._access.password_file}: cannot be read: {error.strerror}") from None
        finally:
            if client is not None:
                client.close()

    def _settings(self) -> dict[str, Any]:
        access = self._access
        return {
            "bootstrap.servers": access.bootstrap,
            "client.id": access.user,
            # Asked for by the client; nothing joins it, and nothing is committed.
            "group.id": access.user,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "security.protocol": "sasl_ssl",
            "ssl.ca.location": str(access.ca_file),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": access.user,
            "sasl.password": access.password_file.read_text().strip(),
            "log_level": 2,
        }

    def _read(self, client: Any, start: float) -> Log:
        left = self._ends(client, start)
        events: list[ProcessedEvent] = []
        unreadable = 0
        deadline = time.monotonic() + _READ_LIMIT_S
        while left:
            if time.monotonic() > deadline:
                raise ReportError(f"topic {self._access.topic} was not read to its end within {_READ_LIMIT_S:.0f} s")
            for message in client.consume(num_messages=_BATCH, timeout=1.0):
                error = message.error()
                if error is not None:
                    if error.fatal() or not error.retriable():
                        raise KafkaException(error)
                    continue
                partition = message.partition()
                if partition not in left or message.offset() >= left[partition]:
                    left.pop(partition, None)
                    continue
                try:
                    events.append(ProcessedEvent.model_validate_json(message.value() or b""))
                except ValidationError:
                    unreadable += 1
            # Positions also pass over what compaction and transactions left out.
            for place in client.position([TopicPartition(self._access.topic, partition) for partition in left]):
                if place.offset >= left[place.partition]:
                    left.pop(place.partition)
        # Kafka finds the first record of a moment; older ones may stand behind it.
        events = [event for event in events if event.received_at.timestamp() >= start]
        return Log(events=tuple(sorted(events, key=lambda event: event.received_at)), unreadable=unreadable)

    def _ends(self, client: Any, start: float) -> dict[int, int]:
        """Begin at ``start``; returns the present end of each partition that has records from then on."""
        topic = self._access.topic
        metadata = client.list_topics(topic, timeout=_REQUEST_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        wanted = [TopicPartition(topic, partition, int(start * 1000)) for partition in metadata.partitions]
        places = client.offsets_for_times(wanted, timeout=_REQUEST_S)
        ends: dict[int, int] = {}
        begin: list[TopicPartition] = []
        for place in places:
            if place.error is not None:
                raise KafkaException(place.error)
            low, high = client.get_watermark_offsets(TopicPartition(topic, place.partition), timeout=_REQUEST_S)
            if 0 <= place.offset < high:
                ends[place.partition] = high
                begin.append(TopicPartition(topic, place.partition, max(place.offset, low)))
        client.assign(begin)
        return ends


def _text(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return inner.str() if hasattr(inner, "str") else str(inner)
