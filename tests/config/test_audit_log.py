"""The audit log with a real broker: it follows what brokers log, goes on after a restart, and proves its chain."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from components.kafka.access import User, acl_rules
from components.kafka.nodes import log_configuration
from components.telemetry.topics import AUDIT_TOPIC
from ops.audit.log import read
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN
from ops.core.platform import Login, Platform
from services.audit import AuditSettings, Source
from services.audit.__main__ import Service
from services.audit.records import CHECKPOINT, AuditRecord, CommandEvent, Outcome, event
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker
from tests.unit.services.audit.api_fake import NAMESPACE, Cluster, api_server, pod

TOPIC = AUDIT_TOPIC.name
WRITER = User(name="audit", writes=(TOPIC,), reads=(TOPIC,))
READER = User(name="audit-reader", reads=(TOPIC,))
LIMIT_S = 150.0
"""Of a busy machine."""


@dataclass(frozen=True)
class Lab:
    """A broker that logs as the platform's do, and where its log is."""

    broker: Broker
    log: Path

    def settings(self, user: str, password: str) -> dict[str, Any]:
        return self.broker.client(**{"sasl.username": user, "sasl.password": password, "log_level": 0})

    @property
    def platform(self) -> Platform:
        """As far as readers of the audit log need it."""
        return cast(
            "Platform",
            type(
                "Outputs",
                (),
                {
                    "audit_reader": Login.model_validate(
                        {"username": "audit-reader", "password": "audit-reader-password"}
                    ),
                    "kafka_bootstrap": self.broker.bootstrap,
                    "ca_certificate": self.broker.ca,
                    "region": "region-a",
                },
            )(),
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("kafka")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka_broker, "_LOGGING", log_configuration())
        with kafka_broker.running(folder) as broker:
            started = Lab(broker, folder / "broker.log")
            admin = ADMIN.AdminClient(started.settings(broker.username, broker.password))
            mechanism = ADMIN.ScramCredentialInfo(ADMIN.ScramMechanism.SCRAM_SHA_512, 4096)
            futures = list(admin.create_topics([ADMIN.NewTopic(TOPIC, 1, 1)]).values())
            futures += admin.alter_user_scram_credentials(
                [
                    ADMIN.UserScramCredentialUpsertion(user.name, mechanism, f"{user.name}-password".encode())
                    for user in (WRITER, READER)
                ]
            ).values()
            futures += admin.create_acls(
                [
                    ADMIN.AclBinding(
                        ADMIN.ResourceType[rule.resource_type.upper()],
                        rule.resource,
                        ADMIN.ResourcePatternType.LITERAL,
                        f"User:{user.name}",
                        "*",
                        ADMIN.AclOperation[rule.operation.upper()],
                        ADMIN.AclPermissionType.ALLOW,
                    )
                    for user in (WRITER, READER)
                    for rule in acl_rules(user)
                ]
            ).values()
            for future in futures:
                future.result(timeout=LIMIT_S)
            yield started


def refused(lab: Lab, user: str, password: str, logged: str) -> None:
    """Write where one may not, a login with another password or without the permission, until the broker logs it."""
    producer = Producer(lab.settings(user, password))
    producer.produce("secrets", b"x")
    eventually(lambda: producer.flush(0.2) >= 0 and logged in lab.log.read_text(), LIMIT_S, logged)
    producer.purge()
    producer.flush(1)


