"""What an ordinary layer's login could try to pass for the platform, or for another layer, in every signal.

Each forgery is a request of its own, so that each has an answer of its own. `violations` says what of a record in Kafka
is under a reserved meaning; it reads what arrived, and knows nothing of what was sent.
"""

from __future__ import annotations

import secrets
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.telemetry.attributes import LAYER, SERVICE_INSTANCE_ID, SERVICE_NAME
from components.telemetry.gate_catalogue import keys_at, service_names
from components.telemetry.layers import LAYERS, Layer, Signal
from components.telemetry.registry import REGISTRY, label_reserved, metric_reserved, service_reserved
from ops.core import otlp

KNOWN_METRIC: Final = "obs_verify_probe"
SERVICE: Final = "e2e"
MARKER: Final = "gate-forgery-"
"""How the instance of everything begins that this drill sends; the layer that signed in is at its end."""
VALUE: Final = "forged-"
"""How every value begins that is put under a reserved name."""
REQUESTS: Final[Mapping[Signal, Callable[[], Any]]] = {
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_PARTS: Final = {
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
}
_POINTS: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_PLATFORM_LAYERS: Final = ("platform", "obs", "infrastructure", "")
_RESOURCE_KEYS: Final = ("service.namespace", "obs.client", "host.name", "k8s.pod.name", "user.email")
"""Resource keys beside the reserved labels that say where or who the platform is, or who a person is."""


class Kind(StrEnum):
    """What is forged."""

    METRIC = "metric names"
    LABEL = "labels of points"
    SERVICE = "service names"
    RESOURCE = "resource keys"
    LAYER = "layers of others"
    ATTRIBUTE = "attributes of spans and logs"
    SCOPE = "attributes of scopes"


REFUSED_KINDS: Final = frozenset((Kind.METRIC, Kind.LABEL, Kind.SERVICE, Kind.LAYER))
"""Kinds of which the client is told; of the others, the gate drops the forged part and lets the rest pass."""


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """One attempt.

    Attributes:
        kind: What is forged.
        signal: In which signal.
        layer: As whom it signs in.
        name: The reserved name.
        body: The request.
        trace: Trace id, where it is a span.
    """

    kind: Kind
    signal: Signal
    layer: str
    name: str
    body: bytes
    trace: str = ""


def marker(run: str, layer: str) -> str:
    """Instance of what is sent as a layer."""
    return f"{MARKER}{run}-{layer}"


def layer_of(instance: str) -> str:
    """Layer that signed in for what has this instance; empty where it is not of this drill."""
    return instance.rpartition("-")[2] if instance.startswith(MARKER) else ""


def new_run() -> str:
    """An id of letters only, which nothing takes for a number."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz") for _ in range(10))


def forgeries(run: str, layers: Iterable[Layer] = LAYERS) -> Iterator[Forgery]:
    """Every reserved name, tried as every layer, in every signal in which it could have a meaning."""
    for layer in layers:
        for name in metric_names():
            metric, _, unit = name.partition(" ")
            yield _forged(run, layer, Kind.METRIC, Signal.METRICS, name, metric=metric, unit=unit)
        for label in label_names():
            yield _forged(run, layer, Kind.LABEL, Signal.METRICS, label, point=label)
        for signal in Signal:
            if not layer.may_send(signal):
                continue
            for service in reserved_services():
                yield _forged(run, layer, Kind.SERVICE, signal, service, resource={SERVICE_NAME: service})
            for other in foreign_layers(layer):
                yield _forged(run, layer, Kind.LAYER, signal, other or "(empty)", resource={LAYER: other})
            for key in resource_keys(layer):
                yield _forged(run, layer, Kind.RESOURCE, signal, key, resource={key: f"{VALUE}{run}"})
            for key in ("job", LAYER, "otel_scope_name"):
                yield _forged(run, layer, Kind.SCOPE, signal, key, scope=key)
            if signal is not Signal.METRICS:
                for key in attribute_keys():
                    yield _forged(run, layer, Kind.ATTRIBUTE, signal, key, attribute=key)


def metric_names() -> Iterator[str]:
    """Reserved names of metrics, spelled as they are and with dots; a unit that completes one follows a blank."""
    for pattern in REGISTRY.reserved.metrics:
        name = f"{pattern[:-1]}forged" if pattern.endswith("*") else pattern
        yield name
        if "_" in name:
            yield name.replace("_", ".")
            first, _, rest = name.partition("_")
            if metric_reserved(first, REGISTRY.reserved.metrics):
                yield f"{first} {rest}"
    yield "kafka_controller_kafkacontroller_offlinepartitionscount"
    yield "kafka.controller/kafkacontroller-offlinepartitionscount"


def label_names() -> Iterator[str]:
    """Reserved labels as keys of points, and keys that Prometheus would spell like them."""
    for label in REGISTRY.reserved.labels:
        yield label
        if "_" in label:
            yield label.replace("_", ".")
    yield from ("__name__", "__forged")


def reserved_services() -> Iterator[str]:
    """Reserved values of ``service.name``, and what people would read as one of them."""
    for pattern in REGISTRY.reserved.services:
        name = pattern.removesuffix("*")
        yield name
        yield f" {name.upper()} "
        yield "".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter for letter in name)
        if pattern.endswith("*"):
            yield f"{name}-forged"


def foreign_layers(layer: Layer) -> Iterator[str]:
    """Layers that are another's, the platform's, or nobody's."""
    yield from (other.name for other in LAYERS if other is not layer)
    yield from _PLATFORM_LAYERS
    yield f" {layer.name}"
    yield layer.name.upper()


def resource_keys(layer: Layer) -> Iterator[str]:
    """Reserved labels as keys of the resource, and keys that the catalogue keeps out on purpose."""
    own = {LAYER, *keys_at(layer, "resource")}
    yield from (key for key in (*REGISTRY.reserved.labels, *_RESOURCE_KEYS, "__address__") if key not in own)


def attribute_keys() -> Iterator[str]:
    """Reserved names as attributes of a span or of a log record."""
    yield from (*REGISTRY.reserved.labels, "__name__", "__address__")


def control(run: str, layer: Layer, signal: Signal) -> Forgery:
    """What has to arrive: the same without a forgery."""
    return _forged(run, layer, Kind.RESOURCE, signal, "nothing")


def _forged(
    run: str,
    layer: Layer,
    kind: Kind,
    signal: Signal,
    name: str,
    *,
    resource: Mapping[str, str] | None = None,
    metric: str = KNOWN_METRIC,
    unit: str = "",
    point: str = "",
    attribute: str = "",
    scope: str = "",
) -> Forgery:
    own = otlp.resource_of(layer.name, SERVICE, marker(run, layer.name))
    if "device_id" in own:
        own["device_id"] = f"gate-{run}"  # Not the instance, which would become the same pseudonym.
    own |= resource or {}
    request: Message
    trace = ""
    value = f"{VALUE}{run}"
    if signal is Signal.METRICS:
        request = otlp.gauge(own, metric, [(time.time_ns(), 1.0, {point: value} if point else {})], unit)
    elif signal is Signal.TRACES:
        request = otlp.span(own, f"forgery {run}", failed=True)
        [span] = request.resource_spans[0].scope_spans[0].spans
        trace = span.trace_id.hex()
        span.attributes.extend(otlp.attributes({attribute: value} if attribute else {}))
    else:
        request = ExportLogsServiceRequest()
        group = request.resource_logs.add()
        group.resource.attributes.extend(otlp.attributes(own))
        record = group.scope_logs.add().log_records.add(time_unix_nano=time.time_ns())
        record.body.string_value = f"forgery {run}"
        record.attributes.extend(otlp.attributes({attribute: value} if attribute else {}))
    if scope:
        groups, scopes, _ = _PARTS[signal]
        getattr(getattr(request, groups)[0], scopes)[0].scope.attributes.extend(otlp.attributes({scope: value}))
    return Forgery(kind=kind, signal=signal, layer=layer.name, name=name, body=request.SerializeToString(), trace=trace)


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something under a reserved meaning."""

    kind: Kind
    what: str


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A resource of this drill in a record of Kafka.

    Attributes:
        layer: As whom it was sent.
        items: How many points, spans or records it has.
        violations: What is wrong with it.
    """

    layer: str
    items: int
    violations: tuple[Violation, ...]


def arrivals(signal: Signal, record: bytes, run: str) -> Iterator[Arrival]:
    """Resources of a run in a record of Kafka; whatever carries a forged value is of the run too."""
    groups, scopes, items = _PARTS[signal]
    for resource in getattr(REQUESTS[signal]().FromString(record), groups):
        attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
        instance = attributes.get(SERVICE_INSTANCE_ID, "")
        mine = instance.startswith(f"{MARKER}{run}-")
        if not mine and f"{VALUE}{run}".encode() not in resource.SerializeToString():
            continue
        count = sum(len(getattr(scope, items)) for scope in getattr(resource, scopes))
        yield Arrival(
            layer=layer_of(instance),
            items=count,
            violations=tuple(violations(signal, resource, attributes, layer_of(instance))),
        )


def violations(signal: Signal, resource: Any, attributes: Mapping[str, str], sender: str) -> Iterator[Violation]:
    """What of a resource and its items is under a reserved meaning."""
    if attributes.get(LAYER) != sender:
        yield Violation(kind=Kind.LAYER, what=f"{sender or 'nobody'} speaks as {attributes.get(LAYER)!r}")
    own = next((layer for layer in LAYERS if layer.name == sender), None)
    allowed = {LAYER, SERVICE_NAME, *(keys_at(own, "resource") if own else ())}
    yield from (Violation(kind=Kind.RESOURCE, what=key) for key in attributes.keys() - allowed)
    service = unicodedata.normalize("NFKC", attributes.get(SERVICE_NAME, ""))
    if service_reserved(service, REGISTRY.reserved.services) and service not in (service_names(own) if own else ()):
        yield Violation(kind=Kind.SERVICE, what=service)
    _, scopes, items = _PARTS[signal]
    for scope in getattr(resource, scopes):
        yield from (Violation(kind=Kind.SCOPE, what=pair.key) for pair in scope.scope.attributes)
        for item in getattr(scope, items):
            if signal is Signal.METRICS:
                yield from _metric(item)
            else:
                yield from (
                    Violation(kind=Kind.ATTRIBUTE, what=pair.key)
                    for pair in item.attributes
                    if pair.key == LAYER or pair.key.startswith("__")
                )


def _metric(metric: Any) -> Iterator[Violation]:
    named = f"{metric.name}_{metric.unit}" if metric.unit else metric.name
    if any(metric_reserved(name, REGISTRY.reserved.metrics) for name in (metric.name, named)):
        yield Violation(kind=Kind.METRIC, what=f"{metric.name} in {metric.unit or 'no unit'}")
    for kind in _POINTS:
        for point in getattr(metric, kind).data_points:
            yield from (
                Violation(kind=Kind.LABEL, what=pair.key)
                for pair in point.attributes
                if label_reserved(pair.key, REGISTRY.reserved.labels)
            )
