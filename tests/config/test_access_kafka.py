"""Tries with users of a real broker: what is outside of the matrix is refused, and nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from components.kafka.access import AclRule, User, acl_rules
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN
from ops.drills import access_kafka
from ops.drills.access_kafka import KafkaTries, check_safe
from ops.drills.access_tries import Answer, Try
from ops.permissions.model import KafkaGrant, Matrix
from tests.support.kafka_broker import Broker, running

TOPICS = ("telemetry-metrics", "telemetry-logs")
GROUPS = ("reader", "other")
USERS = (
    User(name="writer", writes=("telemetry-metrics",)),
    User(name="reader", reads=("telemetry-metrics",)),
    User(name="lag", describes_all=True),
    User(name="configs", grants=(AclRule(operation="DescribeConfigs", resource_type="Topic", resource="*"),)),
    User(
        name="everything",
        grants=tuple(
            AclRule(operation="All", resource_type=kind, resource=name)
            for kind, name in (("Topic", "*"), ("Group", "*"), ("Cluster", "kafka-cluster"))
        ),
    ),
)
LIMIT_S = 60.0


def settings(broker: Broker, user: str, password: str) -> dict[str, Any]:
    changes = {"sasl.username": user, "sasl.password": password, "socket.timeout.ms": int(LIMIT_S * 1000)}
    return broker.client(**changes, log_level=0)


def grants(*users: User) -> tuple[KafkaGrant, ...]:
    return tuple(
        KafkaGrant(user=user.name, operation=rule.operation, kind=rule.resource_type, resource=rule.resource)
        for user in users
        for rule in acl_rules(user)
    )


def matrix(*users: User) -> Matrix:
    nothing: dict[str, Any] = dict.fromkeys(
        ("kafka_super_users", "accounts", "database", "search", "http", "edges", "outgoing", "storage", "gateway"), ()
    )
    return Matrix(kafka=grants(*users), kafka_users=tuple(user.name for user in users), **nothing)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(tmp_path_factory.mktemp("kafka")) as started:
        admin = ADMIN.AdminClient(settings(started, started.username, started.password))
        futures = list(admin.create_topics([ADMIN.NewTopic(topic, 1, 1) for topic in TOPICS]).values())
        mechanism = ADMIN.ScramCredentialInfo(ADMIN.ScramMechanism.SCRAM_SHA_512, 4096)
        alterations = [
            ADMIN.UserScramCredentialUpsertion(user.name, mechanism, f"{user.name}-password".encode()) for user in USERS
        ]
        futures += list(admin.alter_user_scram_credentials(alterations).values())
        bindings = [
            ADMIN.AclBinding(
                {"Topic": ADMIN.ResourceType.TOPIC, "Group": ADMIN.ResourceType.GROUP}.get(
                    grant.kind, ADMIN.ResourceType.BROKER
                ),
                grant.resource,
                ADMIN.ResourcePatternType.LITERAL,
                f"User:{grant.user}",
                "*",
                {"DescribeConfigs": ADMIN.AclOperation.DESCRIBE_CONFIGS}.get(grant.operation)
                or ADMIN.AclOperation[grant.operation.upper()],
                ADMIN.AclPermissionType.ALLOW,
            )
            for grant in grants(*USERS)
        ]
        futures += list(admin.create_acls(bindings).values())
        for future in futures:
            future.result(timeout=LIMIT_S)
        yield started


@pytest.fixture(scope="module")
def tries(broker: Broker) -> dict[str, list[Try]]:
    """User -> what it tried; the matrix says what the broker was told."""
    allowed = matrix(*USERS)
    return {
        user.name: list(
            KafkaTries(settings(broker, user.name, f"{user.name}-password"), allowed, user.name).all(TOPICS, GROUPS)
        )
        for user in USERS
    }


@pytest.mark.parametrize("user", [user.name for user in USERS])
def test_what_is_allowed_is_let_in_and_everything_else_is_refused(tries: dict[str, list[Try]], user: str) -> None:
    wrong = [
        str(attempt)
        for attempt in tries[user]
        if attempt.answer is not (Answer.LET_IN if attempt.allowed else Answer.REFUSED)
    ]
    assert wrong == []
    assert len(tries[user]) == len(TOPICS) * 8 + len(GROUPS) * 3 + len(access_kafka.CLUSTER_OPERATIONS)


def test_each_operation_is_let_in_for_who_may_do_everything(tries: dict[str, list[Try]]) -> None:
    assert all(attempt.allowed and attempt.answer is Answer.LET_IN for attempt in tries["everything"])


def test_a_permission_that_the_matrix_does_not_have_is_let_through_and_told(broker: Broker) -> None:
    attempts = KafkaTries(settings(broker, "writer", "writer-password"), matrix(User(name="writer")), "writer").all(
        TOPICS, ()
    )
    assert [attempt.what for attempt in attempts if attempt.answer is Answer.LET_IN] == [
        "Describe topic telemetry-metrics",
        "Write topic telemetry-metrics",
    ]


def test_the_tries_of_who_may_do_everything_change_nothing(broker: Broker, tries: dict[str, list[Try]]) -> None:
    admin = ADMIN.AdminClient(settings(broker, broker.username, broker.password))
    topics = admin.list_topics(timeout=LIMIT_S).topics
    assert {name: len(topics[name].partitions) for name in TOPICS} == dict.fromkeys(TOPICS, 1)
    assert access_kafka.NO_TOPIC not in topics
    reader = Consumer({**settings(broker, broker.username, broker.password), "group.id": "reader"})
    try:
        for topic in TOPICS:
            assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=LIMIT_S) == (0, 0)
        committed = reader.committed([TopicPartition(topic, 0) for topic in TOPICS], timeout=LIMIT_S)
        assert [place.offset for place in committed] == [-1001] * len(TOPICS)
    finally:
        reader.close()
    resource = ADMIN.ConfigResource(ADMIN.ConfigResource.Type.TOPIC, TOPICS[0])
    (described,) = admin.describe_configs([resource]).values()
    assert described.result(timeout=LIMIT_S)["retention.ms"].value == "604800000"


def test_a_wrong_password_is_no_refusal(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_kafka, "TIMEOUT_SECONDS", 3.0)
    wrong = KafkaTries(
        {**settings(broker, "writer", "reader-password"), "socket.timeout.ms": 3000}, matrix(*USERS), "writer"
    )
    (attempt,) = wrong.all(TOPICS, GROUPS)
    assert (attempt.what, attempt.allowed, attempt.answer) == ("log in", True, Answer.UNCLEAR)


def test_a_topic_that_would_take_the_record_is_not_written_to() -> None:
    check_safe({"telemetry-logs": {access_kafka.FUTURE_SETTING: "3600000"}})
    with pytest.raises(OpsError, match="telemetry-logs takes records from any future"):
        check_safe({"telemetry-logs": {access_kafka.FUTURE_SETTING: str(2**63 - 1)}})
    with pytest.raises(OpsError, match="telemetry-logs takes records from any future"):
        check_safe({"telemetry-logs": {}})
