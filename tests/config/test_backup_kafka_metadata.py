"""Metadata of a real broker: read by a user that may only describe, and made again where it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from services.backup import BackupError, KafkaMetadata, kafka_metadata
from services.backup import kafka_metadata as restore_kafka_metadata
from services.backup.kafka_metadata import connect, read, result
from services.backup.manifest import RunWriter
from services.backup.restore import differences, fetch
from services.backup.store import Store
from tests.config.servers import eventually
from tests.config.storage_process import storage_process
from tests.support.kafka_broker import Broker, running

IDENTITY = pyrage.x25519.Identity.generate()
READER, PASSWORD = "backup", "password-of-the-reader"
TOPICS = {
    "telemetry-metrics": (4, {"retention.ms": "2592000000", "min.insync.replicas": "1"}),
    "telemetry-logs": (2, {"compression.type": "snappy", "max.message.bytes": "2097152"}),
    "alerts-raw": (1, {}),
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture(scope="module")
def admin(broker: Broker) -> Any:
    return connect(broker.bootstrap, broker.ca, (broker.username, broker.password))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storage_process(tmp_path_factory.mktemp("storage")) as storage, storage.store("backups/") as opened_store:
        yield opened_store


def allow(user: str, operation: AclOperation, kind: ResourceType, name: str, pattern: str = "LITERAL") -> AclBinding:
    """A permission."""
    return AclBinding(kind, name, ResourcePatternType[pattern], f"User:{user}", "*", operation, AclPermissionType.ALLOW)


READS = [
    *(allow(READER, AclOperation.DESCRIBE, kind, "*") for kind in (ResourceType.TOPIC, ResourceType.GROUP)),
    allow(READER, AclOperation.DESCRIBE_CONFIGS, ResourceType.TOPIC, "*"),
    allow(READER, AclOperation.DESCRIBE, ResourceType.BROKER, "kafka-cluster"),
]
"""The least that a backup needs."""
OTHERS = [
    allow("gateway", AclOperation.WRITE, ResourceType.TOPIC, "telemetry-", "PREFIXED"),
    allow("indexer", AclOperation.READ, ResourceType.GROUP, "indexer"),
]


def fill(admin: Any, broker: Broker) -> None:
    """Topics with records, permissions, users, a group that committed."""
    new = [NewTopic(name, num_partitions=number, config=dict(own)) for name, (number, own) in TOPICS.items()]
    changes = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, rounds), PASSWORD.encode())
        for user, rounds in ((READER, 4096), ("gateway", 8192))
    ]
    for answers in (
        admin.create_topics(new),
        admin.create_acls([*READS, *OTHERS]),
        admin.alter_user_scram_credentials(changes),
    ):
        for answer in answers.values():
            result(answer)
    producer = Producer(broker.client())
    for number in range(20):
        producer.produce("telemetry-logs", str(number).encode(), partition=number % 2)
    assert producer.flush(60) == 0
    consumer = Consumer(broker.client(**{"group.id": "indexer", "enable.auto.commit": False}))
    offsets = [TopicPartition("telemetry-logs", partition, 7 + partition) for partition in (0, 1)]
    try:
        consumer.assign(offsets)
        consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()


def empty(admin: Any) -> None:
    """Take topics and permissions away."""
    anything: Any = None
    every = AclBindingFilter(
        ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything, AclOperation.ANY, AclPermissionType.ANY
    )
    for answers in (admin.delete_topics([*TOPICS]), admin.delete_acls([every])):
        for answer in answers.values():
            result(answer)
    eventually(lambda: not (metadata := read(admin)).topics and not metadata.acls, 30, "the broker is empty")


def test_topics_and_permissions_come_back_as_they_were(
    broker: Broker, admin: Any, store: Store, tmp_path: Path
) -> None:
    fill(admin, broker)
    (tmp_path / "ca.crt").write_text(broker.ca)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    settings = KafkaMetadata(
        bootstrap=broker.bootstrap,
        ca_file=tmp_path / "ca.crt",
        user=READER,
        password_file=tmp_path / "password",
    )
    before = read(admin)
    target = RunWriter(store, "kafka-metadata", [str(IDENTITY.to_public())])
    manifest = target.finish(kafka_metadata.back_up(settings, target), platform="obs", region="tokyo")
    assert dict(manifest.counts) == {
        "topics": 3,
        "partitions": 7,
        "topic settings": 4,
        "acls": 6,
        "users": 3,
        "consumer groups": 1,
        "committed offsets": 2,
    }
    run = tmp_path / "run"
    fetch(store, "kafka-metadata", manifest.run, [IDENTITY], run)
    assert restore_kafka_metadata.load(run) == before
    plain = "".join(file.read_text() for file in run.iterdir())
    assert not [password for password in (PASSWORD, broker.password) if password in plain]
    assert restore_kafka_metadata.plan(run, admin).lines() == []
    with pytest.raises(BackupError, match=r"is not empty \(3 topics, 6 permissions\); nothing was changed"):
        restore_kafka_metadata.restore(run, admin)

    empty(admin)
    lines = restore_kafka_metadata.plan(run, admin).lines()
    assert "make topic telemetry-metrics with 4 partitions" in lines
    assert "permit User:gateway: WRITE on TOPIC telemetry- (PREFIXED)" in lines
    outcome = restore_kafka_metadata.restore(run, admin)
    after = read(admin)
    assert (after.topics, after.acls, after.users) == (before.topics, before.acls, before.users)
    # Offsets went with their topic, and are not made up: records that are put back get others.
    assert differences(manifest, outcome.counts) == [
        line
        for line in differences(manifest, outcome.counts)
        if line.startswith(("committed offsets", "consumer groups"))
    ]

    result(admin.create_topics([NewTopic("more", num_partitions=1)])["more"])
    result(admin.delete_topics(["alerts-raw"])["alerts-raw"])
    eventually(lambda: "alerts-raw" not in kafka_metadata.topic_states(admin), 20, "the topic is gone")
    again = restore_kafka_metadata.restore(run, admin, replace=True)
    assert again.counts["topics"] == 3
    assert "topic more is not in the backup: stays" in again.notes


def test_a_user_that_may_not_describe_makes_no_half_backup(
    broker: Broker, admin: Any, store: Store, tmp_path: Path
) -> None:
    change = UserScramCredentialUpsertion(
        "nobody", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
    )
    result(admin.alter_user_scram_credentials([change])["nobody"])
    if not kafka_metadata.topic_states(admin):
        result(admin.create_topics([NewTopic("more", num_partitions=1)])["more"])
    (tmp_path / "ca.crt").write_text(broker.ca)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    settings = KafkaMetadata(
        bootstrap=broker.bootstrap,
        ca_file=tmp_path / "ca.crt",
        user="nobody",
        password_file=tmp_path / "password",
    )
    # Not at the second of the run before, which a busy machine may still be in.
    started = datetime.now(UTC) - timedelta(hours=1)
    target = RunWriter(store, "kafka-metadata", [str(IDENTITY.to_public())], started)
    with pytest.raises(BackupError, match=r"^Kafka: nobody sees no topic; it needs DESCRIBE on all topics$"):
        kafka_metadata.back_up(settings, target)
    known = len(read(admin).acls)
    binding = allow("nobody", AclOperation.DESCRIBE, ResourceType.TOPIC, "*")
    result(admin.create_acls([binding])[binding])
    eventually(lambda: len(read(admin).acls) > known, 20, "the broker knows the permission")
    with pytest.raises(BackupError, match=r"^Kafka: nobody sees no permission; it needs DESCRIBE on the cluster$"):
        kafka_metadata.back_up(settings, target)
    assert store.objects(f"kafka-metadata/{target.run}/") == []
