"""MirrorMaker 2 between the regions."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from policy.runner import check
from tests.policy.fixtures_servers import (
    GONE,
    Data,
    all_said,
    broken,
    cases,
    config_map,
    properties_text,
    rule,
    rules_of,
    said,
)

LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="m" password="${file:/s:word}";'
MIRROR: Data = {
    "clusters": "a, b",
    **{f"{alias}.bootstrap.servers": f"kafka-0.{alias}:9093" for alias in "ab"},
    **{f"{alias}.security.protocol": "SASL_SSL" for alias in "ab"},
    "sasl.mechanism": "SCRAM-SHA-512",
    **{f"{alias}.sasl.jaas.config": LOGIN for alias in "ab"},
    **{f"{alias}.ssl.truststore.location": "/tls/ca.crt" for alias in "ab"},
    "ssl.truststore.type": "PEM",
    "a->b.enabled": "true",
    "a->b.topics": "telemetry-metrics,alerts[.]raw",
    "a->b.groups": "sampler",
    "a->b.offset-syncs.topic.location": "target",
    "b->a.enabled": "false",
    "b->a.emit.heartbeats.enabled": "false",
    "replication.factor": "3",
    "b.offset.storage.replication.factor": "3",
    "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "sync.group.offsets.enabled": "true",
    "a->b.sync.group.offsets.interval.seconds": "5",
    "emit.checkpoints.interval.seconds": "5",
    "b.producer.acks": "all",
}


def mirror(data: Data) -> list[Resource]:
    """MirrorMaker's file."""
    return [config_map("mirror", **{"mm2.properties": properties_text(data)})]


FILE = "ConfigMap mon/mirror, mm2.properties:"
MIRRORS = cases("parity_mirror")


def test_the_good_mirror_passes_every_rule() -> None:
    assert all_said(mirror(MIRROR)) == []


@pytest.mark.parametrize(("rule_id", "key", "value", "message"), MIRRORS)
def test_a_broken_mirror_is_noticed(rule_id: str, key: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), mirror(broken(MIRROR, key, value))) == [message]


def test_exactly_once_can_be_demanded() -> None:
    assert said(rule("mirror-faithful"), mirror(MIRROR), exactly_once=True) == [
        f"{FILE} b.exactly.once.source.support: a restart copies records twice: exactly.once.source.support is "
        "disabled. "
        "Fix: set b.exactly.once.source.support to enabled, and dedicated.mode.enable.internal.rest to true."
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.ssl.endpoint.identification.algorithm", ""),
        ("b.ssl.truststore.location", GONE),
        ("a.sasl.jaas.config", 'x.ScramLoginModule required username="m" password="word";'),
    ],
)
def test_rules_for_every_kafka_client_guard_the_mirror_too(key: str, value: Any) -> None:
    before, after = (
        {verdict.rule.id for verdict in check(mirror(data)) if verdict.stops}
        for data in (MIRROR, broken(MIRROR, key, value))
    )
    assert after > before


def test_properties_of_brokers_and_clients_are_not_a_mirror() -> None:
    client = properties_text({"bootstrap.servers": "kafka:9093", "security.protocol": "PLAINTEXT"})
    resources = [config_map("client", **{"client.properties": client})]
    assert [text for known_rule in rules_of("parity_mirror") for text in said(known_rule, resources)] == []


def test_every_rule_about_mirrors_is_broken() -> None:
    elsewhere = {"mirror-source-untouched", "mirror-named", "mirror-tls-versions", "mirror-runs-checked-file"}
    assert {case[0] for case in MIRRORS} | elsewhere == {known_rule.id for known_rule in rules_of("parity_mirror")}
