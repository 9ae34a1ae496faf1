"""Where the real mirror begins: at the notes that a failback writes for it, and how far it says that it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.kafka import config as kafka_config
from ops.core.kafka import KafkaAdmin
from ops.core.platform import Platform, parse
from ops.regions import mirror_offsets
from tests.config import mirror_harness
from tests.config.mirror_harness import TOPICS, Cluster, Harness, numbers
from tests.config.servers import eventually
from tests.support import kafka_nodes

pytestmark = pytest.mark.drill
COPIED_S = 60


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with mirror_harness.running(tmp_path_factory.mktemp("mirror")) as running_world:
        yield running_world


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


def test_a_mirror_that_is_told_where_to_begin_copies_nothing_from_before(harness: Harness) -> None:
    source, target = platform(harness.source, "region-a"), platform(harness.target, "region-b")
    harness.source.produce("telemetry-metrics", range(100))
    harness.wait_for_copy("telemetry-metrics", 100)
    offsets = mirror_offsets.ConnectOffsets(target, "region-a")
    all_there = mirror_offsets.marks(source, list(TOPICS))
    eventually(lambda: all_there.behind(offsets.read()) == 0, COPIED_S, "the mirror notes how far it is")

    keys = {message.key() for message in KafkaAdmin(target).read(mirror_offsets.offsets_topic("region-a"), {}, 5.0)}
    ours = {
        mirror_offsets.offset_key("region-a", topic, part) for topic, parts in offsets.read().items() for part in parts
    }
    assert ours <= keys, f"the mirror's own keys are {sorted(map(str, keys))}"

    harness.mirror.stop()
    harness.source.produce("telemetry-metrics", range(1000, 1200))
    begin = mirror_offsets.marks(source, list(TOPICS))
    assert begin.behind(offsets.read()) == 200
    assert mirror_offsets.write(target, "region-a", begin.ends) == sum(TOPICS.values())
    assert begin.behind(offsets.read()) == 0
    harness.source.produce("telemetry-metrics", range(2000, 2050))
    harness.mirror.start()
    harness.wait_for_copy("telemetry-metrics", 150)
    everything = mirror_offsets.marks(source, list(TOPICS))
    eventually(lambda: everything.behind(offsets.read()) == 0, COPIED_S, "the mirror has noted the end")
    arrived_numbers = sorted(numbers(harness.target.everything("telemetry-metrics", 150)))
    assert arrived_numbers == [*range(100), *range(2000, 2050)]


def test_a_first_mirror_finds_the_notes_in_a_topic_that_was_made_for_it(harness: Harness) -> None:
    """Back: into the region that had no mirror; the topic is made as the mirror would make it."""
    back = platform(harness.source, "region-a")
    assert mirror_offsets.write(back, "region-b", {"telemetry-metrics": {0: 5, 1: 0}}) == 2
    assert mirror_offsets.ConnectOffsets(back, "region-b").read() == {"telemetry-metrics": {0: 5, 1: 0}}
    admin = KafkaAdmin(back)
    topic = mirror_offsets.offsets_topic("region-b")
    assert admin.topics()[topic].partitions == mirror_offsets.PARTITIONS
    assert admin.topic_settings([topic])[topic]["cleanup.policy"] == "compact"
