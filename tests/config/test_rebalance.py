"""Moving partitions on four real brokers, while records are written: to a fourth one, and off it again (ADR 53)."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition

from components.kafka import config
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, KafkaAdmin, client_settings, consumer, watermarks
from ops.core.platform import Platform
from ops.kafka.rebalance import Cluster, Wish, look, rebalance
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

TOPICS = {"telemetry-metrics": 6, "alerts-raw": 3}
MIB = 2**20
QUICK = Wish(bytes_per_s=64 * MIB, limit_s=300, at_once=3)
DRAIN = Wish(drain=(3,), bytes_per_s=QUICK.bytes_per_s, limit_s=300)
SHORT = Wish(bytes_per_s=MIB, limit_s=3)
FIRST = 500
"""Records that are written without a pause, so that there is something to copy."""


def start(node: RealNode) -> None:
    node.serve()
    node.wait_for_port(config.CLIENT_PORT)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealNode]]:
    """Three brokers that run, and a fourth one that does not yet."""
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(4), one_voter=True)
    with kafka_nodes.formatted(cluster, tmp_path_factory.mktemp("kafka"), metrics=False) as four:
        for node in four[:3]:
            node.serve()
        for node in four[:3]:
            node.wait_for_port(config.CLIENT_PORT)
        yield four


@pytest.fixture(scope="module")
def platform(nodes: list[RealNode]) -> Platform:
    return kafka_nodes.platform(nodes[:3])


@pytest.fixture(scope="module")
def cluster(platform: Platform) -> Iterator[Cluster]:
    kafka = KafkaAdmin(platform)
    topics = [ADMIN.NewTopic(name, count, 3, config={"min.insync.replicas": "2"}) for name, count in TOPICS.items()]
    for answer in kafka.client.create_topics(topics, request_timeout=60).values():
        answer.result()
    with Cluster(kafka) as cluster:
        yield cluster
    kafka.close()


class Records:
    """Writes records until it is left, and knows which were acknowledged by all copies."""

    def __init__(self, platform: Platform, size: int, pause_s: float) -> None:
        self._settings = client_settings(platform, platform.kafka_admin)
        self._size, self._pause_s = size, pause_s
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Records:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        producer = Producer({**self._settings, "acks": "all", "enable.idempotence": True})
        number = 0
        while not self._stop.is_set():
            pause_s = self._pause_s if number > FIRST else 0.0
            for topic in TOPICS:
                key = f"{id(self)}-{number}"
                producer.produce(topic, os.urandom(self._size), key=key, on_delivery=self._answered)
                number += 1
            producer.poll(0)
            self._stop.wait(pause_s)
        assert producer.flush(60) == 0

    def _answered(self, error: object, message: object) -> None:
        if error is None:
            self.acknowledged.append(message.key().decode())  # type: ignore[attr-defined]


def stored(platform: Platform) -> Counter[str]:
    """Keys of all records that can be read."""
    keys: Counter[str] = Counter()
    with consumer(client_settings(platform, platform.kafka_admin)) as reader:
        for topic, count in TOPICS.items():
            for partition in range(count):
                low, high = watermarks(reader, topic, partition)
                reader.assign([TopicPartition(topic, partition, low)])
                deadline = time.monotonic() + 60
                position = low
                while position < high and time.monotonic() < deadline:
                    for message in reader.consume(500, timeout=1.0):
                        assert message.error() is None
                        keys[(message.key() or b"").decode()] += 1
                        position = int(message.offset() or 0) + 1
                assert position >= high
    return keys


def spread(cluster: Cluster) -> dict[str, Counter[int]]:
    """Topic -> copies of each broker."""
    counts = {topic: Counter[int]() for topic in TOPICS}
    for (topic, _), replicas in cluster.state().layout.replicas.items():
        if topic in counts:
            counts[topic].update(replicas)
    return counts


def test_a_fourth_broker_gets_its_part_and_gives_it_back_and_no_record_is_missing(
    nodes: list[RealNode], platform: Platform, cluster: Cluster
) -> None:
    with Records(platform, 4096, 0.2) as before:
        eventually(lambda: len(before.acknowledged) > 400, 120, "records are written")
        assert look(cluster)[1] == (), "three brokers with three copies have nothing to move"
        start(nodes[3])
        eventually(lambda: 3 in cluster.state().layout.racks, 60, "the fourth broker belongs to the cluster")
        _, moves = look(cluster)
        assert {broker for move in moves for broker in move.adding} == {3}
        assert Counter(move.partition[0] for move in moves if move.adding) == {"telemetry-metrics": 4, "alerts-raw": 2}
        moved = rebalance(cluster, QUICK)
        assert {move.partition for move in moved} == {move.partition for move in moves}
        for topic, counts in spread(cluster).items():
            assert set(counts) == {0, 1, 2, 3}
            assert max(counts.values()) - min(counts.values()) <= 1, topic
        assert cluster.throttled() == {}
        assert cluster.ongoing() == {}
        assert look(cluster)[1] == ()
        rebalance(cluster, DRAIN)
        assert cluster.state().layout.on(3) == []
        assert cluster.state().behind() == []
    assert before.acknowledged
    missing = set(before.acknowledged) - set(stored(platform))
    assert len(missing) == 0, f"{len(missing)} of {len(before.acknowledged)} acknowledged records are missing"


def test_a_second_call_goes_on_with_what_an_interrupted_one_left_and_takes_its_throttle_away(
    nodes: list[RealNode], platform: Platform, cluster: Cluster
) -> None:
    """The broker that gets the copies is gone while they are on their way, so that they do not arrive."""
    if nodes[3].process is None:
        start(nodes[3])
    eventually(lambda: 3 in cluster.state().layout.racks, 120, "the fourth broker belongs to the cluster")
    rebalance(cluster, DRAIN)  # Kafka's own topic of offsets, which a reader made while it was there.
    assert cluster.state().layout.on(3) == []
    _, moves = look(cluster)
    copied = [move for move in moves if move.adding]
    assert {broker for move in copied for broker in move.adding} == {3}
    cluster.throttle(copied, MIB)
    wanted = {*(f"broker {number}" for number in range(4)), "topic telemetry-metrics"}
    eventually(lambda: wanted <= set(cluster.throttled()), 60, "every broker knows its throttle")
    with Records(platform, 1024, 0.2) as leaving:
        nodes[3].stop()
        eventually(lambda: 3 not in cluster.state().layout.racks, 60, "the fourth broker is gone")
        assert cluster.state().behind() == []
    cluster.move(copied)
    with pytest.raises(OpsError, match=r"still being moved.*repeat the command"):
        rebalance(cluster, SHORT)
    assert cluster.ongoing()
    assert cluster.throttled()
    start(nodes[3])
    with Records(platform, 1024, 0.2) as during:
        rebalance(cluster, QUICK)
    assert (cluster.ongoing(), cluster.throttled()) == ({}, {})
    assert look(cluster)[1] == ()
    assert 3 in spread(cluster)["telemetry-metrics"]
    missing = {*leaving.acknowledged, *during.acknowledged} - set(stored(platform))
    assert leaving.acknowledged
    assert during.acknowledged
    assert not missing, f"{len(missing)} acknowledged records are missing"


def test_nothing_moves_while_copies_are_not_in_sync_and_a_lost_broker_can_be_drained(
    nodes: list[RealNode], platform: Platform, cluster: Cluster
) -> None:
    nodes[3].kill()
    eventually(lambda: 3 not in cluster.state().layout.racks, 60, "the cluster knows that the broker is gone")
    eventually(lambda: cluster.state().behind() != [], 60, "copies are missing")
    with pytest.raises(OpsError, match=r"partitions have copies that are not in sync.*drain it"):
        look(cluster)
    with pytest.raises(OpsError, match="there is no broker 7: allowed are 0, 1, 2, 3"):
        look(cluster, (7,))
    with pytest.raises(OpsError, match="2 brokers would be left, and a partition has 3 copies"):
        look(cluster, (2, 3))
    rebalance(cluster, DRAIN)
    state = cluster.state()
    assert (state.layout.on(3), state.behind()) == ([], [])
