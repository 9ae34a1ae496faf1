"""Records into Kafka, one list after the other, each answered for by all in-sync replicas."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from services.runtime.kafka import librdkafka

MOST_POST_BYTES = 48 * 1024 * 1024
"""Largest sum of the records of one list: a notification's group is repeated in each of its alerts."""

DELIVERY_S = 5.0
"""How long the brokers may take for a record."""
TURN_S = 1.0
"""How long a post waits for those before it."""
ANSWER_S = 7.5
"""Longest time until `Sender.send` returns: below the 10 s after which Prometheus gives up."""

_FLUSH_S = ANSWER_S - TURN_S
_STUCK_S = 60.0
_ASK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record to write."""

    key: bytes
    value: bytes


class Login(Protocol):
    """The brokers, and who the program is there."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def ca_file(self) -> Path: ...
    @property
    def user(self) -> str: ...
    @property
    def password_file(self) -> Path: ...


class SenderSettings(Protocol):
    """Settings of a program that writes."""

    @property
    def kafka(self) -> Login: ...
    @property
    def topic_names(self) -> Sequence[str]: ...


class BusyError(Exception):
    """Other posts are still being written; nothing of this one was."""


class BrokersError(Exception):
    """Kafka did not acknowledge every record of a post; in one line, without any of them."""


class Sender:
    """The one producer. What is written by one call comes before all that later calls write, key by key."""

    def __init__(
        self,
        settings: SenderSettings,
        client_id: str,
        producer_factory: Callable[[dict[str, Any]], Any] = Producer,
    ) -> None:
        """Write to the brokers of ``settings`` under a name that stays when the login changes.

        ``producer_factory`` makes the client from librdkafka settings.
        """
        self._settings, self._client_id = settings, client_id
        self._factory = producer_factory
        self._turn = threading.Lock()
        self._turn_began: float | None = None
        self._producer: Any = None
        self._authority = self._password = ""
        self._heard = ""

    def send(self, topic: str, records: Sequence[Record]) -> None:
        """Write records in their order; when this returns, the brokers have acknowledged all of them.

        Raises:
            BusyError: The turn of this post did not come in time.
            BrokersError: Some were not acknowledged. They may have been written all the same: send all of them again.
        """
        if not self._turn.acquire(timeout=TURN_S):
            raise BusyError("other posts are still being written")
        self._turn_began = time.monotonic()
        try:
            self._write(topic, records)
        finally:
            self._turn_began = None
            self._turn.release()

    def reach(self) -> None:
        """Ask the brokers for the topics.

        Raises:
            BrokersError: They do not answer, or do not know them, or not for us.
        """
        with self._turn:
            producer = self._current()
        for topic in self._settings.topic_names:
            try:
                error = producer.list_topics(topic, timeout=_ASK_S).topics[topic].error
            except KafkaException as failure:
                producer.poll(0)
                raise BrokersError(self._reason(failure.args[0])) from None
            if error is not None:
                raise BrokersError(f"{topic}: {error.str()}")

    def alive(self) -> bool:
        """Tell whether no post has been stuck; brokers that are away are no reason to restart."""
        began = self._turn_began
        return began is None or time.monotonic() - began < _STUCK_S

    def close(self) -> None:
        """End the connections once nobody writes any more."""
        with self._turn:
            if self._producer is not None:
                self._producer.flush(_FLUSH_S)
                self._producer = None

    def _write(self, topic: str, records: Sequence[Record]) -> None:
        acknowledged, failures = 0, list[KafkaError]()

        def answered(error: KafkaError | None, message: object) -> None:
            nonlocal acknowledged
            if error is None:
                acknowledged += 1
            else:
                failures.append(error)

        producer = self._current()
        self._heard = ""
        try:
            for record in records:
                producer.produce(topic, key=record.key, value=record.value, on_delivery=answered)
        except KafkaException as failure:
            failures.append(failure.args[0])
        except BufferError:
            raise BrokersError("the brokers have not taken earlier records yet") from None
        finally:
            producer.flush(_FLUSH_S)
        if any(error.fatal() or error.code() == KafkaError._FATAL for error in failures):
            # This producer can never write again; order is kept, since nothing of it is under way any more.
            self._producer = None
        if acknowledged < len(records):
            reason = self._reason(failures[0]) if failures else "no answer in time"
            raise BrokersError(f"{topic}: {acknowledged} of {len(records)} acknowledged: {reason}")

    def _reason(self, error: KafkaError) -> str:
        return error.str() + (f" ({self._heard})" if self._heard and self._heard != error.str() else "")

    def _hear(self, error: KafkaError) -> None:
        self._heard = error.str()

    def _current(self) -> Any:
        """The producer; a new one whenever the CA was renewed.

        The password stays that of the start. A later one may be of another user, whom only a new process is told.

        Raises:
            BrokersError: One of those files cannot be read, or is no certificate.
        """
        kafka = self._settings.kafka
        try:
            authority = kafka.ca_file.read_text()
            self._password = self._password or kafka.password_file.read_text().strip()
        except OSError as error:
            raise BrokersError(f"{error.filename} cannot be read: {error.strerror}") from None
        if self._producer is None or authority != self._authority:
            try:
                self._producer = self._factory(self._client_settings(authority, self._password))
            except KafkaException as error:
                raise BrokersError(f"no producer can be made: {error.args[0]}") from None
            self._authority = authority
        return self._producer

    def _client_settings(self, authority: str, password: str) -> dict[str, Any]:
        kafka = self._settings.kafka
        return {
            **librdkafka(
                bootstrap=kafka.bootstrap,
                ca=authority,
                username=kafka.user,
                password=password,
                client_id=self._client_id,
            ),
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "snappy",
            "delivery.timeout.ms": int(DELIVERY_S * 1000),
            # As Java's clients do it, so that whoever joins the topics finds an alert where it expects it.
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "queue.buffering.max.kbytes": 2 * MOST_POST_BYTES // 1024,
            "reconnect.backoff.max.ms": 2000,
            "error_cb": self._hear,
            # What goes wrong is told with the post that it goes wrong for; librdkafka would tell it again and again.
            "log_level": 0,
        }
