"""One of the simulator's request flows, sent by the test itself, so that its trace and its end are known."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from random import Random

from components.telemetry.layers import LAYERS, Signal
from components.telemetry.services import ANALYSIS_UI
from lab.simulator.__main__ import create
from lab.simulator.config import Config
from lab.simulator.pipeline import Pipeline, Tracing
from lab.simulator.request_flows import InjectedFault, RequestFlow, TraceTemplate
from lab.simulator.services import Simulation
from ops.core.platform import Platform


@dataclass(frozen=True)
class SentRequestFlow:
    """A request flow that the gateway took.

    Attributes:
        trace_id: Its trace.
        ended: When its last span ended, seconds since 1970.
        spans: Span name and service of each of its spans.
        logs: Services that wrote a log record in it.
    """

    trace_id: str
    ended: float
    spans: frozenset[tuple[str, str]]
    logs: tuple[str, ...]


def send_request_flow(platform: Platform, folder: Path, *, fails: str = ANALYSIS_UI.name) -> SentRequestFlow:
    """Send one request flow in which ``fails`` fails, so that it is kept; by default the last service, after others.

    Args:
        platform: Where to.
        folder: Empty folder for the authority and the passwords.
        fails: Name of a service, or empty.
    """
    seed = time.time_ns() % 2**31
    config = _config(platform, folder)
    simulation = Simulation(seed=seed, devices=1)
    device, request_flows = simulation.devices[0], simulation.request_flows
    pipelines = [Pipeline(source, platform.platform) for source in simulation.sources]
    template = TraceTemplate(
        Random(seed), InjectedFault(fails=fails), device, request_flows.pseudonym("device", device.id), told=True
    )
    baggage = {"device.id": request_flows.pseudonym("device", device.id)}
    Tracing(pipelines).emit(deque([RequestFlow(root=template.upload(), baggage=baggage)]), batch=False)
    ended, names, writers, ids = 0.0, set(), [], set()
    for layer in LAYERS:
        own = [pipeline for pipeline in pipelines if pipeline.source.layer is layer]
        spans = [(pipeline.source.service, span) for pipeline in own for span in pipeline.spans()]
        logs = [(pipeline.source.service, record) for pipeline in own for record in pipeline.logs()]
        for signal, items in ((Signal.TRACES, spans), (Signal.LOGS, logs)):
            if items:
                exporter = create(config, layer, signal)
                assert exporter.send([item for _, item in items]), f"the gateway did not take {layer.name}'s {signal}"
                exporter.close()
        for service, span in spans:
            assert span.context is not None
            ids.add(span.context.trace_id)
            names.add((service, span.name))
            ended = max(ended, (span.end_time or 0) / 1e9)
        writers += [service for service, _ in logs]
    [trace_id] = ids
    return SentRequestFlow(f"{trace_id:032x}", ended, frozenset(names), tuple(writers))


def _config(platform: Platform, folder: Path) -> Config:
    authority = folder / "ca.crt"
    authority.write_text(platform.ca_certificate)
    for layer, login in platform.otlp_credentials.items():
        file = folder / layer
        file.touch(0o600)
        file.write_text(login.pair[1])
    return Config(endpoint=platform.otlp_http, ca_file=authority, credentials_dir=folder)
