"""The simulator's loop: step the simulation, collect, hand over to the senders, report."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from components.telemetry.layers import LAYERS, Layer, Signal
from lab.simulator import exporters
from lab.simulator.config import Config
from lab.simulator.faults import FaultFile
from lab.simulator.pipeline import Pipeline
from lab.simulator.sender import Counts, Sender
from lab.simulator.simulation import Simulation
from lab.simulator.tracing import Tracing

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
            (layer.name, signal): exporters.create(config, layer, signal)
            for layer in LAYERS
            for signal in layer.signals
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
