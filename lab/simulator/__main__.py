"""``python -m lab.simulator --config FILE [--seed N] [--ticks N]``"""

from __future__ import annotations

import argparse
import json
import logging
import signal as signals
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData

from components.telemetry.layers import LAYERS, Layer, Signal
from lab.simulator.config import Config, FaultFile, SimulatorError, check_files, load
from lab.simulator.pipeline import Pipeline, Tracing
from lab.simulator.services import Simulation

Send = Callable[[Sequence[Any]], bool]
"""Sends items of one signal (`ResourceMetrics`, spans or log records); whether the gateway took them."""


class Exporter:
    """One SDK exporter behind the same two calls for every signal and protocol."""

    def __init__(self, exporter: Any, signal: Signal) -> None:
        self._exporter = exporter
        self._signal = signal

    def send(self, items: Sequence[Any]) -> bool:
        """Export, with the exporter's own retries within its timeout."""
        batch: Any = MetricsData(resource_metrics=items) if self._signal is Signal.METRICS else items
        return bool(self._exporter.export(batch).name == "SUCCESS")

    def close(self) -> None:
        """End the connection and any retry that waits."""
        self._exporter.shutdown()


def create(config: Config, layer: Layer, signal: Signal) -> Exporter:
    """Exporter of one layer and signal."""
    authorization = config.authorization(layer.user)
    maker = _grpc if config.protocol == "grpc" else _http
    return Exporter(maker(config, signal, authorization), signal)


def _http(config: Config, signal: Signal, authorization: str) -> Any:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    make: dict[Signal, Any] = {
        Signal.METRICS: OTLPMetricExporter,
        Signal.TRACES: OTLPSpanExporter,
        Signal.LOGS: OTLPLogExporter,
    }
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over certificate_file
    return make[signal](
        session=session,
        endpoint=f"{config.endpoint}/v1/{signal.value}",
        certificate_file=str(config.ca_file),
        headers={"Authorization": authorization},
        timeout=config.timeout_s,
        compression=Compression.Gzip,
    )


def _grpc(config: Config, signal: Signal, authorization: str) -> Any:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    make: dict[Signal, Any] = {
        Signal.METRICS: OTLPMetricExporter,
        Signal.TRACES: OTLPSpanExporter,
        Signal.LOGS: OTLPLogExporter,
    }
    return make[signal](
        endpoint=config.endpoint,
        credentials=grpc.ssl_channel_credentials(config.ca_file.read_bytes()),
        headers=(("authorization", authorization),),
        timeout=config.timeout_s,
        compression=grpc.Compression.Gzip,
    )


_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0


@dataclass
class Counts:
    """Requests of one sender.

    Attributes:
        accepted: The gateway took them.
        retried: Attempts that failed and were repeated.
        refused: Given up after the last attempt.
        dropped: Pushed out of the full queue, or left in it at the end.
    """

    accepted: int = 0
    retried: int = 0
    refused: int = 0
    dropped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class Sender:
    """Queue and thread of one layer and signal. A gateway that is away delays no other layer."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Any]], bool],
        *,
        max_pending: int,
        max_attempts: int,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.name = name
        self.counts = Counts()
        self.healthy = False
        self._send = send
        self._pending: deque[Sequence[Any]] = deque()
        self._max_pending = max_pending
        self._max_attempts = max_attempts
        self._first_wait_s = first_wait_s
        self._changed = threading.Condition()
        self._idle = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"send-{name}", daemon=True)
        self._thread.start()

    def put(self, items: Sequence[Any]) -> None:
        """Queue one request; of a full queue the oldest is dropped."""
        if not items:
            return
        with self._changed:
            if len(self._pending) >= self._max_pending:
                self._pending.popleft()
                self.counts.dropped += 1
            self._pending.append(items)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything was sent or given up; whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and self._idle, timeout=timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Send what is left within the time, then end; what remains counts as dropped."""
        self.flush(timeout_s)
        self._stopping.set()
        with self._changed:
            self.counts.dropped += len(self._pending)
            self._pending.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._pending) or self._stopping.is_set())
                if not self._pending:
                    return
                items = self._pending.popleft()
                self._idle = False
            self._deliver(items)

    def _deliver(self, items: Sequence[Any]) -> None:
        wait_s = self._first_wait_s
        for attempt in range(1, self._max_attempts + 1):
            if self._send(items):
                self.counts.accepted += 1
                self.healthy = True
                return
            self.healthy = False
            if attempt == self._max_attempts or self._stopping.wait(wait_s):
                break
            self.counts.retried += 1
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self.counts.refused += 1


_REPORT_EVERY_S = 60.0
_CLOSE_S = 2.0
_NO_CAUSE = "due to timeout, max retries or shutdown"


