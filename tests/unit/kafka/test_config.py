"""Kafka's configuration as data."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from components.kafka import config, nodes
from tests.support.kafka_nodes import small_cluster

BROKERS = ("b0", "b1", "b2")
VOTERS = ("c0", "c1", "c2")


@pytest.fixture(params=[(), VOTERS], ids=["combined", "dedicated controllers"])
def cluster(request: pytest.FixtureRequest) -> config.KafkaCluster:
    return small_cluster(BROKERS, request.param)


def _all(cluster: config.KafkaCluster) -> list[config.Properties]:
    return [config.server_properties(cluster, node) for node in (*cluster.brokers, *cluster.controllers)]


def test_no_listener_is_without_tls(cluster: config.KafkaCluster) -> None:
    for properties in _all(cluster):
        protocols = dict(pair.split(":") for pair in properties["listener.security.protocol.map"].split(","))
        for listener in properties["listeners"].split(","):
            assert protocols[listener.partition(":")[0]] in {"SSL", "SASL_SSL"}


def test_listeners_without_sasl_ask_for_a_certificate(cluster: config.KafkaCluster) -> None:
    for properties in _all(cluster):
        assert properties["listener.name.controller.ssl.client.auth"] == "required"
        if "inter.broker.listener.name" in properties:
            assert properties["listener.name.internal.ssl.client.auth"] == "required"


def test_everything_that_loses_records_is_off(cluster: config.KafkaCluster) -> None:
    for properties in _all(cluster):
        assert properties["unclean.leader.election.enable"] == "false"
        assert properties["auto.create.topics.enable"] == "false"
        assert properties["allow.everyone.if.no.acl.found"] == "false"
        assert (properties["default.replication.factor"], properties["min.insync.replicas"]) == ("3", "2")


def test_a_dedicated_controller_has_no_client_listener() -> None:
    cluster = small_cluster(BROKERS, VOTERS)
    properties = config.server_properties(cluster, cluster.controllers[0])
    assert properties["process.roles"] == "controller"
    assert properties["listeners"] == "CONTROLLER://:9093"
    assert properties["node.id"] == "1000"


def test_a_combined_node_votes_and_keeps_records() -> None:
    cluster = small_cluster(BROKERS)
    properties = config.server_properties(cluster, cluster.brokers[2])
    assert properties["process.roles"] == "broker,controller"
    assert properties["controller.quorum.bootstrap.servers"] == "b0:9093,b1:9093,b2:9093"
    assert "EXTERNAL://b2:9094" in properties["advertised.listeners"]


def test_no_property_holds_a_password(cluster: config.KafkaCluster) -> None:
    for properties in _all(cluster):
        assert not [
            key for key, value in properties.items() if "password" in key.lower() or "password" in value.lower()
        ]


def test_identifiers_depend_on_the_name_alone_and_do_not_look_like_options() -> None:
    identifiers = [config.kafka_uuid(f"platform-{number}") for number in range(500)]
    assert len(set(identifiers)) == 500
    assert all(len(identifier) == 22 and not identifier.startswith("-") for identifier in identifiers)
    assert config.kafka_uuid("platform-7") == identifiers[7]


def test_brokers_and_external_addresses_must_match() -> None:
    with pytest.raises(ValueError, match="3 brokers need 3 external addresses, there are 1"):
        config.broker_nodes(BROKERS, ("b0:9094",), combined=True)


@pytest.mark.parametrize("value", ["two\nlines", "back\\slash"])
def test_a_value_that_a_properties_file_would_change_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"Kafka property some\.key holds"):
        config.render({"some.key": value})


def test_only_voters_are_told_the_administrators_password() -> None:
    cluster = small_cluster(BROKERS, VOTERS)
    assert "password=secret1" in nodes.format_arguments(cluster, votes=True, password="secret1")
    assert "SCRAM" not in nodes.format_arguments(cluster, votes=False, password=None)


@pytest.mark.parametrize("password", [None, "with,comma", "with]bracket", 'with"quote'])
def test_a_password_that_would_break_the_argument_file_is_refused(password: str | None) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        nodes.format_arguments(small_cluster(BROKERS), votes=True, password=password)


def test_the_metrics_agent_is_given_a_hash_and_not_the_password() -> None:
    text = nodes.jmx_exporter(user="scrape-kafka", password="plainpassword", keystore_password="keystore-password")
    assert "plainpassword" not in text
    assert "SHA-256" in text


def test_no_hash_of_the_metrics_agent_begins_with_a_zero_which_it_would_drop() -> None:
    salts = set()
    for number in range(200):
        text = nodes.jmx_exporter(user="scrape-kafka", password=f"password{number}", keystore_password="k")
        login = yaml.safe_load(text)["httpServer"]["authentication"]["basic"]
        salted = hashlib.sha256(f"{login['salt']}:password{number}".encode()).hexdigest()
        assert (login["passwordHash"], salted[0] != "0") == (salted, True)
        salts.add(login["salt"])
    assert len(salts) > 1, "no password of these needed another salt"