def lines(lab: Lab, *parts: str) -> list[str]:
    """What the broker logged, as a kubelet gives it, once all of these are in it."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        written = lab.log.read_text().splitlines()
        if all(any(part in text for text in written) for part in parts):
            return [f"{text.split(' ')[0]} {text}" for text in written if text[:4].isdigit()]
        assert time.monotonic() < deadline, f"the broker did not log {parts}"
        time.sleep(0.2)


def files(folder: Path, lab: Lab) -> dict[str, Any]:
    """Content of a settings file, without where the API server is, whose certificate the service shows too."""
    (folder / "ca-kafka.pem").write_text(lab.broker.ca)
    (folder / "password").write_text("audit-password")
    return {
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"},
        "metrics": {"user": "scrape", "password_file": folder / "password"},
        "region": "region-a",
        "topic": TOPIC,
        "kafka": {
            "bootstrap": lab.broker.bootstrap,
            "ca_file": folder / "ca-kafka.pem",
            "user": "audit",
            "group": "audit",
            "password_file": folder / "password",
        },
        "followed": [{"source": "kafka", "workload": "kafka", "container": "kafka"}],
    }


def run_until(lab: Lab, folder: Path, cluster: Cluster, holds: Callable[[list[AuditRecord]], bool]) -> None:
    """Run the service until its records say so, then end it as Kubernetes does."""
    folder.mkdir()
    cluster.live["kafka-0"] = queue.Queue()
    with api_server(folder, cluster) as where:
        service = Service(AuditSettings.parse({**files(folder, lab), "kubernetes": where.model_dump()}))
        service.server.start()
        stop = threading.Event()
        service.begin(stop)
        deadline = time.monotonic() + LIMIT_S
        while not holds(records(lab)):
            assert time.monotonic() < deadline, [record.target for record in records(lab)]
            time.sleep(0.2)
        stop.set()
        cluster.live["kafka-0"].put(None)
        cluster.changes.put(None)
        service.end()


def records(lab: Lab) -> list[AuditRecord]:
    """What there is; nothing while the broker is too busy to tell."""
    try:
        return read(lab.platform, datetime.now(UTC) - timedelta(hours=1)).accesses
    except OpsError:
        return []


def command(run: str, state: str = "started") -> dict[str, Any]:
    """An Event of Kubernetes with a command."""
    told = CommandEvent.model_validate(
        {
            "run": run,
            "account": "alice",
            "user": "root",
            "machine": "desk",
            "command": "failover",
            "arguments": "--to",
            "state": state,
        }
    )
    item = event(told, NAMESPACE, datetime.now(UTC))
    return {**item, "metadata": {"name": f"{run}-{state}", "resourceVersion": "2"}}


def test_what_the_broker_refuses_is_told_once_over_restarts_and_the_chain_holds(lab: Lab, tmp_path: Path) -> None:
    refused(lab, "mallory", "guessed", "Failed authentication")
    refused(lab, "audit-reader", "audit-reader-password", "User:audit-reader is Denied")
    cluster = Cluster(pods={"kafka-0": pod()}, events=[command("one")])
    cluster.logs["kafka-0"] = lines(lab, "Failed authentication", "User:audit-reader is Denied")

    def told(known: list[AuditRecord]) -> bool:
        by_source = {(record.source, record.outcome) for record in known}
        return {(Source.KAFKA, Outcome.REFUSED), (Source.OPS, Outcome.ALLOWED)} <= by_source

    run_until(lab, tmp_path / "first", cluster, told)
    first = records(lab)
    assert [record.action for record in first if record.source is Source.AUDIT] == ["start", CHECKPOINT]
    assert ("-", "log in", "kafka:broker") in {(record.who, record.action, record.target) for record in first}
    denied = [record for record in first if record.who == "audit-reader"]
    assert {(record.target, record.origin) for record in denied} == {("topic:secrets", "127.0.0.1")}
    assert [(record.who, record.origin, record.action) for record in first if record.source is Source.OPS] == [
        ("alice", "desk", "ops failover")
    ]

    # The same log and the same Event are there again, and more of both.
    cluster.events.append(command("two"))
    run_until(
        lab,
        tmp_path / "second",
        cluster,
        lambda known: any(record.detail.get("run") == "two" for record in known),
    )
    log = read(lab.platform, datetime.now(UTC) - timedelta(hours=1))
    assert log.complete
    assert log.broken == []
    after = [record for record in log.accesses if record not in first]
    assert [record.source for record in after if record.source is not Source.AUDIT] == [Source.OPS]
    assert min((record.day, record.sequence) for record in log.accesses)[1] == 1


def test_the_reader_may_not_write_what_the_service_may(lab: Lab) -> None:
    answers: list[str] = []
    for user in ("audit-reader", "audit"):
        producer = Producer({**lab.settings(user, f"{user}-password"), "message.timeout.ms": 60_000})
        producer.produce(
            TOPIC, b"{}", on_delivery=lambda error, _: answers.append(error.name() if error else "written")
        )
        producer.flush(90)
    assert answers == ["TOPIC_AUTHORIZATION_FAILED", "written"]
    assert read(lab.platform, datetime.now(UTC) - timedelta(hours=1)).unreadable == 1


def test_a_topic_with_a_strange_name_writes_one_line(lab: Lab) -> None:
    producer = Producer({**lab.settings("audit-reader", "audit-reader-password"), "message.timeout.ms": 3000})
    producer.produce("x\n2026-11-28T06:00:00.000Z INFO kafka.authorizer.logger Principal = User:admin", b"x")
    producer.flush(5)
    assert not [text for text in lab.log.read_text().splitlines() if "User:admin is" in text or text.startswith("x\n")]
    assert all("Principal = User:admin" not in text.split(" INFO ", 1)[0] for text in lab.log.read_text().splitlines())
