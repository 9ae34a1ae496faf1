"""Traces for a bench: the end-to-end trace of `components.telemetry.services`, and a client that sends many of them.

What differs between two requests (ids and times) is set in messages that are built once, so that the generator uses
little of the cores that it shares with the platform.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from components.telemetry.attributes import DATA_CLASSIFICATION
from components.telemetry.layers import Layer
from components.telemetry.services import (
    ANALYSIS_UI,
    DEVICE_EDGE,
    ENTRY_KINDS,
    METADATA,
    RECORDING,
    REGISTRATIONS_TOPIC,
    SEGMENTS_TOPIC,
    STREAMING_SERVICE,
    TRACED_SERVICES,
    SpanKind,
    TracedService,
)
from ops.otlp import attributes, resource_of
from ops.platform import Login, Platform

TRACES_PER_REQUEST = 100
FAILED, SLOW = 1, 51
"""Which of a request's traces has a failed span, and which a slow one: one in a hundred each."""

_CALL_SECONDS = 20.0
_GIVE_UP_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_OVER_LIMIT_MS = 50
_MS = 1_000_000
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Step:
    """One span of the trace: operation of a service, number of its parent, begin and length in milliseconds."""

    service: TracedService
    operation: str
    parent: int | None
    begin_ms: int
    length_ms: int

    @property
    def kind(self) -> SpanKind:
        """Kind of the span."""
        return self.service.operation(self.operation).kind

    @property
    def is_entry(self) -> bool:
        """Whether the service answers for itself with this span."""
        return self.kind in ENTRY_KINDS


STEPS: tuple[Step, ...] = (
    Step(DEVICE_EDGE, "POST /v1/devices/{device}/segments", None, 0, 60),
    Step(DEVICE_EDGE, "POST /v1/streams/{stream}/segments", 0, 5, 45),
    Step(STREAMING_SERVICE, "POST /v1/streams/{stream}/segments", 1, 8, 38),
    Step(STREAMING_SERVICE, "decode segment", 2, 10, 20),
    Step(STREAMING_SERVICE, f"send {SEGMENTS_TOPIC}", 2, 32, 4),
    Step(RECORDING, f"process {SEGMENTS_TOPIC}", 4, 66, 110),
    Step(RECORDING, "encode segment", 5, 68, 15),
    Step(RECORDING, "PUT", 5, 84, 60),
    Step(RECORDING, "POST /v1/recordings", 5, 146, 28),
    Step(METADATA, "POST /v1/recordings", 8, 148, 24),
    Step(METADATA, "INSERT recordings", 9, 150, 8),
    Step(METADATA, f"send {REGISTRATIONS_TOPIC}", 9, 160, 3),
    Step(ANALYSIS_UI, f"process {REGISTRATIONS_TOPIC}", 11, 193, 45),
    Step(ANALYSIS_UI, "render site totals", 12, 198, 30),
)
"""The trace, as it passes the services."""

_WHOLE_MS = max(step.begin_ms + step.length_ms for step in STEPS)
LAYERS: tuple[Layer, ...] = tuple(dict.fromkeys(service.layer for service in TRACED_SERVICES))
"""Layers that send a part of the trace, each in a request of its own."""


@dataclass(frozen=True)
class _Timed:
    """A span, the number of its trace, and when it begins and ends, in nanoseconds before now."""

    span: Any
    trace: int
    begin: int
    end: int


class Journeys:
    """A request per layer with `TRACES_PER_REQUEST` whole traces, made anew with every call of `bodies`."""

    def __init__(self, number: int) -> None:
        """Build the messages of client ``number``; the failed and the slow service differ between clients."""
        self._requests = {layer.name: ExportTraceServiceRequest() for layer in LAYERS}
        self._spans: list[_Timed] = []
        self._links: list[tuple[Any, int]] = []
        self.spans_of = {
            layer.name: TRACES_PER_REQUEST * sum(step.service.layer is layer for step in STEPS) for layer in LAYERS
        }
        scopes = {service.name: self._scope(service) for service in TRACED_SERVICES}
        failing = TRACED_SERVICES[number % len(TRACED_SERVICES)]
        slow = TRACED_SERVICES[(number + 2) % len(TRACED_SERVICES)]
        for trace in range(TRACES_PER_REQUEST):
            self._trace(
                scopes, trace, failing if trace == FAILED else None, slow if trace == SLOW else None, f"{number}{trace}"
            )

    def bodies(self) -> dict[str, bytes]:
        """New traces that end now: layer -> serialised request."""
        ids = [secrets.token_bytes(16) for _ in range(TRACES_PER_REQUEST)]
        now = time.time_ns()
        for timed in self._spans:
            timed.span.trace_id = ids[timed.trace]
            timed.span.start_time_unix_nano = now - timed.begin
            timed.span.end_time_unix_nano = now - timed.end
        for link, trace in self._links:
            link.trace_id = ids[trace]
        return {layer: request.SerializeToString() for layer, request in self._requests.items()}

    def _scope(self, service: TracedService) -> Any:
        resource = self._requests[service.layer.name].resource_spans.add()
        values = resource_of(service.layer.name, service.name, f"{service.name}-bench")
        resource.resource.attributes.extend(
            attributes({**values, "service.version": "bench", DATA_CLASSIFICATION: service.classification})
        )
        return resource.scope_spans.add()

    def _trace(
        self,
        scopes: Mapping[str, Any],
        trace: int,
        failing: TracedService | None,
        slow: TracedService | None,
        device: str,
    ) -> None:
        ids = [secrets.token_bytes(8) for _ in STEPS]
        longer = slow.latency_limit_ms + _OVER_LIMIT_MS if slow else 0
        for number, step in enumerate(STEPS):
            failed = step.service is failing and step.is_entry
            span = scopes[step.service.name].spans.add(
                span_id=ids[number],
                parent_span_id=b"" if step.parent is None else ids[step.parent],
                name=step.operation,
                kind=Span.SpanKind.Value(f"SPAN_KIND_{step.kind}"),
                attributes=attributes({**_attributes(step, device, failed), "device.id": f"bench{device}"}),
            )
            if failed:
                span.status.code = Status.STATUS_CODE_ERROR
            if step.kind is SpanKind.CONSUMER and step.parent is not None:
                self._links.append((span.links.add(span_id=ids[step.parent]), trace))
            begin = _WHOLE_MS + longer - step.begin_ms
            length = step.length_ms + (longer if step.service is slow and step.is_entry else 0)
            self._spans.append(_Timed(span, trace, begin * _MS, (begin - length) * _MS))


