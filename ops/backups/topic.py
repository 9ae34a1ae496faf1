"""The archive of a topic back into Kafka, and compared with it record by record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, Producer

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, client_settings, errors
from ops.core.kube import wait_until
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive import compare as comparison
from services.kafka_archive import records
from services.kafka_archive.catalogue import catalogue
from services.kafka_archive.compare import Compared
from services.kafka_archive.restore import Restored
from services.kafka_archive.restore import restore as restore_topic

_KEPT_FOR_EVER = {"retention.ms": "-1", "cleanup.policy": "delete"}
"""Of a topic that is made for a restore: its records are old, and must not go before somebody has looked."""
_TAKEN_OVER = ("max.message.bytes", "compression.type", "min.insync.replicas", "unclean.leader.election.enable")
_MOST_COPIES = 3
_SEEN_S = 30.0


def make(context: Context, store: Store, topic: str, into: str, topic_id: str | None = None) -> int:
    """Make a topic with as many partitions as the archive has; the number of them.

    Raises:
        OpsError: There is one of that name, or the brokers refuse.
        BackupError: The archive has nothing of the topic.
    """
    kafka = context.kafka
    there = kafka.topics()
    if into in there:
        raise OpsError(f"--make: topic {into} is there already; leave --make out, or name another one with --to")
    partitions = max(catalogue(store, topic, topic_id).segments) + 1
    if topic in there:
        partitions = max(partitions, there[topic].partitions)
    source = kafka.topic_settings([topic]).get(topic, {})
    settings = {**{key: source[key] for key in _TAKEN_OVER if key in source}, **_KEPT_FOR_EVER}
    copies = min(_MOST_COPIES, len(kafka.brokers()))
    new = ADMIN.NewTopic(into, num_partitions=partitions, replication_factor=copies, config=settings)
    with errors(f"topic {into} cannot be made"):
        kafka.client.create_topics([new], operation_timeout=TIMEOUT_SECONDS)[into].result(timeout=TIMEOUT_SECONDS)

    def led() -> bool:
        state = kafka.topics().get(into)
        return state is not None and state.partitions == partitions and min(state.leaders) >= 0

    wait_until(led, _SEEN_S, f"every partition of {into} to have a leader", 0.5)
    return partitions


def remove(context: Context, topic: str) -> None:
    """Remove a topic that `make` made.

    Raises:
        OpsError: The brokers refuse.
    """
    with errors(f"topic {topic} cannot be removed"):
        gone = context.kafka.client.delete_topics([topic], operation_timeout=TIMEOUT_SECONDS)
        gone[topic].result(timeout=TIMEOUT_SECONDS)


def restore(
    context: Context,
    store: Store,
    identities: Sequence[Identity],
    topic: str,
    *,
    into: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    topic_id: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Send the archived records again, as the administrator, into an empty topic.

    Raises:
        BackupError: The archive is not whole, the topic does not fit, or the brokers do not take a record.
    """
    settings = _settings(context)
    return restore_topic(
        store,
        identities,
        topic,
        Producer(records.restoring(settings)),
        admin=context.kafka.client,
        since=since,
        until=until,
        into=into,
        topic_id=topic_id,
        progress=lambda partition, number: tell(f"{into or topic}: {number:,} records of partition {partition}"),
    )


def compare(
    context: Context,
    store: Store,
    identities: Sequence[Identity],
    topic: str,
    *,
    live: str | None = None,
    by_offset: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    topic_id: str | None = None,
) -> Compared:
    """Compare the archive with a topic, record by record.

    Args:
        context: The platform.
        store: The bucket.
        identities: Of an operator.
        topic: What was archived.
        live: What it is compared with; None: the topic of the same name.
        by_offset: Whether equal offsets are compared, as of the archived topic itself; else the order.
        since: Only archived records with this timestamp or a later one.
        until: Only archived records with an earlier timestamp.
        topic_id: Which one, where a topic was made again.

    Raises:
        BackupError: The archive is not whole, or the brokers do not answer.
    """
    consumer = Consumer(records.comparing(_settings(context)))
    try:
        return comparison.compare(
            store,
            identities,
            topic,
            consumer,
            live=live,
            by_offset=by_offset,
            since=since,
            until=until,
            topic_id=topic_id,
        )
    finally:
        consumer.close()


def _settings(context: Context) -> dict[str, Any]:
    return client_settings(context.platform, context.platform.kafka_admin)
