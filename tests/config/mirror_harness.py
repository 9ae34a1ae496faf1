"""Two real Kafka clusters on loopback and the real mirror between them, from the files that the components render."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from components.kafka import config as kafka_config
from components.kafka import nodes as kafka_process
from components.kafka.access import AclRule, Topic, User, acl_rules, topic_config
from components.mirror import config
from components.mirror.config import MirrorFlow
from tests.config.mirror_process import SOURCE_PASSWORD, TARGET_PASSWORD, MirrorProcess
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

TOPICS = {"telemetry-metrics": 3, "telemetry-traces": 2, "telemetry-logs": 3, "alerts-raw": 1, "alerts-processed": 1}
GROUPS = ("metrics-consumer-primary", "sampler", "log-indexer", "reports")
ANSWER_S = 20.0
COPIED_S = 60.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


@dataclass
class Cluster:
    """One region's Kafka: a single broker that votes, with the platform's listeners, TLS, SCRAM and access rules."""

    node: RealNode

    @property
    def external(self) -> str:
        """Address of the external listener."""
        return f"{self.node.node.host}:{kafka_config.EXTERNAL_PORT}"

    @property
    def inside(self) -> str:
        """Address of the listener that clients of the same region use."""
        return f"{self.node.node.host}:{kafka_config.CLIENT_PORT}"

    @property
    def authority(self) -> str:
        """Certificate of the region's authority."""
        return (self.node.folder / "tls/ca.crt").read_text()

    def login(self, **changes: Any) -> dict[str, Any]:
        """Client settings of the administrator."""
        return {
            "bootstrap.servers": self.external,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka_config.ADMIN,
            "sasl.password": kafka_nodes.ADMIN_PASSWORD,
            "ssl.ca.location": str(self.node.folder / "tls/ca.crt"),
            "log_level": 0,
            **changes,
        }

    def start(self) -> None:
        """Start the broker and wait for its listener."""
        self.node.serve()
        self.node.wait_for_port(kafka_config.CLIENT_PORT)

    def prepare(self, user: User, password: str) -> None:
        """Make the five topics, one user, and exactly its access rules."""
        admin = AdminClient(self.login())
        wanted = [Topic(name=name, partitions=count, retention_ms=3_600_000) for name, count in TOPICS.items()]
        settings = {"min_insync_replicas": 1, "max_message_bytes": MAX_MESSAGE_BYTES}
        topics = admin.create_topics(
            [NewTopic(topic.name, topic.partitions, 1, config=topic_config(topic, **settings)) for topic in wanted],
            operation_timeout=ANSWER_S,
        )
        login = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        users = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user.name, login, password.encode(), b"salt-of-the-test")]
        )
        rules = admin.create_acls([_binding(user.name, rule) for rule in acl_rules(user)])
        for topic in (*topics.values(), *users.values(), *rules.values()):
            topic.result(timeout=ANSWER_S)

    def topics(self) -> set[str]:
        """Names of all topics."""
        return set(AdminClient(self.login()).list_topics(timeout=ANSWER_S).topics)

    def produce(self, topic: str, numbers: Iterable[int], *, pause_s: float = 0.0) -> list[int]:
        """Write numbered records, by key over the partitions; those that were acknowledged are returned."""
        acknowledged: list[int] = []
        producer = Producer(self.login(acks="all", **{"linger.ms": 2, "message.timeout.ms": 8000}))

        def written(number: int) -> Callable[[Any, Message], None]:
            return lambda error, _: None if error else acknowledged.append(number)

        for number in numbers:
            producer.produce(topic, str(number).encode(), key=f"key-{number}".encode(), on_delivery=written(number))
            producer.poll(0)
            if pause_s:
                time.sleep(pause_s)
        producer.flush(ANSWER_S)
        return acknowledged

    def everything(self, topic: str, least: int, limit_s: float = COPIED_S) -> list[Message]:
        """All records of a topic, in order of partitions and offsets, once there are at least ``least``."""
        parts = [TopicPartition(topic, number, 0) for number in range(TOPICS[topic])]
        with consumer(self, "no-group", **{"enable.auto.commit": False}) as reader:
            reader.assign(parts)
            messages = drain(reader, least, limit_s)
        return sorted(messages, key=lambda message: (message.partition() or 0, message.offset() or 0))

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Partition -> offset of a group."""
        parts = [TopicPartition(topic, number) for number in range(TOPICS[topic])]
        with consumer(self, group) as reader:
            positions = reader.committed(parts, timeout=ANSWER_S)
        return {position.partition: position.offset for position in positions if position.offset >= 0}


@dataclass
class Harness:
    """Both regions and the mirror."""

    source: Cluster
    target: Cluster
    mirror: MirrorProcess

    def wait_for_copy(self, topic: str, least: int, limit_s: float = COPIED_S) -> None:
        """Wait until the target has at least so many records of a topic."""
        eventually(lambda: self.count(self.target, topic) >= least, limit_s, f"{least} records of {topic} copied")

    def count(self, cluster: Cluster, topic: str) -> int:
        """Records of a topic that nothing has deleted."""
        with consumer(cluster, "no-group") as reader:
            ends = [
                reader.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_S)[1]
                for number in range(TOPICS[topic])
            ]
        return sum(ends)

    def wait_for_groups(self, group: str, topic: str, limit_s: float = 90.0) -> dict[int, int]:
        """The group's offsets in the target, once they have not changed for several rounds."""
        last: dict[int, int] = {}
        since, deadline = time.monotonic(), time.monotonic() + limit_s
        while time.monotonic() < deadline:
            now = self.target.committed(group, topic)
            if now != last:
                last, since = now, time.monotonic()
            if last and time.monotonic() - since > 3 * (config.SYNC_INTERVAL_S + config.CHECKPOINT_INTERVAL_S):
                return last
            time.sleep(0.5)
        raise AssertionError(f"offsets of {group} in the target: {last} after {limit_s} s\n{self.mirror.log[-2000:]}")


