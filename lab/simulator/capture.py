"""A capture of what the simulator sends, for load generators: one device, one trace of each outcome, one flow's logs.

``python -m lab.simulator.capture`` prints it as OTLP in JSON. Ids and times are replaced by fixed ones, so that two
captures of the same simulator are equal. The load generator refreshes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricsData

from components.telemetry.layers import LAYERS
from components.telemetry.services import METADATA, STREAMING_SERVICE
from lab.simulator.config import FaultPlan
from lab.simulator.pipeline import Pipeline, Tracing
from lab.simulator.request_flows import InjectedFault, RequestFlow, TraceTemplate
from lab.simulator.services import Simulation

NOW_NS = 10**18
"""When the capture was taken, as far as its times say."""
STARTED_NS = NOW_NS - 600 * 10**9
_SEED = 1
INJECTED_FAULTS = {
    "ordinary": InjectedFault(),
    "failed": InjectedFault(fails=METADATA.name),
    "slow": InjectedFault(slow=STREAMING_SERVICE.name),
}


def capture() -> dict[str, Any]:
    """Metrics, traces and logs as requests in OTLP's JSON, by layer, and the ids that stand for whom they are about."""
    simulation = Simulation(seed=_SEED, devices=1)
    simulation.step(10.0, FaultPlan(()))
    pipelines = [Pipeline(source, "local") for source in simulation.sources]
    device = simulation.devices[0]
    of_device = next(pipeline for pipeline in pipelines if pipeline.source is device.source)
    device.source.events.clear()
    metrics = encode_metrics(MetricsData(resource_metrics=of_device.metrics()))
    for point in _points(metrics):
        point.time_unix_nano = NOW_NS
        if point.start_time_unix_nano:
            point.start_time_unix_nano = STARTED_NS
    pseudonym = simulation.request_flows.pseudonym("device", device.id)
    worker = simulation.request_flows.pseudonym("worker", f"of {device.id}")
    simulation.request_flows.waiting.clear()
    tracing = Tracing(pipelines)
    traces, logs = {}, {}
    for name, injected_fault in INJECTED_FAULTS.items():
        for pipeline in pipelines:
            pipeline.discard()
        template = TraceTemplate(Random(_SEED), injected_fault, device, pseudonym, told=name == "ordinary")
        simulation.request_flows.waiting.append(
            RequestFlow(root=template.upload(), baggage={"device.id": pseudonym, "enduser.pseudo.id": worker})
        )
        tracing.emit(simulation.request_flows.waiting, batch=False)
        traces[name] = _normalised(_by_layer(pipelines, Pipeline.spans, encode_spans), name)
        written = _by_layer(pipelines, Pipeline.logs, encode_logs)
        if name == "ordinary":
            logs = _normalised(written, name)
    return {
        "now_ns": NOW_NS,
        "device": device.id,
        "pseudonym": pseudonym,
        "worker": worker,
        "metrics": {device.source.layer.name: MessageToDict(metrics)},
        "traces": traces,
        "logs": logs,
    }


def _by_layer(
    pipelines: Iterable[Pipeline], take: Callable[[Pipeline], Sequence[Any]], encode: Callable[[Any], Any]
) -> dict[str, Any]:
    """What each layer's sources have, encoded as its one request; layers that have nothing are left out."""
    taken: dict[str, list[Any]] = {layer.name: [] for layer in LAYERS}
    for pipeline in pipelines:
        taken[pipeline.source.layer.name] += take(pipeline)
    return {layer: encode(items) for layer, items in taken.items() if items}


def _points(request: Any) -> Iterable[Any]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from getattr(metric, metric.WhichOneof("data")).data_points


def _normalised(requests: dict[str, Any], name: str) -> dict[str, Any]:
    """Fixed ids in the order in which they appear, and times that end at `NOW_NS`."""
    records = [record for request in requests.values() for record in _records(request)]
    ids: dict[bytes, bytes] = {}

    def fixed(value: bytes) -> bytes:
        known = hashlib.sha256(f"{name}/{len(ids)}".encode()).digest()[: len(value)]
        return ids.setdefault(value, known) if value else value

    times = ("start_time_unix_nano", "end_time_unix_nano", "time_unix_nano", "observed_time_unix_nano")
    last = max(getattr(record, time) for record in records for time in times if hasattr(record, time))
    for record in sorted(records, key=_begin):
        record.trace_id, record.span_id = fixed(record.trace_id), fixed(record.span_id)
        for link in getattr(record, "links", ()):
            link.trace_id, link.span_id = fixed(link.trace_id), fixed(link.span_id)
        if hasattr(record, "parent_span_id"):
            record.parent_span_id = fixed(record.parent_span_id)
        for time in times:
            if hasattr(record, time):
                setattr(record, time, getattr(record, time) - last + NOW_NS)
    return {layer: MessageToDict(request) for layer, request in requests.items()}


def _begin(record: Any) -> tuple[int, str]:
    if hasattr(record, "start_time_unix_nano"):
        return record.start_time_unix_nano, record.name
    return record.time_unix_nano, record.event_name


def _records(request: Any) -> Iterable[Any]:
    for resource in getattr(request, "resource_spans", getattr(request, "resource_logs", ())):
        for scope in getattr(resource, "scope_spans", getattr(resource, "scope_logs", ())):
            yield from getattr(scope, "spans", getattr(scope, "log_records", ()))


if __name__ == "__main__":
    print(json.dumps(capture(), indent=1, ensure_ascii=False))
