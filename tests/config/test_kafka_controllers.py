"""The drill of dedicated controllers on real nodes: three brokers and three controllers, as the component renders them.

What Kubernetes does is done by processes here; points go to Kafka without a gateway and are read from it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.kafka import config
from ops.core.context import Context
from ops.core.kafka import ADMIN, KafkaAdmin
from ops.core.kube import Kube, Pod
from ops.drills.procedures import kafka_controllers
from ops.drills.tools import durations
from ops.drills.tools.accounts import Number
from ops.drills.tools.load import TOPIC, ProducerLoad
from ops.evidence import files as evidence
from tests.config.servers import eventually
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode
from tests.support.running import running

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]


class Processes(Kube):
    """Nodes as pods: what is killed is started again, unless its set is to have fewer of them."""

    def __init__(self, nodes: Sequence[RealNode]) -> None:
        self.namespace, self.context = "obs", None
        self.core = SimpleNamespace(delete_namespaced_pod=self._delete)
        self._sets = {
            config.BROKERS: [node for node in nodes if node.node.broker],
            config.CONTROLLERS: [node for node in nodes if not node.node.broker],
        }
        self._wanted = {name: len(members) for name, members in self._sets.items()}
        self._starts: dict[str, int] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start every node."""
        for name, members in self._sets.items():
            self.scale(name, len(members))

    def pods(self, workload: str | None = None) -> list[Pod]:
        """Those that run."""
        return [
            running(pod, name, ready=_listens(node), restarts=self._starts.get(pod, 0))
            for name, members in self._sets.items()
            for index, node in enumerate(members)
            if workload in (None, name) and node.process is not None
            for pod in [f"{name}-{index}"]
        ]

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Start those that are to be there, end the others."""
        with self._lock:
            self._wanted[stateful_set] = replicas
            for index, node in enumerate(self._sets[stateful_set]):
                if index < replicas and node.process is None:
                    node.serve()
                elif index >= replicas:
                    node.stop()

    def _delete(self, pod: str, *_: object, **__: object) -> None:
        name, _, index = pod.rpartition("-")
        with self._lock:
            node = self._sets[name][int(index)]
            node.kill()
            if int(index) < self._wanted[name]:
                node.serve()
                self._starts[pod] = self._starts.get(pod, 0) + 1


def _listens(node: RealNode) -> bool:
    with socket.socket() as connection:
        connection.settimeout(1)
        port = config.CLIENT_PORT if node.node.broker else config.CONTROLLER_PORT
        return connection.connect_ex((node.node.host, port)) == 0


class Points(ProducerLoad):
    """Records in place of points, which go to the topic of metrics and are read from it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, TOPIC, timeout=60)

    def missing(self, *_: object) -> dict[str, set[Number]]:
        """Acknowledged numbers that are not in the topic."""
        return {"Kafka": self.ledger.missing(self.in_kafka(60))}

    def in_prometheus(self, _: object, __: int, seconds: float) -> set[Number]:
        """Numbers that a consumer of the topic gets."""
        return self.in_kafka(seconds)


def test_data_goes_on_whichever_controllers_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = kafka_nodes.loopback(6)
    cluster = kafka_nodes.small_cluster(hosts[:3], hosts[3:])
    monkeypatch.setattr(kafka_controllers, "OtlpLoad", Points)
    for name, seconds in (("WARM_UP", 2), ("AFTER_FAULT", 5), ("CONTROLLERS_DOWN", 12)):
        monkeypatch.setattr(durations, name, float(seconds))
    with kafka_nodes.formatted(cluster, tmp_path, metrics=False) as nodes:
        kube = Processes(nodes)
        kube.start()
        for node in nodes:
            node.wait_for_port(config.CLIENT_PORT if node.node.broker else config.CONTROLLER_PORT)
        reached = kafka_nodes.platform([node for node in nodes if node.node.broker])
        kafka = KafkaAdmin(reached)
        eventually(lambda: len(kafka.brokers()) == 3, 120, "every broker is there")
        topic = ADMIN.NewTopic(TOPIC, num_partitions=3, replication_factor=3, config={"min.insync.replicas": "2"})
        kafka.client.create_topics([topic], request_timeout=60)[TOPIC].result()
        platform = SimpleNamespace(**vars(reached), prometheus_replicas=("primary",))
        context = cast(Context, SimpleNamespace(platform=platform, kafka=kafka, kube=kube, replica=lambda name: name))

        figures: dict[str, Any] = {}
        problems = kafka_controllers.lose_controllers(context, figures)
        print(figures)
        assert problems == []
        assert [problem for target in targets() if (problem := target.problem(figures))] == []
        assert (figures["voters"], figures["topics created without a quorum"]) == (3, 0)
        assert figures["without a quorum s"] >= durations.CONTROLLERS_DOWN
        eventually(lambda: not [name for name in kafka.topics() if name.startswith("e2e-")], 60, "no topic is left")
        kafka.close()


def targets() -> Sequence[Any]:
    """Of the evidence that the drill writes."""
    return evidence.catalog().entry("kafka-controllers").targets