def _attributes(step: Step, device: str, failed: bool) -> dict[str, str]:
    """What spans of this kind tell."""
    values = {DATA_CLASSIFICATION: step.service.operation(step.operation).classification}
    method, _, route = step.operation.partition(" ")
    if step.kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
        values |= {
            "messaging.system": "kafka",
            "messaging.destination.name": route,
            "messaging.destination.partition.id": "3",
            "messaging.operation.name": method,
            "messaging.operation.type": method,
        }
    elif step.kind is SpanKind.SERVER:
        values |= {
            "http.request.method": method,
            "http.route": route,
            "url.scheme": "https",
            "url.path": route.format(device=f"bench{device}", stream=f"s{device}"),
            "http.response.status_code": "500" if failed else "202",
        }
    elif step.kind is SpanKind.CLIENT:
        values |= {"http.request.method": method, "server.address": "next", "server.port": "443"}
    return {**values, **({"error.type": "500"} if failed else {})}


Send = Callable[[str, bytes], Callable[[], bool]]
"""Begins to send a layer's request; what it returns waits for the answer: whether the gateway took all of it."""


class Sender:
    """One client: sends its requests, those of all layers at the same time, and then the next traces."""

    def __init__(self, number: int, send: Send) -> None:
        self._journeys, self._send = Journeys(number), send
        self.traces = 0
        self.spans = 0
        self.refused = 0
        self.given_up = 0

    def run(self, until: float) -> None:
        """Send until ``until`` (monotonic seconds); what is refused is sent again after a pause."""
        while time.monotonic() < until:
            self._batch(self._journeys.bodies())

    def _batch(self, left: dict[str, bytes]) -> None:
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        whole = True
        while left:
            answers = {layer: self._send(layer, body) for layer, body in left.items()}
            taken = [layer for layer, answer in answers.items() if answer()]
            self.spans += sum(self._journeys.spans_of[layer] for layer in taken)
            left = {layer: body for layer, body in left.items() if layer not in taken}
            self.refused += len(left)
            if left and time.monotonic() > deadline:
                self.given_up += len(left)
                whole = False
                break
            if left:
                time.sleep(_PAUSE_SECONDS)
        self.traces += TRACES_PER_REQUEST if whole else 0


class Connection:
    """A client's own connection to the gateways' address: OTLP over gRPC, TLS verified, every layer's login."""

    def __init__(self, platform: Platform) -> None:
        roots = grpc.ssl_channel_credentials(platform.ca_certificate.encode())
        # Else all channels of this process share one connection, and so one gateway.
        self._channel = grpc.secure_channel(platform.otlp_grpc, roots, [("grpc.use_local_subchannel_pool", 1)])
        self._call: Any = self._channel.unary_unary(
            _EXPORT, request_serializer=bytes, response_deserializer=ExportTraceServiceResponse.FromString
        )
        self._headers = {layer.name: _headers(platform.otlp_credentials[layer.name]) for layer in LAYERS}

    def send(self, layer: str, body: bytes) -> Callable[[], bool]:
        """Begin to send a request; see `Send`."""
        future = self._call.future(body, timeout=_CALL_SECONDS, metadata=self._headers[layer])

        def taken() -> bool:
            try:
                return not future.result().partial_success.rejected_spans
            except grpc.RpcError:
                return False

        return taken

    def close(self) -> None:
        """End the connection."""
        self._channel.close()


def _headers(login: Login) -> list[tuple[str, str]]:
    return [("authorization", "Basic " + base64.b64encode(":".join(login.pair).encode()).decode())]
