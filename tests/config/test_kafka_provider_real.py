"""The Kafka plugin against a real broker with TLS, SCRAM and ACLs: what it says it did, the broker did."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from confluent_kafka import Producer

from lab.pulumi_host.kafka_client import Brokers
from lab.pulumi_host.kafka_provider import KafkaProvider
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker
from tests.support.provider import Engine, engine_of

pytestmark = pytest.mark.timed

HANDSHAKE_S = "10"
"""Enough for a broker that shares two cores to refuse a client; a shorter limit ends before the cause is known."""
_SEEN_S = 60
"""A broker shows a change once it has read its controller's decision."""
TOPIC = "kafka:index/topic:Topic"
ACL = "kafka:index/acl:Acl"
USER = "kafka:index/userScramCredential:UserScramCredential"
QUOTA = "kafka:index/quota:Quota"
BOUNDED = {
    "entityName": "gateway",
    "entityType": "user",
    "config": {"consumer_byte_rate": "2097152", "producer_byte_rate": "1048576", "request_percentage": "12.5"},
}
METRICS = {
    "name": "telemetry-metrics",
    "partitions": 2,
    "replicationFactor": 1,
    "config": {"retention.ms": "1000000", "compression.type": "snappy"},
}
WRITE = {
    "aclHost": "*",
    "aclOperation": "Write",
    "aclPermissionType": "Allow",
    "aclPrincipal": "User:gateway",
    "aclResourceName": "telemetry-",
    "aclResourceType": "Topic",
    "resourcePatternTypeFilter": "Prefixed",
}
GATEWAY = {
    "username": "gateway",
    "scramMechanism": "SCRAM-SHA-512",
    "scramIterations": 4096,
    "password": "first-password",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def engine(broker: Broker) -> Iterator[Engine]:
    stopping = threading.Event()
    with engine_of(KafkaProvider("0.0.0", Brokers(stopping), stopping)) as provider_engine:
        provider_engine.configure(settings(broker))
        yield provider_engine


def settings(broker: Broker, **other: Any) -> dict[str, Any]:
    return {
        "bootstrapServers": f'["{broker.bootstrap}"]',
        "caCert": broker.ca,
        "saslUsername": broker.username,
        "saslPassword": broker.password,
        "saslMechanism": "scram-sha512",
        "tlsEnabled": "true",
        "timeout": "30",
        **other,
    }


def answer_to(broker: Broker, password: str) -> str:
    """Write one record as the gateway user; the broker's reason where it refuses, nothing where it takes the record."""
    reasons: list[str] = []
    producer = Producer(
        broker.client(
            **{"sasl.username": "gateway", "sasl.password": password, "message.timeout.ms": 3000, "log_level": 0}
        )
    )
    producer.produce("telemetry-metrics", b"x", on_delivery=lambda error, _: reasons.append(str(error or "")))
    producer.flush(60)
    return reasons[0] if reasons else "neither sent nor given up"


def test_a_topic_is_made_grown_configured_seen_and_removed(engine: Engine) -> None:
    identity, _, _ = engine.create(TOPIC, METRICS)
    assert engine.read(TOPIC, identity, METRICS, METRICS)[2] == METRICS
    new = {**METRICS, "partitions": 5, "config": {"retention.ms": "2000000"}}
    engine.update(TOPIC, identity, METRICS, new)
    assert engine.read(TOPIC, identity, METRICS, METRICS)[2] == new
    engine.delete(TOPIC, identity, new)
    assert engine.read(TOPIC, identity, new, new)[0] == ""
    engine.delete(TOPIC, identity, new)


def test_a_configuration_the_broker_does_not_know_is_refused_in_its_words(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, {**METRICS, "name": "wrong", "config": {"retention.sm": "1"}})
    assert "retention.sm" in str(caught.value.details())


def test_a_user_writes_with_an_acl_only_and_only_with_the_current_password(engine: Engine, broker: Broker) -> None:
    engine.create(TOPIC, METRICS)
    user, _, _ = engine.create(USER, GATEWAY)
    eventually(lambda: "authoriz" in answer_to(broker, "first-password"), _SEEN_S, "a user without an ACL is refused")
    acl, _, _ = engine.create(ACL, WRITE)
    eventually(lambda: answer_to(broker, "first-password") == "", _SEEN_S, "a user with an ACL writes")
    engine.update(USER, user, GATEWAY, {**GATEWAY, "password": "second-password"})
    eventually(lambda: answer_to(broker, "second-password") == "", _SEEN_S, "the new password counts")
    assert answer_to(broker, "first-password") != ""
    engine.delete(ACL, acl, WRITE)
    eventually(lambda: engine.read(ACL, acl, WRITE, WRITE)[0] == "", _SEEN_S, "the ACL is gone")
    engine.delete(USER, user, GATEWAY)
    eventually(lambda: engine.read(USER, user, GATEWAY, GATEWAY)[0] == "", _SEEN_S, "the user is gone")
    engine.delete(TOPIC, "telemetry-metrics", METRICS)


def test_a_quota_is_kept_by_the_broker_and_a_wrong_one_is_refused_in_its_words(engine: Engine) -> None:
    identity, _, _ = engine.create(QUOTA, BOUNDED)
    assert engine.read(QUOTA, identity, BOUNDED, BOUNDED)[2] == BOUNDED
    for config, words in (({"producer_byte_rat": "1"}, "producer_byte_rat"), ({"producer_byte_rate": "-1"}, "greater")):
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(QUOTA, {**BOUNDED, "config": config})
        assert words in str(caught.value.details())
    engine.delete(QUOTA, identity, BOUNDED)
    eventually(lambda: engine.read(QUOTA, identity, BOUNDED, BOUNDED)[0] == "", _SEEN_S, "the quota is gone")


def test_a_wrong_password_of_the_provider_is_named_as_the_cause(engine: Engine, broker: Broker) -> None:
    engine.configure(settings(broker, saslPassword="wrong", timeout=HANDSHAKE_S))
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, {**METRICS, "name": "never"})
    assert "saslPassword" in str(caught.value.details())


