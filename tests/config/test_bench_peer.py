"""The peer of the bench with real processes: what its clients send arrives in its Prometheus, and it leaves nothing."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.telemetry.layers import Signal
from lab import LabError, bench_peer
from lab.bench_peer import GUARANTEES, TOPIC, Comparison, Peer, PeerSettings, Turn
from lab.toolchain import tools
from lab.toolchain.recipes import LOAD_GENERATOR
from ops.core.context import Context
from ops.core.kafka import KafkaAdmin
from ops.core.kube import wait_until
from ops.loadtest.bench_load import Load, LoadResult, run
from ops.loadtest.bench_requests import batch
from tests.support import kafka_broker


def test_the_peer_carries_a_load_to_its_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools.path(LOAD_GENERATOR).parent), prepend=":")
    monkeypatch.setattr(bench_peer, "COPIES", 1)
    with kafka_broker.running(tmp_path / "broker") as broker:
        login = SimpleNamespace(pair=(broker.username, broker.password))
        platform: Any = SimpleNamespace(kafka_bootstrap=broker.bootstrap, kafka_admin=login, ca_certificate=broker.ca)
        authority = tmp_path / "ca.pem"
        authority.write_text(broker.ca)
        kafka = KafkaAdmin(platform)
        context = cast(Context, SimpleNamespace(platform=platform, ca_file=str(authority), kafka=kafka))
        peer = Peer(context, tmp_path)
        with bench_peer.topic(context):
            assert kafka.topics()[TOPIC].partitions == 12
            try:
                peer.start()
                before, started = peer.cpu_seconds(), time.time()
                metric_batch = batch(Signal.METRICS, 1000)
                # Each device once: without keys, a second sample may overtake the first and is then refused.
                result = run(peer.target, metric_batch, Load(rate=1000, seconds=4, clients=2))
                assert result.acknowledged == 4000
                wait_until(lambda: peer.samples(started) * 10 >= 4000, 60, "the peer's Prometheus to hold everything")
                used = peer.cpu_seconds()
                assert set(used) == set(Peer.stages)
                assert all(used[name] >= before[name] for name in used)
                assert sum(used.values()) > sum(before.values())
                assert broker.password not in "".join(file.read_text() for file in tmp_path.glob("peer-*"))
                peer._processes["peer consumer"].kill()
                peer._processes["peer consumer"].wait()
                with pytest.raises(LabError, match="peer consumer ended with code -9"):
                    peer.cpu_seconds()
            finally:
                peer.stop()
        assert all(process.returncode is not None for process in peer._processes.values())
        wait_until(lambda: TOPIC not in kafka.topics(), 20, "the topic to be gone")
        kafka.close()


def turn(arrived: float, **seconds: float) -> Turn:
    """A turn of a thousand acknowledged points."""
    values = {"acknowledged_items": 1000, "refused_requests_by_status": {"503": 1}, "latency_ms": {"p95": 12.0}}
    return Turn(LoadResult(values), arrived, {name.replace("_", "-"): value for name, value in seconds.items()})


def test_figures_count_what_arrived_and_one_consumer_group_apart() -> None:
    stages = ("gateway", "kafka", "metrics-consumer-primary", "metrics-consumer-secondary", "other")
    turns = [
        turn(1000, gateway=1.0, kafka=1.0, metrics_consumer_primary=1.0, metrics_consumer_secondary=1.0),
        turn(600, gateway=1.0, kafka=1.0, metrics_consumer_primary=1.0, metrics_consumer_secondary=1.0),
    ]
    figures = Comparison._figures(turns, stages)
    assert (figures["points acknowledged"], figures["points arrived"], figures["missing"]) == (2000, 1600, 400)
    assert figures["points per CPU second"] == 200
    assert figures["points per CPU second, one consumer group"] == round(1600 / 6)
    assert figures["requests refused"] == 2
    assert figures["CPU s per million points"]["gateway"] == 1250
    assert figures["CPU s per million points"]["all"] == 5000


def test_what_each_guarantees_is_said_of_both() -> None:
    assert len(GUARANTEES) >= 8
    assert all(ours and theirs and ours != theirs for ours, theirs in GUARANTEES.values())
    assert PeerSettings(rate=1).turn_s >= 10
