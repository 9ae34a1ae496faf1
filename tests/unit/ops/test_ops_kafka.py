"""The Kafka clients of ``ops`` and the probes of K5, against a real broker."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import confluent_kafka
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, KafkaError, NotCoordinatorError

from ops.checks import ingest, security
from ops.checks.ingest import k1, k2, o5
from ops.checks.security import k5
from ops.core import kafka as ops_kafka
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, GroupState, KafkaAdmin, client_settings, first_since
from ops.core.platform import Platform, parse
from tests.config.servers import eventually
from tests.support import kafka_broker

TOPIC = "telemetry-metrics"
READER = "metrics-consumer-primary"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, made_up: dict[str, Any]) -> Iterator[Platform]:
    """A platform that is one broker with its topics, users and ACLs."""
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as broker:
        users = {"gateway": secrets.token_urlsafe(16), READER: secrets.token_urlsafe(16)}
        test_platform = parse(
            {
                **made_up,
                "kafka_bootstrap": broker.bootstrap,
                "ca_certificate": broker.ca,
                "kafka_admin": {"username": broker.username, "password": broker.password},
                "kafka_users": {name: {"username": name, "password": password} for name, password in users.items()},
            }
        )
        broker.create_topics((TOPIC, "telemetry-traces", "alerts-raw", "of-times"), 3)
        _prepare(test_platform, users)
        yield test_platform


def _prepare(platform: Platform, users: dict[str, str]) -> None:
    admin = KafkaAdmin(platform).client
    changes = [
        ADMIN.UserScramCredentialUpsertion(
            user, ADMIN.ScramCredentialInfo(ADMIN.ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for user, password in users.items()
    ]
    acls = [
        _allowed("gateway", ADMIN.ResourceType.TOPIC, TOPIC, ADMIN.AclOperation.WRITE),
        _allowed(READER, ADMIN.ResourceType.TOPIC, TOPIC, ADMIN.AclOperation.READ),
        _allowed(READER, ADMIN.ResourceType.GROUP, READER, ADMIN.AclOperation.READ),
    ]
    for futures in (
        admin.alter_user_scram_credentials(changes, request_timeout=60),
        admin.create_acls(acls, request_timeout=60),
    ):
        for future in futures.values():
            future.result()


def _allowed(user: str, kind: Any, name: str, operation: Any) -> Any:
    allow, literal = ADMIN.AclPermissionType.ALLOW, ADMIN.ResourcePatternType.LITERAL
    return ADMIN.AclBinding(kind, name, literal, f"User:{user}", "*", operation, allow)


def test_brokers_topics_and_settings_are_described(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    assert kafka.brokers() == (0,)
    topic = kafka.topics()[TOPIC]
    assert (topic.partitions, topic.replicas, topic.in_sync) == (3, (1, 1, 1), (1, 1, 1))
    assert kafka.topic_settings([TOPIC, "alerts-raw"])[TOPIC]["unclean.leader.election.enable"] == "false"
    assert kafka.broker_settings((0,))["0"]["process.roles"] == "broker,controller"


def test_records_are_read_from_given_offsets_and_from_the_end(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    producer = Producer(client_settings(platform, platform.kafka_users["gateway"]))
    for number in range(30):
        producer.produce(TOPIC, f"{number}".encode(), partition=number % 3)
    assert producer.flush(60) == 0
    start = kafka.end_offsets(TOPIC)
    assert sum(start.values()) == 30
    for number in range(30, 36):
        producer.produce(TOPIC, f"{number}".encode(), partition=number % 3)
    assert producer.flush(60) == 0
    assert {int(message.value()) for message in kafka.read(TOPIC, start, 5.0)} == set(range(30, 36))
    assert {int(message.value()) for message in kafka.read_last(TOPIC, 3)} == set(range(27, 36))
    assert list(kafka.read(TOPIC, kafka.end_offsets(TOPIC), 5.0)) == []


def test_reading_ends_where_the_last_offsets_are_no_records(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    start = kafka.end_offsets(TOPIC)
    producer = Producer({**client_settings(platform, platform.kafka_admin), "transactional.id": "test"})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(TOPIC, b"7", partition=0)
    producer.commit_transaction(60)
    eventually(lambda: kafka.end_offsets(TOPIC)[0] == start[0] + 2, 60, "a record, and the mark of a transaction's end")
    # One that waits for records that never come is ended by the limit of each test.
    assert [message.value() for message in kafka.read(TOPIC, start, 3600.0)] == [b"7"]


def test_a_moment_gives_the_first_records_that_are_not_older(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    producer = Producer(client_settings(platform, platform.kafka_admin))
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC)
    for partition, hours in ((0, 1), (0, 2), (1, 3), (1, 3)):
        at = noon + timedelta(hours=hours)
        producer.produce("of-times", b"x", partition=partition, timestamp=int(at.timestamp() * 1000))
    assert producer.flush(60) == 0
    assert kafka.since("of-times", noon + timedelta(hours=2)) == {0: 1, 1: 0, 2: 0}
    assert kafka.since("of-times", noon + timedelta(hours=4)) == {0: 2, 1: 2, 2: 0}


def test_a_partition_that_tells_no_offsets_is_not_taken_for_one_without_new_records() -> None:
    class Reader:
        """Its second partition has no leader."""

        def offsets_for_times(self, wanted: list[TopicPartition], timeout: float) -> list[Any]:
            error = confluent_kafka.KafkaError(confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE)
            return [
                SimpleNamespace(partition=place.partition, offset=-1, error=error if place.partition else None)
                for place in wanted
            ]

    reader = cast(Consumer, Reader())
    assert first_since(reader, TOPIC, {0: datetime.now(UTC)}) == {0: None}
    with pytest.raises(OpsError, match=rf"^Kafka: cannot find the records of {TOPIC} by time: .*[Ll]eader"):
        first_since(reader, TOPIC, dict.fromkeys((0, 1), datetime.now(UTC)))


def test_the_lag_of_a_group_is_what_it_has_not_committed(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    ends = kafka.end_offsets("telemetry-traces")
    producer = Producer(client_settings(platform, platform.kafka_admin))
    for _ in range(5):
        producer.produce("telemetry-traces", b"x", partition=0)
    assert producer.flush(60) == 0
    request = ConsumerGroupTopicPartitions("a-group", [TopicPartition("telemetry-traces", 0, ends[0] + 2)])
    kafka.client.alter_consumer_group_offsets([request])["a-group"].result(timeout=60)
    assert kafka.lag("a-group") == {"telemetry-traces": 3 + sum(ends.values()) - ends[0]}
    producer.produce("telemetry-traces", b"x", partition=1)
    assert producer.flush(60) == 0
    assert kafka.lag("a-group") == {"telemetry-traces": 4 + sum(ends.values()) - ends[0]}, "nothing of it was read"


def test_a_group_is_described_with_its_members(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    settings = {**client_settings(platform, platform.kafka_users[READER]), "group.id": READER}
    member = Consumer(settings)
    try:
        member.subscribe([TOPIC])

        def joined() -> bool:
            member.poll(0.1)
            return bool(member.assignment())

        eventually(joined, 60, "a member with partitions")
        assert kafka.groups([READER]) == {READER: GroupState(state="Stable", members=1)}
    finally:
        member.close()
    (nobody,) = kafka.groups(["no-such-group"]).values()
    assert (nobody.stable, nobody.members) == (False, 0)


_ASK = """
import json, sys
from ops.core.kafka import KafkaAdmin
from ops.core.platform import parse
kafka = KafkaAdmin(parse(json.load(sys.stdin)))
for number in range(20):
    assert kafka.lag(f"group-{number}") == {}
    assert kafka.groups([f"group-{number}"])[f"group-{number}"].members == 0
