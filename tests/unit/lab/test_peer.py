"""The bench beside a peer: figures of turns, what is compared, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from components.telemetry.layers import Signal
from lab.peer import __main__ as comparison
from lab.peer import peer
from lab.peer.__main__ import (
    GUARANTEES,
    ORDER,
    OURS,
    PEER,
    PLANS,
    Comparison,
    PeerSettings,
    Sides,
    Turn,
    figures_of,
    ratios,
)
from lab.peer.peer import Brokers, Peer
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.evidence import reading as texts
from ops.loadtest import bench_load
from ops.loadtest.bench_load import Load, LoadResult, NodeUsage, Target
from ops.loadtest.bench_paths import Mark
from ops.loadtest.bench_requests import batch

CATALOG = yaml.safe_load((Path(__file__).parents[3] / "evidence" / "catalog.yaml").read_text())["evidence"]
STAGES = {
    Signal.METRICS: ("points", ("gateway", "kafka", "metrics-consumer-primary", "metrics-consumer-secondary")),
    Signal.TRACES: ("spans", ("gateway", "kafka", "sampler", "search")),
    Signal.LOGS: ("log records", ("gateway", "kafka", "log-indexer", "search")),
}


def turn(arrived: float, seconds: dict[str, float], stored: float | None = None) -> Turn:
    """A turn of a thousand acknowledged items."""
    values = {"acknowledged_items": 1000, "refused_requests_by_status": {"503": 1}, "latency_ms": {"p95": 12.0}}
    return Turn(LoadResult(values), arrived, seconds, stored)


def test_figures_count_what_arrived_and_one_consumer_group_apart() -> None:
    item, stages = STAGES[Signal.METRICS]
    seconds = dict.fromkeys(stages, 1.0)
    turns = [turn(1000, {**seconds, "other": 5.0}), turn(600, seconds)]
    figures = figures_of(turns, stages, PLANS[Signal.METRICS], item)
    assert (figures["points acknowledged"], figures["points arrived"], figures["missing"]) == (2000, 1600, 400)
    assert figures["points per CPU second"] == 200
    assert figures["points per CPU second, one consumer group"] == round(1600 / 6)
    assert figures["requests refused"] == 2
    assert figures["CPU s per million points"]["gateway"] == 1250
    assert figures["CPU s per million points"]["all"] == 5000
    assert "points stored" not in figures


@pytest.mark.parametrize("signal", Signal)
def test_the_text_of_the_evidence_has_all_of_its_figures(signal: Signal) -> None:
    plan, (item, stages) = PLANS[signal], STAGES[signal]
    stored = 300.0 if signal is Signal.TRACES else None
    ours = figures_of([turn(1000, dict.fromkeys(stages, 2.0), stored)], stages, plan, item)
    peer = figures_of([turn(1000, dict.fromkeys(plan.passes, 1.0), stored)], plan.passes, plan, item)
    compared = ratios(ours, peer, plan, item)
    assert compared[f"ours to peer, {item} per CPU second"] == 0.5
    figures = {"ours": ours, "peer": peer, **compared, "settings": {"rate": 1, "size": 2, "clients": 3}}
    parts = CATALOG[plan.evidence]["text"].split("; ")
    assert len(texts.told(figures, parts)) == len(parts)


def test_logs_are_compared_without_their_stores_too() -> None:
    plan, (item, stages) = PLANS[Signal.LOGS], STAGES[Signal.LOGS]
    ours = figures_of([turn(1000, {"gateway": 1.0, "log-indexer": 1.0, "search": 6.0})], stages, plan, item)
    peer = figures_of([turn(1000, {"peer gateway": 1.0, "peer VictoriaLogs": 3.0})], plan.passes, plan, item)
    assert (ours["log records per CPU second"], peer["log records per CPU second"]) == (125, 250)
    assert ratios(ours, peer, plan, item) == {
        "ours to peer, log records per CPU second": 0.5,
        "the same, without the stores": 0.5,
    }


def test_a_side_without_costs_has_no_ratio() -> None:
    plan, (item, stages) = PLANS[Signal.METRICS], STAGES[Signal.METRICS]
    nothing = figures_of([turn(1000, {})], stages, plan, item)
    assert nothing["points per CPU second"] == 0
    assert ratios(nothing, nothing, plan, item) == {}


@pytest.mark.parametrize("signal", Signal)
def test_what_each_guarantees_is_said_of_both(signal: Signal) -> None:
    assert len(GUARANTEES[signal]) >= 10
    assert all(ours and theirs and ours != theirs for ours, theirs in GUARANTEES[signal].values())


@pytest.mark.parametrize("signal", Signal)
def test_settings_are_written_as_they_are(signal: Signal) -> None:
    plan = PLANS[signal]
    written = PeerSettings(signal=signal, rate=plan.rate, size=plan.size).written()
    assert (written["signal"], written["order"]) == (signal.value, list(ORDER))
    assert type(written["signal"]) is str
    assert written["turn_s"] >= 10


@pytest.mark.parametrize("signal", Signal)
def test_collectors_have_nothing_but_addresses_and_a_login(signal: Signal) -> None:
    brokers = Brokers(addresses=["kafka:9093"], ca_file="/ca.pem")
    gateway = peer.gateway(signal, brokers, port=4318, own=8888)
    assert gateway["processors"] == {"batch": {}}
    kafka = gateway["exporters"]["kafka"]
    assert set(kafka) == {"brokers", "tls", "auth", signal.value}
    assert list(gateway["service"]["pipelines"]) == [signal.value]
    reader = peer.consumer(signal, brokers, exporter={"endpoint": "http://127.0.0.1:1"}, own=8889)
    assert set(reader["receivers"]["kafka"]) == {"brokers", "tls", "auth", "group_id", signal.value}


PEERS_TARGET = Target(url="http://127.0.0.1:1", authority="", passwords={})


class Both:
    """A platform and a peer of traces, each of which takes all that it is sent, and stores a tenth and everything."""

    item = "spans"
    workloads = ("gateway", "sampler")
    groups = ("sampler",)
    delay_s = 0.0

    def __init__(self, delivers: float = 1.0) -> None:
        self._delivers = delivers
        self.sent = {OURS: 0.0, PEER: 0.0}
        self.order: list[str] = []
        self.cpu = 0.0

    def send(self, target: Target, _batch: Any, load: Load) -> LoadResult:
        name = PEER if target is PEERS_TARGET else OURS
        self.order.append(name)
        self.sent[name] += load.rate * load.seconds
        values = {"acknowledged_items": load.rate * load.seconds, "latency_ms": {"p95": 20.0}}
        return LoadResult({**values, "refused_requests_by_status": {}})

    def mark(self) -> Mark:
        return Mark(0.0, {"sent": self.sent[OURS]})

    def arrived(self, mark: Mark, *_: Any) -> dict[str, float]:
        # Others send, too: a little more or less than what was sent is no loss.
        return {"sampler": (self.sent[OURS] - mark.counters["sent"]) * self._delivers - 3}

    def tolerance(self) -> float:
        return 10.0

    def more(self, _: Mark) -> dict[str, Any]:
        return {}

    def stored(self) -> float:
        return self.sent[OURS] / 10

    def cpu_seconds(self) -> dict[str, float]:
        self.cpu += 1.0
        return dict.fromkeys(PLANS[Signal.TRACES].processes, self.cpu)

    def peer(self) -> Peer:
        store = SimpleNamespace(mark=lambda: self.sent[PEER], arrived=lambda mark: self.sent[PEER] - mark)
        return cast(Peer, SimpleNamespace(store=store, cpu_seconds=self.cpu_seconds, target=PEERS_TARGET))


def compared(both: Both, monkeypatch: pytest.MonkeyPatch, lags: Iterator[int]) -> dict[str, Any]:
    """Figures of four short turns."""
    clock = chain(range(0, 10_000, 10))

    def settled(*_: Any) -> NodeUsage:
        now = float(next(clock))
        used = {"gateway-0": now / 5, "search-0": now / 2}
        workloads = {"gateway-0": "gateway", "search-0": "search"}
        return NodeUsage(2.0, now, used, workloads, dict.fromkeys(("node_cpu_usage_seconds", *used), now))

    monkeypatch.setattr(comparison, "run", both.send)
    monkeypatch.setattr(comparison, "backlogs", lambda *_: {"sampler": next(lags)})
    monkeypatch.setattr(comparison, "_REST_S", 3.0)
    monkeypatch.setattr(bench_load, "settled", settled)
    platform = SimpleNamespace(otlp_http="", ca_certificate="", otlp_credentials={})
    context = cast(Context, SimpleNamespace(platform=platform))
    sides = Sides(path=both, peer=both.peer(), batch=batch(Signal.TRACES, 1), stored=both.stored)
    settings = PeerSettings(signal=Signal.TRACES, rate=100, size=1, turn_s=10, idle_s=0.01, catch_up_s=0.1)
    return Comparison(context, sides, settings).measure()


def test_turns_alternate_and_say_what_was_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Both()
    figures = compared(both, monkeypatch, chain([5000], repeat(0)))
    assert tuple(both.order) == ORDER
    ours, peer = figures[OURS], figures[PEER]
    assert (ours["spans acknowledged"], ours["spans arrived"], ours["missing"]) == (2000, 2000, 0)
    assert (peer["spans acknowledged"], peer["spans arrived"], peer["missing"]) == (2000, 2000, 0)
    assert (ours["spans stored"], peer["spans stored"]) == (200, 2000)
    assert ours["idle cores"] == 0.7
    assert set(peer["CPU s per million spans"]) == {*PLANS[Signal.TRACES].passes, "all"}
    assert figures["guarantees"]["what is stored"][PEER] == "every span"


def test_what_does_not_arrive_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = compared(Both(delivers=0.5), monkeypatch, repeat(0))
    assert (figures[OURS]["spans arrived"], figures[OURS]["missing"]) == (994, 1006)


def test_nothing_is_compared_on_top_of_an_earlier_load(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Both()
    with pytest.raises(OpsError, match="in vain for our consumers to have read what was sent before"):
        compared(both, monkeypatch, repeat(5000))
    assert both.order == []


def test_nothing_that_arrives_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Both()
    monkeypatch.setattr(both, "arrived", lambda *_: {"sampler": 0.0})
    with pytest.raises(OpsError, match="nothing arrived in the turn of ours"):
        compared(both, monkeypatch, repeat(0))
