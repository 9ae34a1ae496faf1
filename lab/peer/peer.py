"""The peer: its topic, the configurations of its collectors as data (addresses and logins, beyond them the components'
defaults), its processes, and what has arrived at its end.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer.stores import JaegerIndices, Prometheus, Server, SpanIndices, Store, VictoriaLogs
from lab.toolchain import tools
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, errors
from ops.core.kube import wait_until
from ops.loadtest.bench_load import Target
from ops.loadtest.bench_requests import Batch

GATEWAY, CONSUMER, JAEGER = "peer gateway", "peer consumer", "peer Jaeger"
"""Processes of the peer, besides those of `lab.peer.stores`."""

TOPIC = "bench-default"
"""The peer's topic, and the name of the group that reads it."""
USER, PASSWORD = "PEER_KAFKA_USER", "PEER_KAFKA_PASSWORD"
"""Variables of a collector's environment with its login at Kafka."""
Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Brokers and the file with their authority."""

    addresses: Sequence[str]
    ca_file: str

    def client(self) -> Data:
        """Of the exporter and of the receiver."""
        sasl = {"mechanism": "SCRAM-SHA-512", "username": f"${{env:{USER}}}", "password": f"${{env:{PASSWORD}}}"}
        return {"brokers": list(self.addresses), "tls": {"ca_file": self.ca_file}, "auth": {"sasl": sasl}}


def gateway(signal: Signal, brokers: Brokers, *, port: int, own: int) -> Data:
    """OTLP over HTTP to the topic.

    Args:
        signal: What it takes.
        brokers: Where the topic is.
        port: Of OTLP.
        own: Of its own metrics.
    """
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"batch": {}},
        "exporters": {"kafka": {**brokers.client(), str(signal): {"topic": TOPIC}}},
        "service": _service(own, signal, receivers=["otlp"], processors=["batch"], exporters=["kafka"]),
    }


def consumer(signal: Signal, brokers: Brokers, *, exporter: Mapping[str, Any], own: int) -> Data:
    """The topic to a server of OTLP over HTTP.

    Args:
        signal: What it reads.
        brokers: Where the topic is.
        exporter: Settings of the exporter `otlphttp`.
        own: Port of its own metrics.
    """
    return {
        "receivers": {"kafka": {**brokers.client(), "group_id": TOPIC, str(signal): {"topics": [TOPIC]}}},
        "exporters": {"otlphttp": dict(exporter)},
        "service": _service(own, signal, receivers=["kafka"], exporters=["otlphttp"]),
    }


def jaeger(brokers: Brokers, *, backend: Mapping[str, Any], own: int) -> Data:
    """Jaeger as its own example of an ingester has it: the topic to a store.

    Args:
        brokers: Where the topic is.
        backend: The store.
        own: Port of its own metrics.
    """
    store = "default"
    receiver = {**brokers.client(), "group_id": TOPIC, "initial_offset": "earliest", "traces": {"topic": TOPIC}}
    pipeline = {"receivers": ["kafka"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}
    return {
        "extensions": {"jaeger_storage": {"backends": {store: dict(backend)}}},
        "receivers": {"kafka": receiver},
        "processors": {"batch": {}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": store}},
        "service": {"extensions": ["jaeger_storage"], **_service(own, Signal.TRACES, **pipeline)},
    }


def _service(own: int, signal: Signal, **pipeline: list[str]) -> Data:
    """One pipeline; its own metrics are the default's, on a port of its own."""
    exporter = {"prometheus": {"host": "127.0.0.1", "port": own}}
    telemetry = {"metrics": {"readers": [{"pull": {"exporter": exporter}}]}}
    return {"telemetry": telemetry, "pipelines": {str(signal): pipeline}}


START_S, STOP_S = 60.0, 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Processes by name, each with its log in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start one.

        Args:
            name: Its name.
            command: Command line.
            variables: More variables of its environment.
        """
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(variables or {})}
            )

    def file(self, name: str, config: Mapping[str, Any]) -> Path:
        """Write the configuration of one."""
        path = self._folder / f"{_plain(name)}.yaml"
        path.write_text(json.dumps(config))
        return path

    def await_port(self, name: str, port: int) -> None:
        """Wait until one listens on a port of loopback, `START_S` at most.

        Raises:
            LabError: It does not; the message has the end of its log.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self.check(name)
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise LabError(f"{name} did not listen within {START_S:.0f} s: {self._tail(name)}")

    def check(self, name: str) -> None:
        """Be sure that one runs.

        Raises:
            LabError: It has ended; the message has the end of its log.
        """
        process = self._processes[name]
        if process.poll() is not None:
            raise LabError(f"{name} ended with code {process.returncode}: {self._tail(name)}")

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far, by name.

        Raises:
            LabError: One has ended.
        """
        seconds_by_name = {}
        for name, process in self._processes.items():
            self.check(name)
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            seconds_by_name[name] = (int(fields[11]) + int(fields[12])) / _TICKS
        return seconds_by_name

    def stop(self) -> None:
        """End them, by a kill those that take more than `STOP_S`; safe to call twice."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self._folder / f"{_plain(name)}.log"

    def _tail(self, name: str) -> str:
        """The end of its log; of Jaeger and the collector the error is in one of the last lines."""
        return " | ".join(self._log(name).read_text(errors="replace").splitlines()[-3:])[-600:]