class _LastError(logging.Handler):
    """Keeps the exporters' last complaint, so that the report can say why something was not taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())[:300]
        if not self.text or _NO_CAUSE not in text:
            self.text = text


def report(event: str, **values: Any) -> None:
    """One JSON line on standard output."""
    print(json.dumps({"event": event, **values}), file=sys.stdout, flush=True)


class Runner:
    """Owns the simulation, the SDK pipelines and the senders of one run."""

    def __init__(self, config: Config, say: Callable[..., None] = report) -> None:
        self._config = config
        self._say = say
        self._simulation = Simulation(seed=config.seed, devices=config.devices)
        self._pipelines = [Pipeline(source, config.environment) for source in self._simulation.sources]
        self._tracing = Tracing(self._pipelines)
        self._faults = FaultFile(config.faults_file, config.faults, lambda text: say("faults", message=text))
        self._active: tuple[str, ...] = ()
        self._errors = _LastError()
        sdk = logging.getLogger("opentelemetry")
        sdk.addHandler(self._errors)
        sdk.propagate = False
        self._exporters = {
            (layer.name, signal): create(config, layer, signal) for layer in LAYERS for signal in layer.signals
        }
        self.senders = {
            (layer, signal): Sender(
                f"{layer}-{signal.value}",
                exporter.send,
                max_pending=config.max_pending,
                max_attempts=config.max_attempts,
            )
            for (layer, signal), exporter in self._exporters.items()
        }

    def tick(self, dt: float) -> None:
        """Advance the simulation by ``dt`` seconds and queue what every layer has to send."""
        plan = self._faults.plan(self._simulation.now)
        self._simulation.step(dt, plan)
        active = plan.names(self._simulation.now)
        if active != self._active:
            self._active = active
            self._say("active faults", faults=list(active))
        self._tracing.emit(self._simulation.request_flows.waiting, batch=self._simulation.request_flows.batch_due)
        for layer in LAYERS:
            self._collect(layer)

    def _collect(self, layer: Layer) -> None:
        metrics: list[Any] = []
        spans: list[Any] = []
        logs: list[Any] = []
        for pipeline in self._pipelines:
            if pipeline.source.layer is not layer:
                continue
            if pipeline.source.silent:
                pipeline.discard()
                continue
            metrics += pipeline.metrics()
            spans += pipeline.spans()
            logs += pipeline.logs()
        for signal, items in ((Signal.METRICS, metrics), (Signal.TRACES, spans), (Signal.LOGS, logs)):
            if items:
                self.senders[layer.name, signal].put(items)

    def run(self, stop: threading.Event, *, ticks: int | None = None) -> None:
        """Tick at the configured interval until ``stop`` is set, or ``ticks`` times."""
        interval = self._config.interval_s
        begun = last = time.monotonic()
        reported = begun
        self._say("started", devices=self._config.devices, endpoint=self._config.endpoint, seed=self._config.seed)
        done = 0
        while ticks is None or done < ticks:
            now = time.monotonic()
            self.tick(now - last if done else interval)
            last = now
            done += 1
            self._mark_ready()
            if now - reported >= _REPORT_EVERY_S:
                reported = now
                self._say("sent", **self.status())
            next_tick = begun + interval * (int((time.monotonic() - begun) / interval) + 1)
            if self._wait(stop, next_tick):
                break
        self.close()

    def _wait(self, stop: threading.Event, until: float) -> bool:
        """Sleep until the next tick, looking once a second whether the gateway answered; whether to stop."""
        while (left := until - time.monotonic()) > 0:
            if stop.wait(min(left, 1.0)):
                return True
            self._mark_ready()
        return stop.is_set()

    def status(self) -> dict[str, Any]:
        """Counts per layer, and why the last refusal happened."""
        layers = {
            layer.name: sum((self.senders[layer.name, signal].counts for signal in layer.signals), Counts()).__dict__
            for layer in LAYERS
        }
        troubled = not all(sender.healthy for sender in self.senders.values() if sender.counts != Counts())
        return {"layers": layers, **({"last_error": self._errors.text} if troubled and self._errors.text else {})}

    def close(self) -> None:
        """Send what is left, within the export timeout, and end all threads."""
        deadline = time.monotonic() + self._config.timeout_s
        for sender in self.senders.values():
            sender.stop(max(0.0, deadline - time.monotonic()))
        self._mark_ready()
        for exporter in self._exporters.values():
            exporter.close()
        for sender in self.senders.values():
            sender.join(_CLOSE_S)
        logging.getLogger("opentelemetry").removeHandler(self._errors)
        self._say("stopped", **self.status())

    def _mark_ready(self) -> None:
        file = self._config.ready_file
        if file is None:
            return
        if all(self.senders[layer.name, Signal.METRICS].healthy for layer in LAYERS):
            file.touch()
        else:
            file.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="lab.simulator", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see lab/simulator/config.py")
    parser.add_argument("--seed", type=int, help="instead of the file's seed")
    parser.add_argument("--ticks", type=int, help="stop after this many exports")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config)
        if given.seed is not None:
            config = replace(config, seed=given.seed)
        check_files(config)
        runner = Runner(config)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signals.SIGTERM, signals.SIGINT):
        signals.signal(number, lambda *_: stop.set())
    runner.run(stop, ticks=given.ticks)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
