"""Real nodes of the release before the platform's, from the files that the component renders: upgraded, taken back,
upgraded again, and their format raised, while records are written.

The jars of the release before are fetched where they are not cached, so this runs with the drills.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from components.kafka import config
from components.versions import release
from lab.toolchain import tools
from lab.toolchain.recipes import PREVIOUS_KAFKA, PREVIOUS_KAFKA_LIBRARIES
from ops.core.context import Context
from ops.core.kafka import ADMIN, KafkaAdmin
from ops.core.kube import Kube
from ops.drills.procedures import kafka_upgrade
from ops.drills.tools.load import ProducerLoad
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode
from tests.support.running import running

pytestmark = pytest.mark.drill
TOPIC = "upgraded"


def roll(nodes: Sequence[RealNode], libraries: Path, kafka: KafkaAdmin) -> None:
    """Give each node other jars, the next one when the last one is in sync."""
    for node in nodes:
        node.stop()
        node.use(libraries)
        node.serve()
        node.wait_for_port(config.CLIENT_PORT)
        eventually(lambda: set(kafka.topics()[TOPIC].in_sync) == {len(nodes)}, 120, "every copy in sync")


def ends_by_itself(node: RealNode) -> str:
    """Start a node that cannot run; the end of its log."""
    log = node.folder / "server.log"
    begin = log.stat().st_size
    node.serve()
    process = node.process
    assert process is not None
    assert process.wait(kafka_nodes.START_S) != 0
    return log.read_bytes()[begin:].decode()


def test_a_newer_release_can_be_taken_back_until_the_format_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tools.ensure(PREVIOUS_KAFKA_LIBRARIES)[0] / "libs", tools.libraries("kafka")
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(3))
    with kafka_nodes.formatted(cluster, tmp_path, libraries=old) as nodes:
        for node in nodes:
            node.serve()
        for node in nodes:
            node.wait_for_port(config.CLIENT_PORT)
        platform = kafka_nodes.platform(nodes)
        kafka = KafkaAdmin(platform)
        eventually(lambda: len(kafka.brokers()) == len(nodes), 120, "every broker is there")
        topic = ADMIN.NewTopic(TOPIC, num_partitions=3, replication_factor=3, config={"min.insync.replicas": "2"})
        kafka.client.create_topics([topic], request_timeout=60)[TOPIC].result()

        kafka_nodes.write_kubectl(nodes[0], tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        pod = running("kafka-0", config.BROKERS)
        kube = cast(
            Kube,
            SimpleNamespace(
                namespace="obs",
                context=None,
                ready_pod=lambda _: pod,
                pods=lambda workload: [pod] if workload == config.BROKERS else [],
            ),
        )
        assert kafka_upgrade.releases_of(kube) == {"kafka-0": PREVIOUS_KAFKA}
        before = kafka_upgrade.metadata_format(kube)
        assert before.startswith(kafka_upgrade.series(PREVIOUS_KAFKA))

        context = cast(Context, SimpleNamespace(platform=platform, kafka=kafka))
        with ProducerLoad(context, TOPIC, timeout=60) as load:
            for libraries, number in ((new, release("kafka")), (old, PREVIOUS_KAFKA), (new, release("kafka"))):
                roll(nodes, libraries, kafka)
                assert kafka_upgrade.releases_of(kube) == {"kafka-0": number}
                assert kafka_upgrade.metadata_format(kube) == before
            kafka_upgrade.raise_format(kube, release("kafka"))
            after = kafka_upgrade.metadata_format(kube)
            assert after.startswith(kafka_upgrade.series(release("kafka")))
            assert kafka_upgrade.refuses_to_lower(kube, PREVIOUS_KAFKA)
            assert kafka_upgrade.metadata_format(kube) == after

            last = nodes[-1]
            last.stop()
            last.use(old)
            log = ends_by_itself(last)
            assert "metadata.version" in log, log[-3000:]
            last.use(new)
            last.serve()
            last.wait_for_port(config.CLIENT_PORT)
            eventually(lambda: set(kafka.topics()[TOPIC].in_sync) == {3}, 120, "every copy in sync again")
        assert len(load.ledger.acknowledged) > 0
        assert load.ledger.missing(load.in_kafka(60)) == set()
        assert load.ledger.given_up == set()
        kafka.close()
