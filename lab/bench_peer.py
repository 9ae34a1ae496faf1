"""The platform beside a peer: the collector's stock settings on the same brokers, with the same load, in turns.

The peer is what somebody gets who follows the components' defaults: OTLP receiver, batch processor, Kafka exporter as
it comes (acks=1, no compression, no key, queue in memory); Kafka receiver, OTLP exporter, one Prometheus. Its three
processes run on loopback in the lab's network namespace; its topic is made and removed here.

Turns are ours, peer, peer, ours, so that a machine that gets faster or slower favours nobody. Costs are CPU seconds
beyond the idle platform: by control group for pods, by process for the peer.

``python -m lab bench`` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from components.telemetry.layers import Signal
from lab import LabError
from lab.toolchain import tools
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, errors
from ops.core.kube import Kube
from ops.evidence import files as evidence
from ops.loadtest import bench_load
from ops.loadtest.bench import say, show, target_of
from ops.loadtest.bench_load import Load, LoadResult, Target, run
from ops.loadtest.bench_paths import Mark, MetricsPath
from ops.loadtest.bench_requests import Batch, batch, samples_query

TOPIC, PARTITIONS, COPIES = "bench-default", 12, 3
ORDER = ("ours", "peer", "peer", "ours")
KAFKA = "kafka"
_START_S, _STOP_S, _POLL_S = 60.0, 15.0, 1.0
_TICKS = os.sysconf("SC_CLK_TCK")

GUARANTEES: Mapping[str, tuple[str, str]] = {
    "acknowledged means": ("in Kafka; while Kafka is away, on the gateway's disk, synced", "in the gateway's memory"),
    "in Kafka": ("acks=all: in at least two of three brokers", "acks=1: in the leader's memory"),
    "a gateway is killed": ("nothing is lost: what it has in memory, no client was told of", "its queue is lost"),
    "Kafka is away": ("the queue on disk takes it", "lost when the queue in memory is full, or after 5 min"),
    "Prometheus is away": ("the consumer waits, Kafka keeps it", "lost after 5 min of retries"),
    "order of one device": ("kept: keyed by device", "not kept: no key"),
    "copies that can be read": ("two consumer groups, two Prometheus", "one of each"),
    "clients": ("TLS, a password for each layer, layers checked", "plaintext, anybody"),
    "personal data": ("ids hashed, masked", "as it was sent"),
    "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
}
"""What holds: here, and with the stock settings."""


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """What is compared: points per second, items of a request, clients; seconds of a turn and of idleness before it."""

    rate: float
    size: int = 1000
    clients: int = 8
    turn_s: float = 40.0
    idle_s: float = 15.0
    catch_up_s: float = 30.0


@dataclass(frozen=True)
class Turn:
    """One turn: what became of the load, points that arrived, and CPU seconds by stage beyond idle."""

    result: LoadResult
    arrived: float
    seconds: Mapping[str, float]


class Peer:
    """The peer's processes; `stages` are their names."""

    stages = ("peer gateway", "peer consumer", "peer Prometheus")

    def __init__(self, context: Context, folder: Path) -> None:
        self._context, self._folder = context, folder
        self._ports = {name: _free_port() for name in ("otlp", "gateway own", "consumer own", "prometheus")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def target(self) -> Target:
        """Where its clients send."""
        return Target(url=f"http://127.0.0.1:{self._ports['otlp']}", authority="", passwords={})

    def start(self) -> None:
        """Start all three and wait until they listen.

        Raises:
            LabError: One does not start; the message has the end of its log.
        """
        user, password = self._context.platform.kafka_admin.pair
        environment = {"PEER_KAFKA_USER": user, "PEER_KAFKA_PASSWORD": password}
        data = self._folder / "prometheus.yml"
        data.write_text("{}\n")
        listen = f"127.0.0.1:{self._ports['prometheus']}"
        self._run(
            "peer Prometheus",
            [
                str(tools.path("prometheus")),
                f"--config.file={data}",
                f"--storage.tsdb.path={self._folder / 'prometheus'}",
                f"--web.listen-address={listen}",
                "--web.enable-otlp-receiver",
            ],
            {},
        )
        for name, config in (("peer gateway", self._gateway()), ("peer consumer", self._consumer())):
            file = self._folder / f"{name.replace(' ', '-')}.yaml"
            file.write_text(json.dumps(config))
            self._run(name, [str(tools.path("otelcol")), f"--config=file:{file}"], environment)
        for name, port in (
            ("peer Prometheus", "prometheus"),
            ("peer gateway", "otlp"),
            ("peer consumer", "consumer own"),
        ):
            self._await(name, self._ports[port])
        self._await_group()

    def stop(self) -> None:
        """End them; safe to call twice."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far, by stage.

        Raises:
            LabError: One has ended.
        """
        seconds_by_name = {}
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise LabError(f"{name} ended with code {process.returncode}: {self._tail(name)}")
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            seconds_by_name[name] = (int(fields[11]) + int(fields[12])) / _TICKS
        return seconds_by_name

    def samples(self, since: float) -> float:
        """Samples of sequence numbers that its Prometheus holds since then (seconds since 1970)."""
        now = time.time()
        params = {"query": samples_query(now - since), "time": f"{now:.3f}"}
        url = f"http://127.0.0.1:{self._ports['prometheus']}/api/v1/query"
        try:
            answer = requests.get(url, params=params, timeout=15)
            answer.raise_for_status()
            result = answer.json()["data"]["result"]
        except (requests.RequestException, ValueError, KeyError) as error:
            raise OpsError(f"the peer's Prometheus gives no answer: {type(error).__name__}") from None
        return float(result[0]["value"][1]) if result else 0.0

    def _gateway(self) -> dict[str, Any]:
        return {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self._ports['otlp']}"}}}},
            "processors": {"batch": {}},
            "exporters": {"kafka": {**self._kafka(), "metrics": {"topic": TOPIC}}},
            "service": {
                "telemetry": _own_metrics(self._ports["gateway own"]),
                "pipelines": {"metrics": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["kafka"]}},
            },
        }

    def _consumer(self) -> dict[str, Any]:
        return {
            "receivers": {"kafka": {**self._kafka(), "group_id": TOPIC, "metrics": {"topics": [TOPIC]}}},
            "exporters": {
                "otlphttp": {
                    "endpoint": f"http://127.0.0.1:{self._ports['prometheus']}/api/v1/otlp",
                }
            },
            "service": {
                "telemetry": _own_metrics(self._ports["consumer own"]),
                "pipelines": {"metrics": {"receivers": ["kafka"], "exporters": ["otlphttp"]}},
            },
        }

    def _kafka(self) -> dict[str, Any]:
        """Brokers and login; everything else is the component's default."""
        return {
            "brokers": self._context.platform.kafka_bootstrap.split(","),
            "tls": {"ca_file": self._context.ca_file},
            "auth": {
                "sasl": {
                    "mechanism": "SCRAM-SHA-512",
                    "username": "${env:PEER_KAFKA_USER}",
                    "password": "${env:PEER_KAFKA_PASSWORD}",
                }
            },
        }

    def _run(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def _await(self, name: str, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._processes[name].poll() is not None:
                raise LabError(f"{name} does not start: {self._tail(name)}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise LabError(f"{name} did not listen within {_START_S:.0f} s: {self._tail(name)}")

    def _await_group(self) -> None:
        """Wait until the consumer has its partitions: by default it reads only what comes after that."""
        deadline = time.monotonic() + _START_S
        problem = "it has joined no group"
        while time.monotonic() < deadline:
            try:
                with errors(f"group {TOPIC} cannot be described"):
                    future = self._context.kafka.client.describe_consumer_groups([TOPIC])[TOPIC]
                    description = future.result(timeout=TIMEOUT_SECONDS)
                assigned = sum(len(member.assignment.topic_partitions) for member in description.members)
                if assigned == PARTITIONS:
                    return
                problem = f"it has {assigned} of {PARTITIONS} partitions"
            except OpsError as error:
                # The group's coordinator has just begun, too.
                problem = str(error)
            time.sleep(0.5)
        raise LabError(f"the peer's consumer is not ready after {_START_S:.0f} s: {problem}")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _tail(self, name: str) -> str:
        return " | ".join(self._log(name).read_text(errors="replace").splitlines()[-3:])[:600]


class Comparison:
    """Runs the turns."""

    def __init__(self, context: Context, peer: Peer, settings: PeerSettings) -> None:
        self._context, self._peer, self._settings = context, peer, settings
        self._batch: Batch = batch(Signal.METRICS, settings.size)
        self._path = MetricsPath(context, self._batch)
        self._started = time.monotonic()
        turn = settings.idle_s + settings.turn_s + settings.catch_up_s + 20
        self._expected = len(ORDER) * turn

    def measure(self) -> dict[str, Any]:
        """The turns, before each of them the idle platform and the idle peer.

        Returns:
            Figures of both, their ratio, and what each guarantees.
        """
        turns: dict[str, list[Turn]] = {name: [] for name in ORDER}
        idles: list[Mapping[str, float]] = []
        for number, name in enumerate(ORDER, 1):
            idles.append(self._idle())
            self._tell(f"turn {number} of {len(ORDER)}, {name}: {self._settings.rate:,.0f} points/s")
            turns[name].append(self._turn(name, idles[-1]))
        idle = {stage: sum(usage.get(stage, 0.0) for usage in idles) / len(idles) for stage in idles[0]}
        ours = self._figures(turns["ours"], self._path.workloads)
        peer = self._figures(turns["peer"], (*Peer.stages[:1], KAFKA, *Peer.stages[1:]))
        figures: dict[str, Any] = {
            "ours": {**ours, "idle cores": round(sum(value for name, value in idle.items() if "peer" not in name), 2)},
            "peer": {**peer, "idle cores": round(sum(idle[name] for name in Peer.stages), 2)},
            "load average of this machine": round(os.getloadavg()[0], 1),
            "guarantees": {name: {"ours": here, "peer": there} for name, (here, there) in GUARANTEES.items()},
        }
        figure = "points per CPU second"
        if ours[figure] and peer[figure]:
            figures["ours to peer, points per CPU second"] = round(ours[figure] / peer[figure], 2)
            figures["the same, for one of our two consumer groups"] = round(
                ours[f"{figure}, one consumer group"] / peer[figure], 2
            )
        return figures

    def _idle(self) -> dict[str, float]:
        """Cores by workload and by the peer's processes while neither is sent to."""
        self._tell(f"idle for {self._settings.idle_s:.0f} s")
        before, own = bench_load.settled(self._context, time.time()), self._peer.cpu_seconds()
        began = time.monotonic()
        time.sleep(self._settings.idle_s)
        usage = bench_load.settled(self._context, time.time()).by_workload(before)
        took = time.monotonic() - began
        return usage | {name: (used - own[name]) / took for name, used in self._peer.cpu_seconds().items()}

    def _turn(self, name: str, idle: Mapping[str, float]) -> Turn:
        settings = self._settings
        load = Load(rate=settings.rate, seconds=settings.turn_s, clients=settings.clients)
        before = bench_load.settled(self._context, time.time())
        own, at = self._peer.cpu_seconds(), time.monotonic()
        mark = self._path.mark()
        target = target_of(self._context.platform) if name == "ours" else self._peer.target
        result = run(target, self._batch, load)
        arrived = self._arrived(name, result.acknowledged, mark.at)
        after = bench_load.settled(self._context, time.time())
        took = time.monotonic() - at
        seconds = dict(bench_load.cost(before, after, idle).seconds)
        seconds |= {
            process_name: used - own[process_name] - idle[process_name] * took
            for process_name, used in self._peer.cpu_seconds().items()
        }
        say(f"  {result.acknowledged:,} points acknowledged, {arrived:,.0f} arrived")
        if not arrived:
            raise OpsError(f"nothing arrived in the turn of {name}: there is nothing to compare")
        return Turn(result, arrived, seconds)

    def _arrived(self, name: str, wanted: int, since: float) -> float:
        """Points that arrived, at the slowest Prometheus; waits for all of them, within limits."""
        deadline = time.monotonic() + self._settings.catch_up_s
        sample_count = 0.0
        per_sample = self._batch.items / self._batch.units
        while True:
            try:
                if name == "ours":
                    sample_count = min(self._path.arrived(Mark(since, {})).values())
                else:
                    sample_count = self._peer.samples(since) * per_sample
            except OpsError as error:
                say(f"  {error}")
            if sample_count >= wanted or time.monotonic() > deadline:
                return sample_count
            time.sleep(_POLL_S)

    @staticmethod
    def _figures(turns: Sequence[Turn], stages: Sequence[str]) -> dict[str, Any]:
        acknowledged = sum(turn.result.acknowledged for turn in turns)
        arrived = sum(turn.arrived for turn in turns)
        used = {name: sum(turn.seconds.get(name, 0.0) for turn in turns) for name in stages}
        twice = [name for name in used if name.startswith(("metrics-consumer-", "prometheus-"))]
        whole, once = sum(used.values()), sum(used.values()) - sum(used[name] for name in twice) / 2
        per_million = {name: round(value / max(1.0, arrived) * 1e6, 1) for name, value in used.items()}
        return {
            "points acknowledged": acknowledged,
            "points arrived": round(arrived),
            "missing": max(0, round(acknowledged - arrived)),
            "requests refused": sum(sum(turn.result.values["refused_requests_by_status"].values()) for turn in turns),
            "latency p95 ms": [round(turn.result.latency_s("p95") * 1000, 1) for turn in turns],
            "CPU s per million points": {**per_million, "all": round(whole / max(1.0, arrived) * 1e6, 1)},
            "points per CPU second": round(arrived / whole) if whole > 0 else 0,
            **({"points per CPU second, one consumer group": round(arrived / once)} if twice and once > 0 else {}),
        }

    def _tell(self, text: str) -> None:
        used = time.monotonic() - self._started
        say(f"[{used:4.0f} s, at most {max(0.0, self._expected - used):3.0f} s left] {text}")


@contextmanager
def topic(context: Context) -> Iterator[None]:
    """The peer's topic; removed at the end, whatever happened."""
    client = context.kafka.client
    with errors(f"topic {TOPIC} cannot be made"):
        if TOPIC in context.kafka.topics():
            client.delete_topics([TOPIC], operation_timeout=TIMEOUT_SECONDS)[TOPIC].result(timeout=TIMEOUT_SECONDS)
            time.sleep(2.0)
        new_topic = ADMIN.NewTopic(TOPIC, PARTITIONS, COPIES)
        client.create_topics([new_topic], operation_timeout=TIMEOUT_SECONDS)[TOPIC].result(timeout=TIMEOUT_SECONDS)
    try:
        yield
    finally:
        with errors(f"topic {TOPIC} cannot be removed"):
            client.delete_topics([TOPIC], operation_timeout=TIMEOUT_SECONDS)[TOPIC].result(timeout=TIMEOUT_SECONDS)


def compare(
    rate: Annotated[float, typer.Option(min=100, max=200_000, help="Points/s, of both.")] = 3000,
    items: Annotated[int, typer.Option(min=1, max=20_000, help="Points of one request.")] = 1000,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Connections.")] = 8,
    seconds: Annotated[float, typer.Option(min=10, max=600, help="Length of each of the four turns.")] = 40,
    idle_seconds: Annotated[float, typer.Option(min=10, max=600, help="Idle time that is watched before each.")] = 15,
    catch_up_seconds: Annotated[float, typer.Option(min=5, max=300, help="Longest wait after a turn.")] = 30,
    keep: Annotated[bool, typer.Option(help="Write evidence.")] = True,
) -> None:
    """Compare the platform's metrics path with the stock settings on the same brokers: what a CPU second carries."""
    settings = PeerSettings(
        rate=rate, size=items, clients=clients, turn_s=seconds, idle_s=idle_seconds, catch_up_s=catch_up_seconds
    )
    started = datetime.now(UTC)
    platform = platform_module.load()
    with ExitStack() as stack:
        context = stack.enter_context(Context(platform, Kube.of(platform)))
        stack.enter_context(topic(context))
        folder = Path(tempfile.mkdtemp(prefix="obs-peer-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        peer = Peer(context, folder)
        stack.callback(peer.stop)
        peer.start()
        figures = Comparison(context, peer, settings).measure()
        if keep:
            written = {**asdict(settings), "order": list(ORDER)}
            evidence.write("bench-peer", figures=figures, kube=context.kube, started=started, settings=written)
    show(figures)


def _own_metrics(port: int) -> dict[str, Any]:
    """The default, on a port of its own."""
    exporter = {"prometheus": {"host": "127.0.0.1", "port": port}}
    return {"metrics": {"readers": [{"pull": {"exporter": exporter}}]}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run inside the lab; a mistake is one line."""
    # Else a termination would leave the peer's processes and its topic behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        typer.run(compare)
    except (LabError, OpsError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