def _plain(name: str) -> str:
    return name.replace(" ", "-")


PARTITIONS, COPIES = 12, 3
_GONE_S = 30.0


class Peer:
    """The peer of one signal.

    Args:
        context: Kafka, with its administrator's login.
        batch: What it will be sent.
        folder: For configurations, logs and data.
        indices: Where spans go; needed for traces only.

    Attributes:
        store: Its end.
        processes: Its processes.
    """

    def __init__(self, context: Context, batch: Batch, folder: Path, indices: SpanIndices | None = None) -> None:
        self._context, self._signal, self._folder = context, batch.signal, folder
        self._ports = {name: free_port() for name in ("otlp", "gateway own", "reader own", "store")}
        self._server: Server | None = None
        self._indices = indices
        self.store: Store
        if batch.signal is Signal.TRACES:
            if indices is None:
                raise LabError("the peer of traces needs indices of the search cluster")
            self.store = JaegerIndices(indices)
        else:
            port = self._ports["store"]
            self._server = Prometheus(port, batch) if batch.signal is Signal.METRICS else VictoriaLogs(port)
            self.store = self._server
        self.processes = Processes(folder)

    @property
    def target(self) -> Target:
        """Where its clients send."""
        return Target(url=f"http://127.0.0.1:{self._ports['otlp']}", authority="", passwords={})

    def start(self) -> None:
        """Start all and wait until what is sent would be stored.

        Raises:
            LabError: One does not start; the message has the end of its log.
            OpsError: The search cluster refuses or does not answer.
        """
        if self._server is not None:
            self.processes.run(self._server.name, self._server.command(self._folder))
            self.processes.await_port(self._server.name, self._ports["store"])
        reader, program, config = self._reader()
        port, own = self._ports["otlp"], self._ports["gateway own"]
        self._collector(GATEWAY, "otelcol", gateway(self._signal, self._brokers(), port=port, own=own))
        self._collector(reader, program, config)
        self.processes.await_port(GATEWAY, port)
        self.processes.await_port(reader, self._ports["reader own"])
        self._await_group(reader)
        if self._indices is not None:
            self._indices.create()

    def stop(self) -> None:
        """End its processes; safe to call twice."""
        self.processes.stop()

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds that each of its processes has used so far.

        Raises:
            LabError: One has ended.
        """
        return self.processes.cpu_seconds()

    def _reader(self) -> tuple[str, str, Data]:
        """Who reads the topic: name, program and configuration."""
        own = self._ports["reader own"]
        if self._server is not None:
            exporter = self._server.exporter
            return CONSUMER, "otelcol", consumer(self._signal, self._brokers(), exporter=exporter, own=own)
        assert self._indices is not None
        return JAEGER, "jaeger", jaeger(self._brokers(), backend=self._indices.backend(), own=own)

    def _brokers(self) -> Brokers:
        addresses = self._context.platform.kafka_bootstrap.split(",")
        return Brokers(addresses=addresses, ca_file=self._context.ca_file)

    def _collector(self, name: str, program: str, config: Data) -> None:
        user, password = self._context.platform.kafka_admin.pair
        command = [str(tools.path(program)), f"--config=file:{self.processes.file(name, config)}"]
        self.processes.run(name, command, {USER: user, PASSWORD: password})

    def _await_group(self, reader: str) -> None:
        """Wait until the reader has its partitions: by default it reads only what comes after that."""
        deadline = time.monotonic() + START_S
        problem = "it has joined no group"
        while time.monotonic() < deadline:
            self.processes.check(reader)
            try:
                group = self._context.kafka.groups([TOPIC])[TOPIC]
                if group.stable and group.members == 1:
                    return
                problem = f"its group is {group.state}, with {group.members} members"
            except OpsError as error:
                # The group's coordinator has just begun, too.
                problem = str(error)
            time.sleep(0.5)
        raise LabError(f"the {reader} is not ready after {START_S:.0f} s: {problem}")


@contextmanager
def topic(context: Context, copies: int = COPIES) -> Iterator[None]:
    """The peer's topic; removed at the end, whatever happened; with it Kafka forgets its group's offsets."""
    client = context.kafka.client
    if TOPIC in context.kafka.topics():
        _remove(context)
    with errors(f"topic {TOPIC} cannot be made"):
        new_topic = ADMIN.NewTopic(TOPIC, PARTITIONS, copies)
        client.create_topics([new_topic], operation_timeout=TIMEOUT_SECONDS)[TOPIC].result(timeout=TIMEOUT_SECONDS)
    try:
        yield
    finally:
        _remove(context)


def _remove(context: Context) -> None:
    with errors(f"topic {TOPIC} cannot be removed"):
        context.kafka.client.delete_topics([TOPIC], operation_timeout=TIMEOUT_SECONDS)[TOPIC].result(
            timeout=TIMEOUT_SECONDS
        )
    wait_until(lambda: TOPIC not in context.kafka.topics(), _GONE_S, f"{TOPIC} is gone")
