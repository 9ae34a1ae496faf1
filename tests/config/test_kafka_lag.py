"""The lag exporter against a real broker: with the least permissions, and while the broker is away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Consumer, Producer, TopicPartition
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

from lab.paths import CHECKOUT
from services.kafka_lag import KafkaLagSettings
from services.kafka_lag.__main__ import Brokers, PollResult, Snapshot
from services.runtime import kafka
from tests.config.servers import eventually
from tests.support.kafka_broker import Broker, free_port, running, write_certificates
from tests.unit.services.test_kafka_lag_settings import content

USER, PASSWORD = "kafka-lag", "password-of-the-exporter"
TOPIC, GROUP = "telemetry-logs", "log-indexer"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(tmp_path_factory.mktemp("kafka")) as started:
        fill(started)
        yield started


def login(broker: Broker) -> dict[str, Any]:
    return kafka.librdkafka(
        bootstrap=broker.bootstrap, ca=broker.ca, username=broker.username, password=broker.password
    )


def fill(broker: Broker) -> None:
    """A topic with 20 records, of which a group without members has committed 15; the exporter's user."""
    admin = AdminClient(login(broker))
    change = UserScramCredentialUpsertion(
        USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
    )
    permissions = [
        AclBinding(
            kind, "*", ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW
        )
        for kind in (ResourceType.TOPIC, ResourceType.GROUP)
    ]
    for answers in (
        admin.create_topics([NewTopic(TOPIC, num_partitions=2), NewTopic("other", num_partitions=1)]),
        admin.alter_user_scram_credentials([change]),
        admin.create_acls(permissions),
    ):
        for answer in answers.values():
            answer.result(60)
    producer = Producer(login(broker))
    for number in range(20):
        producer.produce(TOPIC, str(number).encode(), partition=number % 2)
    assert producer.flush(60) == 0
    commit(broker, {0: 7, 1: 8})


def commit(broker: Broker, offsets: dict[int, int]) -> None:
    """Commit for the group, without joining it."""
    consumer = Consumer({**login(broker), "group.id": GROUP, "enable.auto.commit": False})
    try:
        consumer.commit(
            offsets=[TopicPartition(TOPIC, partition, offset) for partition, offset in offsets.items()],
            asynchronous=False,
        )
    finally:
        consumer.close()


@dataclass(frozen=True)
class Files:
    """What is mounted into the exporter's pod."""

    folder: Path

    def content(self, broker: Broker, **changes: Any) -> dict[str, Any]:
        folder = self.folder
        return content(
            bootstrap=broker.bootstrap,
            ca_file=str(folder / "kafka-ca.pem"),
            username=USER,
            password_file=str(folder / "password"),
            groups=[GROUP],
            tls={"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")},
            metrics={"user": "scrape", "password_file": str(folder / "password")},
            interval_s=1,
            **changes,
        )

    def poll(self, broker: Broker, **changes: Any) -> PollResult:
        with closing(Brokers(KafkaLagSettings.parse(self.content(broker) | changes))) as brokers:
            return brokers.poll()

    def snapshot(self, broker: Broker, **changes: Any) -> Snapshot:
        result = self.poll(broker, **changes)
        assert result.failures == ()
        assert result.snapshot is not None
        return result.snapshot


@pytest.fixture
def files(tmp_path: Path, broker: Broker) -> Files:
    write_certificates(tmp_path)
    (tmp_path / "kafka-ca.pem").write_text(broker.ca)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return Files(tmp_path)


def test_lag_and_replicas_are_read_by_a_user_that_may_only_describe(broker: Broker, files: Files) -> None:
    snapshot = files.snapshot(broker)
    assert snapshot.lags() == {(GROUP, TOPIC, 0): 3, (GROUP, TOPIC, 1): 2}
    assert snapshot.members == {GROUP: 0}
    assert list(snapshot.topics) == [TOPIC]
    state = snapshot.topics[TOPIC]
    assert (state.partitions, state.under_replicated, state.leaderless, state.replicas, state.in_sync_min) == (
        2,
        0,
        0,
        1,
        1,
    )


