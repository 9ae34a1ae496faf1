"""Topics, users and permissions (requirements K2, K4, K5)."""

from __future__ import annotations

import pytest

from components.kafka.access import AclRule, Topic, User, acl_rules, topic_config
from components.telemetry.topics import TOPIC_NAMES, TOPICS
from tests.support import engine
from tests.support.engine import Recording

DAY_MS = 86_400_000
TELEMETRY = ("telemetry-metrics", "telemetry-traces", "telemetry-logs")


@pytest.fixture(params=engine.STACKS)
def recording(request: pytest.FixtureRequest) -> Recording:
    return engine.recorded(request.param)


def test_each_topic_has_its_partitions_copies_and_retention(recording: Recording) -> None:
    topics = {recorded.inputs["name"]: recorded.inputs for recorded in recording.of("kafka:index/topic:Topic")}
    assert topics.keys() == set(TOPIC_NAMES)
    for topic in TOPICS:
        inputs = topics[topic.name]
        assert inputs["partitions"] >= topic.partitions, "a stack file may only add some"
        assert inputs["replicationFactor"] == 3
        assert inputs["config"]["retention.ms"] == str(topic.retention_ms)
        assert int(inputs["config"]["segment.ms"]) <= DAY_MS, "a record of a quiet partition stays as much longer"
        assert inputs["config"]["min.insync.replicas"] == "2"
        assert inputs["config"]["compression.type"] == "snappy"
        assert inputs["config"]["unclean.leader.election.enable"] == "false"


def test_every_client_is_a_scram_user_with_a_password_of_its_own(recording: Recording) -> None:
    users = [recorded.inputs for recorded in recording.of("kafka:index/userScramCredential:UserScramCredential")]
    assert {user["username"] for user in users} == {
        "gateway",
        "metrics-consumer-primary",
        "metrics-consumer-secondary",
        "sampler",
        "service-graph",
        "log-indexer",
        "alert-events",
        "audit",
        "audit-reader",
        "reports",
        "kafka-lag",
        "backup",
        "archive",
        "mirror",
        "mirror-maker",
    }
    assert {user["scramMechanism"] for user in users} == {"SCRAM-SHA-512"}
    assert len({user["password"] for user in users}) == len(users)


def test_every_client_has_a_quota_of_its_own(recording: Recording) -> None:
    users = {
        recorded.inputs["username"] for recorded in recording.of("kafka:index/userScramCredential:UserScramCredential")
    }
    quotas = {recorded.inputs["entityName"]: recorded.inputs for recorded in recording.of("kafka:index/quota:Quota")}
    assert quotas.keys() == users
    for quota in quotas.values():
        assert quota["entityType"] == "user"
        assert quota["config"].keys() == {"producer_byte_rate", "consumer_byte_rate", "request_percentage"}
        assert all(int(value) > 0 for value in quota["config"].values())


def test_permissions_are_exactly_what_each_client_needs(recording: Recording) -> None:
    permissions = {
        (
            recorded.inputs["aclPrincipal"].removeprefix("User:"),
            recorded.inputs["aclOperation"],
            recorded.inputs["aclResourceType"],
            recorded.inputs["aclResourceName"],
        )
        for recorded in recording.of("kafka:index/acl:Acl")
    }
    consumers = ("metrics-consumer-primary", "metrics-consumer-secondary")
    other = "region-a" if recording.outputs["region"] == "region-b" else "region-b"
    assert permissions == {
        *_of_the_mirror(other),
        *(("gateway", "Write", "Topic", topic) for topic in TELEMETRY),
        *((consumer, "Read", "Topic", "telemetry-metrics") for consumer in consumers),
        *((consumer, "Read", "Topic", "telemetry-traces") for consumer in ("sampler", "service-graph")),
        ("log-indexer", "Read", "Topic", "telemetry-logs"),
        *(
            (consumer, "Read", "Group", consumer)
            for consumer in (
                *consumers,
                "sampler",
                "service-graph",
                "log-indexer",
                "reports",
                "archive",
                "audit",
                "audit-reader",
            )
        ),
        *(("archive", "Read", "Topic", topic) for topic in TOPIC_NAMES),
        *(("backup", "Describe", kind, "*") for kind in ("Topic", "Group")),
        ("backup", "DescribeConfigs", "Topic", "*"),
        ("backup", "Describe", "Cluster", "kafka-cluster"),
        *(("reports", "Read", "Topic", topic) for topic in ("alerts-raw", "alerts-processed")),
        ("audit", "Write", "Topic", "audit"),
        *((user, "Read", "Topic", "audit") for user in ("audit", "audit-reader")),
        ("alert-events", "Write", "Topic", "alerts-raw"),
        ("alert-events", "Write", "Topic", "alerts-processed"),
        ("kafka-lag", "Describe", "Topic", "*"),
        ("kafka-lag", "Describe", "Group", "*"),
    }
    for recorded in recording.of("kafka:index/acl:Acl"):
        assert recorded.inputs["aclPermissionType"] == "Allow"
        assert recorded.inputs["resourcePatternTypeFilter"] == "Literal"


def _of_the_mirror(other: str) -> set[tuple[str, str, str, str]]:
    """The other region's mirror may look; this one's may write what it copies and its own bookkeeping."""
    consumers = ("metrics-consumer-primary", "metrics-consumer-secondary", "sampler", "service-graph", "log-indexer")
    groups = (*consumers, "archive", "failover-drill")
    kept = [f"mm2-{kind}.{other}.internal" for kind in ("configs", "offsets", "status", "offset-syncs")]
    return {
        *(("mirror", "Read", "Topic", topic) for topic in TOPIC_NAMES),
        *(("mirror", "Describe", "Group", group) for group in groups),
        *(("mirror-maker", operation, "Topic", topic) for operation in ("Read", "Write") for topic in TOPIC_NAMES),
        *(
            ("mirror-maker", operation, "Topic", topic)
            for operation in ("Create", "Read", "Write")
            for topic in (*kept, f"{other}.checkpoints.internal")
        ),
        *(("mirror-maker", "Read", "Group", group) for group in (f"{other}-mm2", *groups)),
    }


def test_the_administrators_connection_verifies_the_brokers(recording: Recording) -> None:
    (provider,) = recording.of("pulumi:providers:kafka")
    assert str(provider.inputs["skipTlsVerify"]).lower() == "false"
    assert str(provider.inputs["tlsEnabled"]).lower() == "true"
    assert provider.inputs["caCert"] == engine.AUTHORITY
    assert provider.inputs["saslMechanism"] == "scram-sha512"


def test_a_client_that_only_reads_may_not_write() -> None:
    rules = acl_rules(User(name="reader", reads=("a",)))
    assert rules == [
        AclRule(operation="Read", resource_type="Topic", resource="a"),
        AclRule(operation="Read", resource_type="Group", resource="reader"),
    ]


def test_a_client_gets_its_single_permissions_after_the_usual_ones() -> None:
    see = AclRule(operation="Describe", resource_type="Group", resource="others")
    assert acl_rules(User(name="writer", writes=("a",), grants=(see,))) == [
        AclRule(operation="Write", resource_type="Topic", resource="a"),
        see,
    ]


def test_a_topic_leaves_nothing_that_could_lose_a_record_to_the_brokers() -> None:
    config = topic_config(Topic(name="t", partitions=1, retention_ms=5), min_insync_replicas=2, max_message_bytes=9)
    assert config["max.message.bytes"] == "9"
    assert {"min.insync.replicas", "retention.ms", "cleanup.policy", "unclean.leader.election.enable"} <= config.keys()
