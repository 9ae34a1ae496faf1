"""The peer: its topic, its processes, and what has arrived at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer import collectors
from lab.peer.collectors import PASSWORD, TOPIC, USER, Brokers, Data
from lab.peer.plans import CONSUMER, GATEWAY, JAEGER
from lab.peer.processes import START_S, Processes, free_port
from lab.peer.search import SpanIndices
from lab.peer.stores import JaegerIndices, Prometheus, Server, Store, VictoriaLogs
from lab.toolchain import tools
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, errors
from ops.core.kube import wait_until
from ops.loadtest.bench_load import Target
from ops.loadtest.bench_requests import Batch

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
        self._collector(GATEWAY, "otelcol", collectors.gateway(self._signal, self._brokers(), port=port, own=own))
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
            return CONSUMER, "otelcol", collectors.consumer(self._signal, self._brokers(), exporter=exporter, own=own)
        assert self._indices is not None
        return JAEGER, "jaeger", collectors.jaeger(self._brokers(), backend=self._indices.backend(), own=own)

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