def test_groups_are_matched_by_a_pattern_and_unknown_ones_have_neither_members_nor_lag(
    broker: Broker, files: Files
) -> None:
    assert files.snapshot(broker, groups="log-.*").members == {GROUP: 0}
    unknown = files.snapshot(broker, groups=["nobody"])
    assert (unknown.members, unknown.lags()) == ({"nobody": 0}, {})


def test_members_of_a_group_are_counted(broker: Broker, files: Files) -> None:
    consumer = Consumer({**login(broker), "group.id": "members", "enable.auto.commit": False})
    try:
        consumer.subscribe([TOPIC])
        eventually(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()), 60, "the member has partitions")
        assert files.snapshot(broker, groups=["members"]).members == {"members": 1}
    finally:
        consumer.close()


def test_a_wrong_password_is_the_reason_that_is_told(broker: Broker, files: Files) -> None:
    (files.folder / "password").write_text("wrong")

    def named() -> bool:
        result = files.poll(broker)
        assert result.snapshot is None
        [(stage, reason)] = result.failures
        assert stage == "brokers"
        assert "wrong" not in reason
        return re.search("invalid credentials|SaslAuthenticationFailed", reason) is not None

    eventually(named, 60, "the password is named; a broker that is busy may close the connection first")


@contextmanager
def exporter(broker: Broker, files: Files) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The program as in its pod, and the address of its metrics."""
    port = free_port()
    file = files.folder / "config.json"
    file.write_text(json.dumps(files.content(broker, listen=f"127.0.0.1:{port}")))
    log = (files.folder / "log").open("wb")
    command = [sys.executable, "-m", "services.kafka_lag", "--config", str(file)]
    process = subprocess.Popen(command, cwd=CHECKOUT, stderr=log, env=dict(os.environ))
    try:
        yield process, f"https://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def test_the_exporter_outlives_a_broker_that_hangs_and_one_that_is_killed(broker: Broker, files: Files) -> None:
    """Both end librdkafka's process when a group is asked at that moment."""
    with exporter(broker, files) as (process, url):

        def sample(name: str) -> float:
            try:
                answer = requests.get(url, auth=("scrape", PASSWORD), verify=str(files.folder / "ca.pem"), timeout=60)
            except requests.ConnectionError:
                return 0.0
            values = re.findall(rf"^{re.escape(name)} (\S+)$", answer.text, re.M)
            return float(values[0]) if values else 0.0

        def succeeds_after(moment: float) -> None:
            eventually(lambda: sample("kafka_lag_last_success_timestamp_seconds") > moment, 120, "a poll of the broker")
            assert process.poll() is None

        lag = f'kafka_consumergroup_lag{{consumergroup="{GROUP}",partition="0",topic="{TOPIC}"}}'
        succeeds_after(0.0)
        assert sample(lag) == 3
        failed = 'kafka_lag_collection_errors_total{stage="%s"}'

        broker.server.signal(signal.SIGSTOP)
        try:
            hung = lambda: sum(  # noqa: E731
                sample(failed % stage) for stage in ("brokers", "group_members", "group_offsets", "log_end_offsets")
            )
            eventually(lambda: hung() > 0, 120, "a question that the broker does not answer")
        finally:
            broker.server.signal(signal.SIGCONT)
        succeeds_after(time.time())

        before = hung()
        broker.server.kill()
        eventually(lambda: hung() > before, 120, "a poll without a broker")
        broker.server.start()
        succeeds_after(time.time())
        commit(broker, {0: 9, 1: 8})
        eventually(lambda: sample(lag) == 1, 60, "the lag of now")
    assert process.returncode == 0
    assert "Traceback" not in (files.folder / "log").read_text()
