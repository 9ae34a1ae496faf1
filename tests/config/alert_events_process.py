"""The alert event service as its pod runs it, real brokers for it, and a sender that comes again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import requests
import yaml
from confluent_kafka import Consumer, TopicPartition
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

from components.kafka import config
from components.kafka.access import Topic, User, acl_rules, topic_config
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from lab.paths import CHECKOUT
from tests.config.servers import eventually, free_port, running
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode
from tests.unit.services.alert_events_fakes import PASSWORDS, PROCESSED, RAW, content

TOPICS = (ALERTS_RAW_TOPIC, ALERTS_PROCESSED_TOPIC)
USER = User(name="kafka", writes=tuple(topic.name for topic in TOPICS))
_ANSWER_S = 60.0


@dataclass(frozen=True)
class Brokers:
    """Real brokers with both topics, and the service's user with its permissions."""

    nodes: Sequence[RealNode]

    @property
    def bootstrap(self) -> str:
        """Address of every broker."""
        return ",".join(f"{node.node.host}:{config.EXTERNAL_PORT}" for node in self.nodes)

    @property
    def tls(self) -> Path:
        """Folder with a certificate for localhost, its key and the authority of all certificates."""
        return self.nodes[0].folder / "tls"

    def client(self, **other: Any) -> dict[str, Any]:
        """Settings of the administrator's clients."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": config.ADMIN,
            "sasl.password": kafka_nodes.ADMIN_PASSWORD,
            "ssl.ca.location": str(self.tls / "ca.crt"),
            "log_level": 2,
            **other,
        }

    def start(self, *nodes: RealNode) -> None:
        """Start brokers and wait until they listen."""
        for node in nodes:
            node.serve()
        for node in nodes:
            node.wait_for_port(config.CLIENT_PORT)

    def prepare(self) -> None:
        """Make topics, user and permissions as the platform does."""
        admin = AdminClient(self.client())
        brokers = len(self.nodes)
        new_topics = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=min(3, brokers),
                config=topic_config(
                    Topic(name=topic.name, partitions=topic.partitions, retention_ms=topic.retention_ms),
                    min_insync_replicas=min(2, brokers),
                    max_message_bytes=4 * 1024 * 1024,
                ),
            )
            for topic in TOPICS
        ]
        futures = list(admin.create_topics(new_topics, request_timeout=_ANSWER_S, operation_timeout=_ANSWER_S).values())
        secret = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        password = PASSWORDS["kafka"].encode()
        user = UserScramCredentialUpsertion(USER.name, secret, password)
        futures += admin.alter_user_scram_credentials([user]).values()
        acls = [
            AclBinding(
                ResourceType[rule.resource_type.upper()],
                rule.resource,
                ResourcePatternType.LITERAL,
                f"User:{USER.name}",
                "*",
                AclOperation[rule.operation.upper()],
                AclPermissionType.ALLOW,
            )
            for rule in acl_rules(USER)
        ]
        futures += admin.create_acls(acls).values()
        for future in futures:
            future.result(_ANSWER_S)

    def records(self, topic: str, since: dict[int, int] | None = None) -> list[tuple[int, str, bytes]]:
        """Partition, key and value of everything in a topic, partition by partition in order."""
        reader = Consumer(self.client(**{"group.id": "look", "enable.auto.commit": False}))
        try:
            records: list[tuple[int, str, bytes]] = []
            for partition, end in self.ends(topic, reader).items():
                first = (since or {}).get(partition, 0)
                reader.assign([TopicPartition(topic, partition, first)])
                deadline, at = time.monotonic() + _ANSWER_S, first
                while at < end:
                    assert time.monotonic() < deadline, f"{topic}[{partition}] was not read to its end"
                    message = reader.poll(1)
                    if message is not None and message.error() is None:
                        at = message.offset() + 1
                        records.append((partition, message.key().decode(), message.value()))
            return records
        finally:
            reader.close()

    def ends(self, topic: str, reader: Consumer | None = None) -> dict[int, int]:
        """End of every partition."""
        consumer = reader or Consumer(self.client(**{"group.id": "look"}))
        try:
            partitions = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
            return {
                partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ANSWER_S)[1]
                for partition in sorted(partitions)
            }
        finally:
            if reader is None:
                consumer.close()


@contextmanager
def brokers(folder: Path, count: int) -> Iterator[Brokers]:
    """Real brokers that vote, on loopback addresses of their own."""
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(8)[5 : 5 + count])
    with kafka_nodes.formatted(cluster, folder, metrics=False) as nodes:
        brokers_process = Brokers(nodes)
        brokers_process.start(*nodes)
        brokers_process.prepare()
        yield brokers_process


@dataclass(frozen=True)
class EventsProcess:
    """The running service."""

    url: str
    authority: str
    log: Path
    process: Popen[bytes]

    def post(self, path: str, body: object, timeout: float = 12) -> int:
        """Status of the answer; 0 where there is none."""
        user = {RAW: "prometheus", PROCESSED: "alertmanager"}[path]
        try:
            login = (user, PASSWORDS[user])
            return requests.post(
                self.url + path, json=body, auth=login, verify=self.authority, timeout=timeout
            ).status_code
        except (requests.ConnectionError, requests.Timeout):
            return 0

    def get(self, path: str) -> requests.Response:
        """Ask for metrics or health."""
        login = ("metrics", PASSWORDS["metrics"])
        return requests.get(self.url + path, auth=login, verify=self.authority, timeout=60)

    def ready(self) -> bool:
        """Whether it has reached the brokers."""
        return self.get("/readyz").status_code == 200


@contextmanager
def events_process(
    folder: Path, kafka: Brokers, name: str, *, kill: bool = False, ready: bool = True
) -> Iterator[EventsProcess]:
    """The service; ready when the block starts, unless ``ready`` is False."""
    folder.mkdir(exist_ok=True)
    for file in ("tls.crt", "tls.key", "ca.crt"):
        (folder / file).write_bytes((kafka.tls / file).read_bytes())
    port = free_port()
    settings, log = folder / f"{name}.yaml", folder / f"{name}.log"
    settings.write_text(yaml.safe_dump(content(folder, f"127.0.0.1:{port}", kafka.bootstrap)))
    command = [sys.executable, "-m", "services.alert_events", "--config", str(settings)]
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = str(CHECKOUT)
    try:
        with running(command, log, port, kill=kill) as started:
            events_process = EventsProcess(f"https://localhost:{port}", str(folder / "ca.crt"), log, started)
            if ready:
                eventually(events_process.ready, 60, "the service has reached the brokers")
            yield events_process
    finally:
        os.environ["PYTHONPATH"] = before
