"""Copies of partitions over the zones of real brokers (ADR 56)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.kafka import config
from ops.checks.ingest import closer_than_needed
from ops.core.kafka import ADMIN, KafkaAdmin
from ops.kafka.plan import plan
from ops.kafka.rebalance import Cluster
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

pytestmark = pytest.mark.timeout(900)

ZONES = {0: "zone-a", 1: "zone-a", 2: "zone-b"}
TOPIC = "telemetry-metrics"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealNode]]:
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(3), one_voter=True)
    with kafka_nodes.formatted(cluster, tmp_path_factory.mktemp("kafka"), metrics=False) as three:
        for node in three:
            node.serve(**{config.ZONE: ZONES[node.node.identity]})
        for node in three:
            node.wait_for_port(config.CLIENT_PORT)
        yield three


@pytest.fixture(scope="module")
def kafka(nodes: list[RealNode]) -> Iterator[KafkaAdmin]:
    kafka = KafkaAdmin(kafka_nodes.platform(nodes))
    eventually(lambda: kafka.zones() == ZONES, 60, "every broker tells its zone")
    yield kafka
    kafka.close()


def created(kafka: KafkaAdmin, topic: object) -> None:
    before = len(kafka.placed())
    [answer] = kafka.client.create_topics([topic], request_timeout=60).values()
    answer.result()
    eventually(lambda: len(kafka.placed()) > before, 30, "the brokers tell of the topic")


def of_topic(kafka: KafkaAdmin) -> dict[tuple[str, int], tuple[int, ...]]:
    return {at: brokers for at, brokers in kafka.placed().items() if at[0] == TOPIC}


def test_copies_are_spread_over_zones_and_a_plan_keeps_them_so(nodes: list[RealNode], kafka: KafkaAdmin) -> None:
    created(kafka, ADMIN.NewTopic(TOPIC, 12, 2))
    eventually(lambda: len(of_topic(kafka)) == 12, 30, "all partitions are told")
    placed = of_topic(kafka)
    assert all(2 in brokers and len(brokers) == 2 for brokers in placed.values()), "one copy in each zone"
    assert closer_than_needed(kafka.placed(), kafka.zones()) == []
    created(kafka, ADMIN.NewTopic("alerts-raw", 2, replica_assignment=[[0, 1], [0, 2]]))
    # Any broker answers, and one of them may know of the topic a moment later.
    eventually(
        lambda: closer_than_needed(kafka.placed(), kafka.zones()) == ["alerts-raw-0"], 30, "two copies in one zone"
    )
    with Cluster(kafka) as cluster:
        layout = cluster.state().layout
    assert layout.racks == ZONES
    after = {**layout.replicas, **{move.partition: move.after for move in plan(layout)}}
    assert all(2 in after[at] and len(after[at]) == 2 for at in placed), "a plan takes no copy out of its zone"


def test_a_broker_of_which_kubernetes_tells_no_zone_runs_without_one(nodes: list[RealNode], kafka: KafkaAdmin) -> None:
    nodes[2].kill()
    nodes[2].serve(**{config.ZONE: ""})
    nodes[2].wait_for_port(config.CLIENT_PORT)
    known = {broker: zone for broker, zone in ZONES.items() if broker != 2}
    eventually(lambda: kafka.zones() == known and 2 in kafka.brokers(), 90, "it is back, and tells no zone")
    assert closer_than_needed({("t", 0): (0, 1, 2)}, kafka.zones()) == [], "of what is not known nothing is said"
