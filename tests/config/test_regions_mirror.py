"""Where the real mirror begins: at the notes that a failback writes for it, and how far it says that it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.kafka import config as kafka_config
from ops.kafka import KafkaAdmin
from ops.platform import Platform, parse
from ops.regions import seed
from tests.config import mirror_world
from tests.config.mirror_world import TOPICS, Cluster, World, numbers
from tests.config.servers import eventually
from tests.support import kafka_nodes

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]
COPIED_S = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with mirror_world.running(tmp_path_factory.mktemp("mirror")) as made:
        yield made


def platform(cluster: Cluster, region: str) -> Platform:
    """A stack that has nothing but Kafka."""
    login: dict[str, Any] = {"username": kafka_config.ADMIN, "password": kafka_nodes.ADMIN_PASSWORD}
    return parse(
        {
            "namespace": "none",
            "platform": "obs",
            "region": region,
            "ca_certificate": cluster.authority,
            "otlp_grpc": "localhost:1",
            "otlp_http": "https://localhost:1",
            "otlp_credentials": {},
            "kafka_bootstrap": cluster.external,
            "kafka_admin": login,
            "kafka_users": {},
            "query_url": "https://localhost:1",
            "query_reader": login,
            "prometheus_replicas": ["primary"],
            "prometheus_credentials": {},
            "scrape_credentials": {},
            "consumer_groups": [],
            "topics": list(TOPICS),
        }
    )


def test_a_mirror_that_is_told_where_to_begin_copies_nothing_from_before(world: World) -> None:
    source, target = platform(world.source, "region-a"), platform(world.target, "region-b")
    world.source.produce("telemetry-metrics", range(100))
    world.wait_for_copy("telemetry-metrics", 100)
    notes = seed.Notes(target, "region-a")
    all_there = seed.marks(source, list(TOPICS))
    eventually(lambda: all_there.behind(notes.read()) == 0, COPIED_S, "the mirror notes how far it is")

    keys = {message.key() for message in KafkaAdmin(target).read(seed.topic_of("region-a"), {}, 5.0)}
    ours = {seed.key_of("region-a", topic, part) for topic, parts in notes.read().items() for part in parts}
    assert ours <= keys, f"the mirror's own keys are {sorted(map(str, keys))}"

    world.mirror.stop()
    world.source.produce("telemetry-metrics", range(1000, 1200))
    begin = seed.marks(source, list(TOPICS))
    assert begin.behind(notes.read()) == 200
    assert seed.seed(target, "region-a", begin.ends) == sum(TOPICS.values())
    assert begin.behind(notes.read()) == 0
    world.source.produce("telemetry-metrics", range(2000, 2050))
    world.mirror.start()
    world.wait_for_copy("telemetry-metrics", 150)
    everything = seed.marks(source, list(TOPICS))
    eventually(lambda: everything.behind(notes.read()) == 0, COPIED_S, "the mirror has noted the end")
    found = sorted(numbers(world.target.everything("telemetry-metrics", 150)))
    assert found == [*range(100), *range(2000, 2050)]


def test_a_first_mirror_finds_the_notes_in_a_topic_that_was_made_for_it(world: World) -> None:
    """Back: into the region that had no mirror; the topic is made as the mirror would make it."""
    back = platform(world.source, "region-a")
    assert seed.seed(back, "region-b", {"telemetry-metrics": {0: 5, 1: 0}}) == 2
    assert seed.Notes(back, "region-b").read() == {"telemetry-metrics": {0: 5, 1: 0}}
    admin = KafkaAdmin(back)
    topic = seed.topic_of("region-b")
    assert admin.topics()[topic].partitions == seed.PARTITIONS
    assert admin.topic_settings([topic])[topic]["cleanup.policy"] == "compact"
