"""Quotas on real Kafka: who takes more is delayed, the other login is not, and the metric tells (S2, ADR 0051)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
import requests
from confluent_kafka import Producer
from requests.auth import HTTPBasicAuth

from components.kafka import config
from ops.core.kafka import ADMIN, KafkaAdmin, client_settings
from ops.core.platform import Login, Platform
from ops.drills import quotas
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

PARTITIONS = 2
ALLOWED = 128 * quotas.KIB
"""So little that a busy machine reaches it, too."""
LOUD_S = 30.0
SCRAPE_S = 60.0
GONE_S = 60
THROTTLED = "kafka_server_quota_throttle_milliseconds"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """One broker, from the files that the component renders."""
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(1))
    with kafka_nodes.formatted(cluster, tmp_path_factory.mktemp("kafka")) as (real,):
        real.serve()
        real.wait_for_port(config.CLIENT_PORT)
        yield real


@pytest.fixture(scope="module")
def platform(node: RealNode) -> Platform:
    return kafka_nodes.platform([node])


@pytest.fixture(scope="module")
def kafka(platform: Platform) -> Iterator[KafkaAdmin]:
    kafka = KafkaAdmin(platform)
    topics = [ADMIN.NewTopic(name, PARTITIONS, 1, config={"min.insync.replicas": "1"}) for name in ("theirs", "own")]
    for answer in kafka.client.create_topics(topics, request_timeout=60).values():
        answer.result()
    yield kafka
    kafka.close()


class Scrapes:
    """Reads the broker's metrics again and again, from the moment it is entered until it is left."""

    def __init__(self, node: RealNode) -> None:
        self._node, self._texts = node, list[str]()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Scrapes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(2 * SCRAPE_S)

    def _read(self) -> None:
        while not self._stopping.is_set():
            answer = requests.get(
                f"https://{self._node.node.host}:{config.METRICS_PORT}/metrics",
                auth=HTTPBasicAuth("scrape-kafka", kafka_nodes.SCRAPE_PASSWORD),
                verify=str(self._node.folder / "tls/ca.crt"),
                timeout=SCRAPE_S,
            )
            self._texts.append(answer.text)
            self._stopping.wait(3)

    def largest(self, name: str, **labels: str) -> float:
        """Largest value that a metric had in the series of these labels; 0 where it had none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        pairs = [pair for text in self._texts for pair in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)]
        return max(
            (float(value) for series, value in pairs if all(one in series for one in wanted) and value != "NaN"),
            default=0.0,
        )


@pytest.mark.timeout(900)
def test_a_login_beyond_its_quota_is_delayed_and_another_is_not(
    node: RealNode, platform: Platform, kafka: KafkaAdmin
) -> None:
    with (
        quotas.login(kafka, platform, quotas.GREEDY, "theirs", ALLOWED) as greedy,
        quotas.login(kafka, platform, quotas.ORDINARY, "own", quotas.ENOUGH) as ordinary,
    ):
        assert kafka.quotas()[quotas.GREEDY] == {
            "producer_byte_rate": float(ALLOWED),
            "consumer_byte_rate": float(ALLOWED),
            "request_percentage": quotas.THREADS,
        }
        with Scrapes(node) as seen:
            written = quotas.write(platform, greedy, "theirs", allowed=ALLOWED, seconds=LOUD_S)
            delays = delays_of(platform, ordinary, "own")
            was_read = quotas.read(platform, greedy, "theirs", partitions=PARTITIONS, allowed=ALLOWED, seconds=LOUD_S)
        assert quotas.greeds(written, was_read) == []
        assert delays == []
        for quota in ("Produce", "Fetch"):
            assert seen.largest(THROTTLED, user=quotas.GREEDY, quota=quota) > 0
            assert seen.largest("kafka_server_quota_bytes_per_second", user=quotas.GREEDY, quota=quota) > 0
        assert seen.largest("kafka_server_quota_request_percent", user=quotas.GREEDY) > 0
        assert seen.largest("kafka_server_quota_bytes_per_second", user=quotas.ORDINARY, quota="Produce") > 0
        assert seen.largest(THROTTLED, user=quotas.ORDINARY) == 0
    eventually(lambda: quotas.GREEDY not in kafka.quotas(), GONE_S, "the drill's quotas are gone")
    eventually(
        lambda: (
            kafka.client.describe_user_scram_credentials(None)
            .result(timeout=60)
            .keys()
            .isdisjoint({quotas.GREEDY, quotas.ORDINARY})
        ),
        GONE_S,
        "the drill's logins are gone",
    )


def delays_of(platform: Platform, login: Login, topic: str) -> list[float]:
    """Seconds of each delay that a broker told a login which writes ten records, one after the other."""
    reasons, greed = list[object](), quotas.Greed(allowed=quotas.ENOUGH)
    producer = Producer({**client_settings(platform, login), "acks": "all", "throttle_cb": greed.note})
    for _ in range(10):
        producer.produce(topic, b"x", on_delivery=lambda error, _: reasons.append(error))
        producer.flush(60)
    assert reasons == [None] * 10
    return greed.delays


def test_what_a_login_that_is_bounded_wants_is_told_from_what_it_gets() -> None:
    hardly = quotas.Greed(allowed=100, wanted=3000, moved=2000, seconds=10.0)
    quick = quotas.Greed(allowed=100, seconds=10.0)
    assert quotas.greeds(hardly, quick) == [
        "only 3.0 times the quota was offered: nothing is shown",
        "2.0 times the quota was written",
        "0.0 times the quota was read",
        "no broker told the writer of a delay",
        "no broker told the reader of a delay",
    ]
