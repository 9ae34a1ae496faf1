"""Clients that must be refused: each returns why it was, or an empty text when it was let in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, client_settings, errors
from ops.core.platform import Login, Platform

SECONDS = 10.0
_DENIED = ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED")


def plaintext(platform: Platform) -> str:
    """A client without TLS."""
    return _metadata({"bootstrap.servers": platform.kafka_bootstrap, "security.protocol": "PLAINTEXT"})


def without_sasl(platform: Platform) -> str:
    """A client with TLS that does not sign in."""
    settings = client_settings(platform, platform.kafka_admin)
    kept = {key: value for key, value in settings.items() if not key.startswith("sasl.")}
    return _metadata({**kept, "security.protocol": "SSL"})


def wrong_password(platform: Platform) -> str:
    """A known user with a wrong password."""
    wrong = Login.model_validate({"username": platform.kafka_admin.username, "password": secrets.token_urlsafe(16)})
    return _metadata(client_settings(platform, wrong))


def writing(platform: Platform, user: str, topic: str) -> str:
    """``user`` writes to a topic that is not its own."""
    reasons: list[str] = []
    settings = {**client_settings(platform, platform.kafka_login(user)), "message.timeout.ms": int(SECONDS * 1000)}
    producer = Producer(settings)
    producer.produce(topic, b"refused", on_delivery=lambda error, _: reasons.append(error.name() if error else ""))
    producer.flush(SECONDS + 2)
    return reasons[0] if reasons and reasons[0] in _DENIED else ""


def reading(platform: Platform, user: str, topic: str) -> str:
    """``user`` reads a topic that is not its own; it joins no group, so it disturbs none."""
    with _consumer(platform, user, user) as consumer:
        # Who may not read usually may not even learn where the partitions are; then there is nothing to fetch from.
        with errors(f"no metadata for {user}"):
            denied = consumer.list_topics(topic, timeout=SECONDS).topics[topic].error
        if denied is not None and denied.name() in _DENIED:
            return str(denied.name())
        consumer.assign([TopicPartition(topic, 0, 0)])
        return _denial(consumer)


def joining(platform: Platform, user: str, topic: str, group: str) -> str:
    """``user`` joins a group that is not its own."""
    with _consumer(platform, user, group) as consumer:
        consumer.subscribe([topic])
        return _denial(consumer)


@contextmanager
def _consumer(platform: Platform, user: str, group: str) -> Iterator[Consumer]:
    settings = client_settings(platform, platform.kafka_login(user))
    consumer = Consumer({**settings, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    try:
        yield consumer
    finally:
        consumer.close()


def _denial(consumer: Consumer) -> str:
    """The refusal, or nothing when a record comes or no refusal does."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        error = message.error()
        if error is None:
            return ""
        if error.name() in _DENIED:
            return str(error.name())
    return ""


def control(platform: Platform) -> None:
    """The same address lets the right client in; without this a refusal would show nothing.

    Raises:
        OpsError: It does not.
    """
    reason = _metadata(client_settings(platform, platform.kafka_admin))
    if reason:
        raise OpsError(f"the right client is refused, too: {reason}")


def _metadata(settings: dict[str, Any]) -> str:
    """Ask for metadata; the first error that says why there was no answer."""
    said: list[KafkaError] = []
    admin = ADMIN.AdminClient({**settings, "error_cb": said.append, "log_level": 0, "socket.timeout.ms": 5000})
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            admin.list_topics(timeout=1.0)
        except KafkaException as error:
            admin.poll(0.1)
            names = [reported.name() for reported in said if reported.name() != "_ALL_BROKERS_DOWN"]
            if names:
                return str(names[0])
            if time.monotonic() > deadline:
                return str(error.args[0].name())
        else:
            return ""


def refusals(platform: Platform) -> dict[str, str]:
    """All probes of requirement K5 by name; an empty reason means that the client was let in."""
    reader = platform.consumer_groups[0]
    probes: dict[str, Callable[[], str]] = {
        "no TLS": lambda: plaintext(platform),
        "TLS without SASL": lambda: without_sasl(platform),
        "wrong password": lambda: wrong_password(platform),
        f"{reader} writing telemetry-metrics": lambda: writing(platform, reader, "telemetry-metrics"),
        "gateway writing alerts-raw": lambda: writing(platform, "gateway", "alerts-raw"),
        f"gateway in group {reader}": lambda: joining(platform, "gateway", "telemetry-metrics", reader),
        f"{reader} reading telemetry-traces": lambda: reading(platform, reader, "telemetry-traces"),
        f"{reader} in another group": lambda: joining(platform, reader, "telemetry-metrics", "someone-else"),
    }
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = {name: pool.submit(probe) for name, probe in probes.items()}
        return {name: answer.result() for name, answer in answers.items()}