def test_another_ca_than_the_brokers_is_named_as_the_cause(
    engine: Engine, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other")
    kafka_broker.write_certificates(folder)
    engine.configure(settings(broker, caCert=(folder / "ca.pem").read_text(), timeout=HANDSHAKE_S))
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, {**METRICS, "name": "never"})
    assert "caCert" in str(caught.value.details())


def test_a_refused_connection_is_final_for_the_run_also_when_the_broker_answers_later(
    engine: Engine, broker: Broker
) -> None:
    port = kafka_broker.free_port()
    engine.configure(settings(broker, bootstrapServers=f'["127.0.0.1:{port}"]'))
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(TOPIC, {**METRICS, "name": "never"})
        assert f"cannot connect to 127.0.0.1:{port}" in str(caught.value.details())
        assert "The provider does not try again in this run" in str(caught.value.details())
        assert time.monotonic() - began < 25
    engine.configure(settings(broker))
    assert engine.read(TOPIC, "never", {}, {})[0] == ""


def test_fewer_partitions_are_a_replacement_and_the_broker_takes_the_topic_away_first(engine: Engine) -> None:
    engine.create(TOPIC, METRICS)
    smaller = {**METRICS, "partitions": 1}
    answer = engine.diff(TOPIC, METRICS, smaller)
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["partitions"], True)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, smaller)
    assert "it exists already" in str(caught.value.details())
    engine.delete(TOPIC, "telemetry-metrics", METRICS)
    engine.create(TOPIC, smaller)
    assert engine.read(TOPIC, "telemetry-metrics", smaller, smaller)[2]["partitions"] == 1
    engine.delete(TOPIC, "telemetry-metrics", smaller)
