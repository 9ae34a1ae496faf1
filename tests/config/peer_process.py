"""The peer of the bench with real processes on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.telemetry.layers import Signal
from lab.peer.peer import TOPIC, Peer, topic
from lab.peer.stores import SpanIndices
from lab.toolchain import tools
from lab.toolchain.recipes import LOAD_GENERATOR
from ops.core.context import Context
from ops.core.kafka import KafkaAdmin
from ops.core.kube import wait_until
from ops.loadtest.bench_load import Load, run
from ops.loadtest.bench_requests import Batch, batch
from tests.support import kafka_broker

ARRIVAL_S = 120
_KNOWN_S = 30


@dataclass(frozen=True)
class RunningPeer:
    """A peer that takes what it is sent.

    Attributes:
        peer: The peer.
        batch: What it is sent.
        folder: Its files.
        password: Of the login at Kafka.
    """

    peer: Peer
    batch: Batch
    folder: Path
    password: str

    def carries(self, load: Load) -> float:
        """Send a load and wait until all that was acknowledged has arrived at the end; the items."""
        mark = self.peer.store.mark()
        acknowledged = run(self.peer.target, self.batch, load).acknowledged
        assert acknowledged > 0
        wait_until(
            lambda: self.peer.store.arrived(mark) >= acknowledged, ARRIVAL_S, "the peer's store to hold everything"
        )
        return float(acknowledged)


@contextmanager
def running_peer(
    signal: Signal, size: int, folder: Path, patch: pytest.MonkeyPatch, indices: SpanIndices | None = None
) -> Iterator[RunningPeer]:
    """A broker with the topic, and the peer on it; at the end nothing of the peer is left.

    Args:
        signal: What it carries.
        size: Items of a request.
        folder: For files of broker and peer.
        patch: Puts the load generator on PATH.
        indices: Where spans go.
    """
    patch.setenv("PATH", str(tools.path(LOAD_GENERATOR).parent), prepend=":")
    with kafka_broker.running(folder / "broker") as broker:
        login = SimpleNamespace(pair=(broker.username, broker.password))
        platform: Any = SimpleNamespace(kafka_bootstrap=broker.bootstrap, kafka_admin=login, ca_certificate=broker.ca)
        authority = folder / "ca.pem"
        authority.write_text(broker.ca)
        kafka = KafkaAdmin(platform)
        context = cast(Context, SimpleNamespace(platform=platform, ca_file=str(authority), kafka=kafka))
        own = folder / "peer"
        own.mkdir()
        try:
            with topic(context, copies=1):
                wait_until(lambda: TOPIC in kafka.topics(), _KNOWN_S, f"the broker to know {TOPIC}")
                assert kafka.topics()[TOPIC].partitions == 12
                sent = batch(signal, size)
                peer = Peer(context, sent, own, indices)
                try:
                    peer.start()
                    yield RunningPeer(peer, sent, own, broker.password)
                finally:
                    peer.stop()
            assert all(process.returncode is not None for process in peer.processes._processes.values())
            wait_until(lambda: TOPIC not in kafka.topics(), _KNOWN_S, f"the broker to forget {TOPIC}")
        finally:
            kafka.close()