def _binding(user: str, rule: AclRule) -> AclBinding:
    operations = {
        "Read": AclOperation.READ,
        "Write": AclOperation.WRITE,
        "Create": AclOperation.CREATE,
        "Describe": AclOperation.DESCRIBE,
    }
    return AclBinding(
        {"Topic": ResourceType.TOPIC, "Group": ResourceType.GROUP}[rule.resource_type],
        rule.resource,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        operations[rule.operation],
        AclPermissionType.ALLOW,
    )


@contextmanager
def consumer(cluster: Cluster, group: str, **changes: Any) -> Iterator[Consumer]:
    """A consumer of a group that starts at the beginning where it knows no better, and commits only when told."""
    settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    reader = Consumer(cluster.login(**{**settings, **changes}))
    try:
        yield reader
    finally:
        reader.close()


def drain(reader: Consumer, least: int, limit_s: float, quiet_s: float = 1.5) -> list[Message]:
    """Records until there are ``least`` and then none for a while.

    Raises:
        AssertionError: There were fewer within ``limit_s``.
    """
    messages: list[Message] = []
    deadline, last = time.monotonic() + limit_s, time.monotonic()
    while time.monotonic() < deadline:
        message = reader.poll(0.2)
        if message is not None and message.error() is None:
            messages.append(message)
            last = time.monotonic()
        elif len(messages) >= least and time.monotonic() - last > quiet_s:
            return messages
    assert len(messages) >= least, f"{len(messages)} of {least} records within {limit_s} s"
    return messages


def numbers(messages: Iterable[Message]) -> list[int]:
    """The numbers that records carry; records of other tests have none."""
    values = [(message.value() or b"").decode() for message in messages]
    return [int(value) for value in values if value.isdecimal()]


def cluster(root: Path, host: str, region: str) -> Cluster:
    """A formatted cluster of one broker, not started."""
    small_cluster = dataclasses.replace(kafka_nodes.small_cluster((host,)), platform=region)
    [node] = kafka_nodes.prepare(small_cluster, root)
    done = node.run(kafka_process.format_command(kafka_nodes.PROPERTIES))
    assert done.returncode == 0, f"StorageTool refuses {region}: {done.stdout}{done.stderr}"
    return Cluster(node)


def flow(source: Cluster, target: Cluster) -> MirrorFlow:
    """The platform's five topics from one cluster into the other."""
    return MirrorFlow(
        source="region-a",
        target="region-b",
        source_bootstrap=(source.external,),
        target_bootstrap=(target.inside,),
        target_user=config.WORKLOAD,
        topics=tuple(TOPICS),
        groups=GROUPS,
        replication_factor=1,
        max_message_bytes=MAX_MESSAGE_BYTES,
        tasks=2,
    )


def granted(name: str, permissions: Iterable[config.Permission]) -> User:
    """A user with single permissions."""
    return User(name=name, grants=tuple(AclRule(**permission._asdict()) for permission in permissions))


@contextmanager
def running(root: Path) -> Iterator[Harness]:
    """Both clusters with topics, users and access rules; the mirror runs and has copied a first record."""
    here, there, address = kafka_nodes.loopback(3)
    source, target = cluster(root / "a", here, "region-a"), cluster(root / "b", there, "region-b")
    mirror = MirrorProcess(root / "mirror", flow(source, target), address)
    harness = Harness(source, target, mirror)
    try:
        source.start()
        target.start()
        mirror.write(source_authority=source.authority, target_authority=target.authority)
        source.prepare(
            granted(config.SOURCE_USER, config.source_permissions(mirror.flow.topics, GROUPS)), SOURCE_PASSWORD
        )
        permissions = config.target_permissions(mirror.flow.source, mirror.flow.topics, mirror.flow.groups)
        target.prepare(granted(config.WORKLOAD, permissions), TARGET_PASSWORD)
        mirror.start()
        source.produce("alerts-processed", [0])
        harness.wait_for_copy("alerts-processed", 1, 90)
        yield harness
    finally:
        mirror.stop(kill=True)
        source.node.kill()
        target.node.kill()
