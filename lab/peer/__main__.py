"""``python -m lab.peer``, inside the lab: compare the platform with its peer, in turns: who is sent to, what arrived,
what it cost.

What is compared of a signal is a plan: the load, what the peer consists of, and the name of the evidence; and what
holds of it on either side, here and with the stock settings.
"""

from __future__ import annotations

import os
import shutil
import signal as signals
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer.peer import CONSUMER, GATEWAY, JAEGER, Peer, topic
from lab.peer.stores import LOG_STORE, PROMETHEUS, span_indices
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, wait_until
from ops.evidence import files as evidence
from ops.loadtest import bench_load
from ops.loadtest.bench import BACKLOG_RECORDS, target_of
from ops.loadtest.bench_command import say, show
from ops.loadtest.bench_load import Load, LoadResult, run
from ops.loadtest.bench_paths import Path as SignalPath
from ops.loadtest.bench_paths import backlogs, path_of
from ops.loadtest.bench_requests import Batch, batch

KAFKA, SEARCH = "kafka", "search"
"""Workloads of the platform that the peer uses, too."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A second comparison, of a part of what the signal passes.

    Attributes:
        name: End of the figure of each side.
        ratio: The figure that compares both.
        weights: Beginning of a stage's name -> how much of its costs counts; others count whole.
    """

    name: str
    ratio: str
    weights: Mapping[str, float]

    def weight(self, stage: str) -> float:
        """How much of a stage's costs counts."""
        return next((weight for start, weight in self.weights.items() if stage.startswith(start)), 1.0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a signal is compared.

    Attributes:
        evidence: Name of the evidence.
        rate: Items per second.
        size: Items of one request. A stock batch is one message, and what comes within 200 ms is one batch: larger
            requests than these may exceed the 1,000,000 bytes that the exporter's client takes.
        passes: What the peer's items pass, in this order: its processes, and workloads of the platform.
        part: Compared besides.
    """

    evidence: str
    rate: float
    size: int
    passes: tuple[str, ...]
    part: Part = field(default_factory=lambda: Part(name="", ratio="", weights={}))

    @property
    def processes(self) -> tuple[str, ...]:
        """The peer's own."""
        return tuple(stage for stage in self.passes if stage not in (KAFKA, SEARCH))


PLANS: Mapping[Signal, Plan] = {
    Signal.METRICS: Plan(
        evidence="bench-peer",
        rate=3000,
        size=1000,
        passes=(GATEWAY, KAFKA, CONSUMER, PROMETHEUS),
        part=Part(
            name="one consumer group",
            ratio="the same, for one of our two consumer groups",
            weights={"metrics-consumer-": 0.5, "prometheus-": 0.5},
        ),
    ),
    Signal.TRACES: Plan(
        evidence="bench-peer-traces",
        rate=2000,
        size=200,
        passes=(GATEWAY, KAFKA, JAEGER, SEARCH),
    ),
    Signal.LOGS: Plan(
        evidence="bench-peer-logs",
        rate=1000,
        size=200,
        passes=(GATEWAY, KAFKA, CONSUMER, LOG_STORE),
        part=Part(
            name="without the store",
            ratio="the same, without the stores",
            weights={SEARCH: 0.0, LOG_STORE: 0.0},
        ),
    ),
}


Pairs = Mapping[str, tuple[str, str]]
"""Case -> what holds here, and with the stock settings."""

_ALL: Pairs = {
    "acknowledged means": ("in Kafka; while Kafka is away, on the gateway's disk, synced", "in the gateway's memory"),
    "in Kafka": ("acks=all: in at least two of three brokers", "acks=1: in the leader's memory"),
    "a gateway is killed": ("nothing is lost: what it has in memory, no client was told of", "its queue is lost"),
    "Kafka is away": ("the queue on disk takes it", "lost when the queue in memory is full, or after 5 min"),
    "a batch above 1 MB": ("divided into records that Kafka takes", "lost: it is one message, which is refused"),
    "clients": ("TLS, a password for each layer, layers checked", "plaintext, anybody"),
    "personal data": ("ids hashed, masked", "as it was sent"),
}
_READ_ONCE = "lost what it has read and not written: offsets are committed when it reads"

GUARANTEES: Mapping[Signal, Pairs] = {
    Signal.METRICS: {
        **_ALL,
        "a consumer is killed": ("it reads again what Prometheus has not taken", _READ_ONCE),
        "Prometheus is away": ("the consumer waits, Kafka keeps it", "lost after 5 min of retries"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "copies that can be read": ("two consumer groups, two Prometheus", "one of each"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
    Signal.TRACES: {
        **_ALL,
        "what is stored": ("every failed and every slow trace, of the others a tenth, less under load", "every span"),
        "the sampler is killed": ("lost the traces that waited for their decision", "there is none"),
        "Jaeger is killed": ("lost at most a bulk of each class", _READ_ONCE),
        "the search cluster is away": (
            "samplers wait, Kafka keeps it",
            "Jaeger waits, Kafka keeps what it has not read",
        ),
        "who reads what": ("spans of each class in indices of their own, read by clearance", "one index for all"),
        "old spans": ("removed after their days by the index manager", "kept: removing is left to another program"),
        "between the parts": (
            "TLS and a login everywhere",
            "TLS and a login at Kafka and the search cluster only",
        ),
    },
    Signal.LOGS: {
        **_ALL,
        "the reader is killed": ("it reads again what the store has not taken", _READ_ONCE),
        "the store is away": ("the indexer waits, Kafka keeps it", "lost after 5 min of retries"),
        "a record is read twice": ("stored once: its id follows from what it is", "stored twice"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "the store": ("a search cluster of three nodes, two copies", "one VictoriaLogs, one copy"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
}


OURS, PEER = "ours", "peer"
ORDER = (OURS, PEER, PEER, OURS)
_POLL_S = 1.0
_REST_S = 120.0
_OVERHEAD_S = 40.0
"""Of a turn, for readings of the nodes."""


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """What is compared: items per second, items of a request, clients; seconds of a turn and of idleness before it."""

    signal: Signal
    rate: float
    size: int
    clients: int = 8
    turn_s: float = 40.0
    idle_s: float = 15.0
    catch_up_s: float = 60.0

    def written(self) -> dict[str, Any]:
        """As evidence keeps them."""
        return {**asdict(self), "signal": str(self.signal), "order": list(ORDER)}


@dataclass(frozen=True)
class Turn:
    """One turn.

    Attributes:
        result: What became of the load.
        arrived: Items that arrived at the end of the path; of several ends, at the slowest.
        seconds: CPU seconds by stage beyond idle.
        stored: Items that are stored, where these are fewer than arrive.
    """

    result: LoadResult
    arrived: float
    seconds: Mapping[str, float]
    stored: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared.

    Attributes:
        path: Ours.
        peer: The other.
        batch: What both are sent.
        stored: How many items of load tests our side has stored, where it stores fewer than arrive.
    """

    path: SignalPath
    peer: Peer
    batch: Batch
    stored: Callable[[], float] | None = None


class Comparison:
    """Runs the turns."""

    def __init__(self, context: Context, sides: Sides, settings: PeerSettings) -> None:
        self._context, self._sides, self._settings = context, sides, settings
        self._plan = PLANS[settings.signal]
        self._started = time.monotonic()
        turn = settings.idle_s + settings.turn_s + settings.catch_up_s + _OVERHEAD_S
        self._expected = len(ORDER) * turn

    def measure(self) -> dict[str, Any]:
        """The turns, before each of them the idle platform and the idle peer.

        Returns:
            Figures of both, their ratio, and what each guarantees.

        Raises:
            OpsError: Nothing arrived in a turn, or the platform or the generator cannot be reached.
            LabError: A process of the peer has ended.
        """
        item, plan = self._sides.path.item, self._plan
        turns: dict[str, list[Turn]] = {name: [] for name in ORDER}
        idles: list[Mapping[str, float]] = []
        for number, name in enumerate(ORDER, 1):
            idles.append(self._idle())
            self._tell(f"turn {number} of {len(ORDER)}, {name}: {self._settings.rate:,.0f} {item}/s")
            turns[name].append(self._turn(name, idles[-1]))
        idle = {stage: sum(usage.get(stage, 0.0) for usage in idles) / len(idles) for stage in idles[0]}
        ours = figures_of(turns[OURS], self._sides.path.workloads, plan, item)
        peer = figures_of(turns[PEER], plan.passes, plan, item)
        own = [value for name, value in idle.items() if name not in plan.processes]
        return {
            OURS: {**ours, "idle cores": round(sum(own), 2)},
            PEER: {**peer, "idle cores": round(sum(idle[name] for name in plan.processes), 2)},
            "load average of this machine": round(os.getloadavg()[0], 1),
            **ratios(ours, peer, plan, item),
            "guarantees": {
                name: {OURS: here, PEER: there} for name, (here, there) in GUARANTEES[self._settings.signal].items()
            },
        }

    def _idle(self) -> dict[str, float]:
        """Cores by workload and by the peer's processes while neither is sent to."""
        wait_until(self._rested, _REST_S, "our consumers to have read what was sent before")
        self._tell(f"idle for {self._settings.idle_s:.0f} s")
        before, own = bench_load.settled(self._context, time.time()), self._sides.peer.cpu_seconds()
        began = time.monotonic()
        time.sleep(self._settings.idle_s)
        usage = bench_load.settled(self._context, time.time()).by_workload(before)
        took = time.monotonic() - began
        return usage | {name: (used - own[name]) / took for name, used in self._sides.peer.cpu_seconds().items()}

    def _rested(self) -> bool:
        return all(count <= BACKLOG_RECORDS for count in backlogs(self._context, self._sides.path.groups).values())

    def _turn(self, name: str, idle: Mapping[str, float]) -> Turn:
        settings, sides = self._settings, self._sides
        load = Load(rate=settings.rate, seconds=settings.turn_s, clients=settings.clients)
        target = target_of(self._context.platform) if name == OURS else sides.peer.target
        stored = self._stored(name)
        before = bench_load.settled(self._context, time.time())
        own, at = sides.peer.cpu_seconds(), time.monotonic()
        arrivals = self._ours() if name == OURS else self._peers()
        result = run(target, sides.batch, load)
        count = partial(arrivals, result.acknowledged, time.time())
        arrived = self._arrived(count, result.acknowledged, sides.path.tolerance() if name == OURS else 0.0)
        after = bench_load.settled(self._context, time.time())
        took = time.monotonic() - at
        seconds = dict(bench_load.cost(before, after, idle).seconds)
        seconds |= {
            process: used - own[process] - idle[process] * took for process, used in sides.peer.cpu_seconds().items()
        }
        kept = None if stored is None else (self._stored(name) or 0.0) - stored
        more = "" if kept is None else f", {kept:,.0f} stored"
        say(f"  {result.acknowledged:,} {sides.path.item} acknowledged, {arrived:,.0f} arrived{more}")
        if not arrived:
            raise OpsError(f"nothing arrived in the turn of {name}: there is nothing to compare")
        return Turn(result, arrived, seconds, kept)

    def _ours(self) -> Callable[[int, float], float]:
        path, mark = self._sides.path, self._sides.path.mark()
        return lambda acknowledged, ended: min(path.arrived(mark, acknowledged, ended).values())

    def _peers(self) -> Callable[[int, float], float]:
        store, mark = self._sides.peer.store, self._sides.peer.store.mark()
        return lambda *_: store.arrived(mark)

    def _stored(self, name: str) -> float | None:
        if self._sides.stored is None:
            return None
        return self._sides.stored() if name == OURS else self._sides.peer.store.mark()

    def _arrived(self, arrivals: Callable[[], float], wanted: int, tolerance: float) -> float:
        """Items that arrived; waits for all of them, within limits."""
        deadline = time.monotonic() + self._settings.catch_up_s
        count = 0.0
        while True:
            try:
                count = arrivals()
            except OpsError as error:
                say(f"  {error}")
            if count >= wanted - tolerance:
                # What is within the tolerance, as others send too, is no loss.
                return float(wanted) if tolerance else count
            if time.monotonic() > deadline:
                return count
            time.sleep(_POLL_S)

    def _tell(self, text: str) -> None:
        used = time.monotonic() - self._started
        say(f"[{used:4.0f} s, at most {max(0.0, self._expected - used):3.0f} s left] {text}")


def figures_of(turns: Sequence[Turn], stages: Sequence[str], plan: Plan, item: str) -> dict[str, Any]:
    """Figures of one side.

    Args:
        turns: Its turns.
        stages: What its items pass.
        plan: How the signal is compared.
        item: What is counted, plural.
    """
    acknowledged = sum(turn.result.acknowledged for turn in turns)
    arrived = sum(turn.arrived for turn in turns)
    stored = [turn.stored for turn in turns if turn.stored is not None]
    used = {name: sum(turn.seconds.get(name, 0.0) for turn in turns) for name in stages}
    whole, part = sum(used.values()), sum(value * plan.part.weight(name) for name, value in used.items())
    per_million = {name: round(value / max(1.0, arrived) * 1e6, 1) for name, value in used.items()}
    per_second = f"{item} per CPU second"
    return {
        f"{item} acknowledged": acknowledged,
        f"{item} arrived": round(arrived),
        **({f"{item} stored": round(sum(stored))} if stored else {}),
        "missing": max(0, round(acknowledged - arrived)),
        "requests refused": sum(sum(turn.result.values["refused_requests_by_status"].values()) for turn in turns),
        "latency p95 ms": [round(turn.result.latency_s("p95") * 1000, 1) for turn in turns],
        f"CPU s per million {item}": {**per_million, "all": round(whole / max(1.0, arrived) * 1e6, 1)},
        per_second: round(arrived / whole) if whole > 0 else 0,
        **({f"{per_second}, {plan.part.name}": round(arrived / part)} if part != whole and part > 0 else {}),
    }


def ratios(ours: Mapping[str, Any], peer: Mapping[str, Any], plan: Plan, item: str) -> dict[str, float]:
    """Ours to the peer's: of all that the items pass, and of the part that is compared besides."""
    whole = f"{item} per CPU second"
    part = f"{whole}, {plan.part.name}"
    ratio = {}
    if ours[whole] and peer[whole]:
        ratio[f"ours to peer, {whole}"] = round(ours[whole] / peer[whole], 2)
    if part in ours and peer.get(part, peer[whole]):
        ratio[plan.part.ratio] = round(ours[part] / peer.get(part, peer[whole]), 2)
    return ratio


def compare(
    signal: Annotated[Signal, typer.Option(help="Whose paths are compared.")] = Signal.METRICS,
    rate: Annotated[float, typer.Option(min=0, max=200_000, help="Items/s, of both; 0: what suits the signal.")] = 0,
    items: Annotated[int, typer.Option(min=0, max=20_000, help="Items of a request; 0: what suits the signal.")] = 0,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Connections.")] = 8,
    seconds: Annotated[float, typer.Option(min=10, max=600, help="Length of each of the four turns.")] = 40,
    idle_seconds: Annotated[float, typer.Option(min=10, max=600, help="Idle time that is watched before each.")] = 15,
    catch_up_seconds: Annotated[float, typer.Option(min=5, max=300, help="Longest wait after a turn.")] = 60,
    keep: Annotated[bool, typer.Option(help="Write evidence.")] = True,
) -> None:
    """Compare a path of the platform with stock settings on the same brokers: what a CPU second carries."""
    plan = PLANS[signal]
    settings = PeerSettings(
        signal=signal,
        rate=rate or plan.rate,
        size=items or plan.size,
        clients=clients,
        turn_s=seconds,
        idle_s=idle_seconds,
        catch_up_s=catch_up_seconds,
    )
    sent = batch(signal, settings.size)
    started = datetime.now(UTC)
    platform = platform_module.load()
    with ExitStack() as stack:
        context = stack.enter_context(Context(platform, Kube.of(platform)))
        path = path_of(context, sent)
        stack.enter_context(topic(context))
        indices = stack.enter_context(span_indices(context)) if signal is Signal.TRACES else None
        folder = Path(tempfile.mkdtemp(prefix="obs-peer-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        peer = Peer(context, sent, folder, indices)
        stack.callback(peer.stop)
        say(f"{signal}: starting the peer: {', '.join(plan.processes)}")
        peer.start()
        stored = indices.spans_of_platform if indices is not None else None
        sides = Sides(path=path, peer=peer, batch=sent, stored=stored)
        figures = Comparison(context, sides, settings).measure()
        if keep:
            evidence.write(
                plan.evidence, figures=figures, kube=context.kube, started=started, settings=settings.written()
            )
    show(figures)


def main() -> None:
    """Run inside the lab; a mistake is one line."""
    # Else a termination would leave the peer's processes, its topic and its indices behind.
    for number in (signals.SIGTERM, signals.SIGHUP):
        signals.signal(number, lambda *_: sys.exit(143))
    try:
        typer.run(compare)
    except (LabError, OpsError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