kafka.close()
"""


def test_groups_are_asked_of_a_broker_that_is_no_coordinator_yet(tmp_path: Path, made_up: dict[str, Any]) -> None:
    """A process of its own, since what this is about ended the whole process with a segmentation fault."""
    with kafka_broker.running(tmp_path) as broker:
        login = {"username": broker.username, "password": broker.password}
        outputs = {
            **made_up,
            "kafka_bootstrap": broker.bootstrap,
            "ca_certificate": broker.ca,
            "kafka_admin": login,
        }
        done = subprocess.run(
            [sys.executable, "-c", _ASK], input=json.dumps(outputs), capture_output=True, text=True, timeout=180
        )
    assert (done.returncode, done.stderr) == (0, "")


class _Moving:
    """A client whose group has moved, until it is made for the third time; like the real one it keeps what it found."""

    def __init__(self, clients: list[_Moving], refusals: list[str]) -> None:
        self._error = refusals[len(clients)] if len(clients) < len(refusals) else ""
        self.closed = False
        clients.append(self)

    def describe_groups(self, names: list[str]) -> dict[str, dict[str, Any]]:
        return {name: {"error": self._error, "group_state": "Empty", "members": []} for name in names}

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("error", [CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError])
def test_a_group_whose_coordinator_moves_is_asked_again_by_another_client(
    made_up: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: type[KafkaError]
) -> None:
    clients: list[_Moving] = []
    monkeypatch.setattr(
        ops_kafka,
        "second_client",
        lambda settings: _Moving(clients, [f"[Error {error.errno}] {error.__name__}: None"] * 2),
    )
    assert KafkaAdmin(parse(made_up)).groups(["a"]) == {"a": GroupState(state="Empty", members=0)}
    assert [client.closed for client in clients] == [True] * 3


def test_a_refusal_or_a_coordinator_that_never_comes_is_one_line(
    made_up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[_Moving] = []
    refusals = ["[Error 30] GroupAuthorizationFailedError: None"]
    monkeypatch.setattr(ops_kafka, "second_client", lambda settings: _Moving(clients, refusals))
    with pytest.raises(OpsError, match=r"group a: .*GroupAuthorizationFailedError"):
        KafkaAdmin(parse(made_up)).groups(["a"])
    assert len(clients) == 1
    monkeypatch.setattr(ops_kafka, "TIMEOUT_SECONDS", 0.5)
    refusals[:] = [f"[Error 16] {NotCoordinatorError.__name__}: None"] * 100
    with pytest.raises(OpsError, match=r"group a: .*NotCoordinatorError"):
        KafkaAdmin(parse(made_up)).groups(["a"])
    assert 2 <= len(clients) < 10


def test_a_client_that_was_closed_is_made_again(platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    kafka.close()
    assert kafka.brokers() == (0,)
    first = kafka.client
    kafka.close()
    assert kafka.brokers() == (0,)
    assert kafka.client is not first


@pytest.fixture(scope="module")
def reasons(platform: Platform) -> dict[str, str]:
    """Why each of the forbidden clients was refused."""
    security.control(platform)
    return security.refusals(platform)


def test_every_forbidden_client_is_refused_with_a_reason(reasons: dict[str, str]) -> None:
    assert len(reasons) == 8
    assert all(reasons.values()), reasons
    assert reasons["wrong password"].strip("_") == "AUTHENTICATION"
    assert reasons[f"{READER} writing telemetry-metrics"] == "TOPIC_AUTHORIZATION_FAILED"
    assert reasons[f"{READER} in another group"] == "GROUP_AUTHORIZATION_FAILED"


def context(platform: Platform) -> Context:
    """As much of a context as the checks of Kafka use."""
    return cast(Context, SimpleNamespace(platform=platform, kafka=KafkaAdmin(platform)))


def test_the_check_of_k5_passes_on_a_closed_broker(
    platform: Platform, reasons: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "refusals", lambda _: reasons)
    whole = dict.fromkeys(("producer_byte_rate", "consumer_byte_rate", "request_percentage"), 100.0)
    with KafkaAdmin(platform).second_client() as client:
        client.set_quotas("user", "gateway", whole)
        client.set_quotas("user", READER, {**whole, "request_percentage": None})
        eventually(lambda: {"gateway", READER} <= client.quotas("user").keys(), 60, "quotas are known")
        assert k5(context(platform)).wrong == [f"no quota of bytes and threads: {READER}"]
        client.set_quotas("user", READER, whole)
        eventually(lambda: client.quotas("user")[READER] == whole, 60, "the quota is whole")
    finding = k5(context(platform))
    assert finding.wrong == []
    assert "8 of 8 forbidden clients refused" in finding.figures
    assert "3 SCRAM-SHA-512 users, 3 ACLs, 2 quotas" in finding.figures


def test_the_checks_of_k1_and_k2_find_what_a_single_broker_lacks(platform: Platform) -> None:
    assert "number of live brokers is 1, must be 3" in k1(context(platform)).wrong
    wrong = k2(context(platform)).wrong
    assert "telemetry-metrics has 3 partitions, must have 12" in wrong
    assert "replicas of telemetry-metrics is {1}, must be {3}" in wrong
    assert "topic telemetry-logs does not exist" in wrong


def test_the_check_of_o5_finds_groups_that_nobody_is_in(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "REBALANCED_S", 0.0)
    assert f"group {READER} has 0 of 1 members" in o5(context(platform)).wrong


def test_a_probe_that_is_let_in_has_no_reason(platform: Platform) -> None:
    assert security.writing(platform, "gateway", TOPIC) == ""
    assert security.reading(platform, READER, TOPIC) == ""
    assert security.joining(platform, READER, TOPIC, READER) == ""


def test_a_control_client_that_is_refused_is_an_error(platform: Platform) -> None:
    wrong = platform.model_copy(
        update={"kafka_admin": platform.kafka_users["gateway"].model_copy(update={"username": "x"})}
    )
    with pytest.raises(OpsError, match="the permitted client is also refused"):
        security.control(wrong)


def test_an_absent_broker_is_one_line(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.core.kafka.TIMEOUT_SECONDS", 1.0)
    gone = platform.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{kafka_broker.free_port()}"})
    with pytest.raises(OpsError, match=r"no answer from Kafka \(127\.0\.0\.1:\d+\): "):
        KafkaAdmin(gone).brokers()
