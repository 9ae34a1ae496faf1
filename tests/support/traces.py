"""Traffic of traces whose fate is known, straight into Kafka as the gateway would, and a Jaeger that remembers it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import grpc
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.services import TRACED_SERVICES, TracedService

TOPIC = TOPIC_OF_SIGNAL[Signal.TRACES]
SPANS_PER_TRACE = 3
_MS = 1_000_000


class Sort(StrEnum):
    """What a trace is like."""

    PLAIN = "plain"
    FAILED = "failed"
    SLOW = "slow"


@dataclass(frozen=True)
class Trace:
    """One generated trace: a record, as the gateway's exporter would write it."""

    trace_id: bytes
    sort: Sort
    record: bytes


class Traffic:
    """Traces of two neighbouring services of the end-to-end trace; the same seed gives the same trace ids.

    A failed trace has one failed span, a slow one has one span that is a little over its service's limit; a plain one
    has a span just under it. Which span it is changes from trace to trace.
    """

    def __init__(self, seed: int, *, failed: float = 0.01, slow: float = 0.01) -> None:
        """Make these shares of the traces failed and slow."""
        self._random = Random(seed)
        self._failed, self._slow = failed, slow

    def trace(self) -> Trace:
        """The next trace; it ends now."""
        draw = self._random.random()
        sort = Sort.FAILED if draw < self._failed else Sort.SLOW if draw < self._failed + self._slow else Sort.PLAIN
        trace_id = self._random.randbytes(16)
        caller = self._random.randrange(len(TRACED_SERVICES) - 1)
        special = self._random.randrange(SPANS_PER_TRACE)
        return Trace(trace_id, sort, self._record(trace_id, sort, TRACED_SERVICES[caller : caller + 2], special))

    def _record(self, trace_id: bytes, sort: Sort, services: tuple[TracedService, ...], special: int) -> bytes:
        data = TracesData()
        parent, number, end = b"", 0, time.time_ns()
        for service in services:
            resource = data.resource_spans.add()
            identity = {"layer": service.layer.name, "service.name": service.name, "service.instance.id": service.name}
            for key, value in identity.items():
                resource.resource.attributes.add(key=key).value.string_value = value
            spans = resource.scope_spans.add().spans
            kinds = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT) if not parent else (Span.SPAN_KIND_SERVER,)
            for kind in kinds:
                is_special = number == special
                over = is_special and sort is Sort.SLOW
                limit_ms = service.latency_limit_ms
                duration_ms = limit_ms + 1 if over else limit_ms - 1 if is_special else min(20, limit_ms)
                span = spans.add(
                    trace_id=trace_id,
                    span_id=self._random.randbytes(8),
                    parent_span_id=parent,
                    name=f"operation-{number}",
                    kind=kind,
                    start_time_unix_nano=end - duration_ms * _MS,
                    end_time_unix_nano=end,
                )
                span.attributes.add(key="data.classification").value.string_value = "internal"
                if is_special and sort is Sort.FAILED:
                    span.status.code = Status.STATUS_CODE_ERROR
                parent, number = span.span_id, number + 1
        return data.SerializeToString()


@dataclass
class Sent:
    """What was produced: trace id -> sort, and when."""

    sorts: dict[bytes, Sort] = field(default_factory=dict)
    times: dict[bytes, float] = field(default_factory=dict)

    def of(self, sort: Sort) -> set[bytes]:
        """Ids of the traces of one sort."""
        return {trace_id for trace_id, own in self.sorts.items() if own is sort}


def produce(
    client: Mapping[str, Any],
    traffic: Traffic,
    *,
    count: int,
    per_second: float,
    topic: str = TOPIC,
    together: int = 1,
) -> Sent:
    """Write ``count`` traces at a steady rate and wait until Kafka has them all.

    Args:
        client: Settings of the producer.
        traffic: The traces.
        count: How many.
        per_second: The rate.
        topic: Where to.
        together: Traces in one record, as the gateways fill them.

    Raises:
        AssertionError: Kafka did not acknowledge all of them within a minute.
    """
    producer = Producer({**client, "acks": "all", "compression.type": "snappy", "linger.ms": 20})
    sent = Sent()
    waiting: list[bytes] = []
    begun = time.monotonic()
    for number in range(count):
        ahead = number / per_second - (time.monotonic() - begun)
        if ahead > 0.01:
            producer.poll(0)
            time.sleep(ahead)
        trace = traffic.trace()
        waiting.append(trace.record)
        if len(waiting) == together or number == count - 1:
            # Messages that are written one after the other are one message with all their lists.
            producer.produce(topic, b"".join(waiting), key=trace.trace_id.hex())
            waiting.clear()
        sent.sorts[trace.trace_id] = trace.sort
        sent.times[trace.trace_id] = time.monotonic()
    left = producer.flush(60)
    assert left == 0, f"{left} of {count} traces were not acknowledged within 60 s"
    return sent


class KeptTraces(trace_service_pb2_grpc.TraceServiceServicer):
    """Remembers which spans arrived, and when each trace was whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spans: dict[bytes, int] = {}
        self.times: dict[bytes, float] = {}
        self.refuse = False

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  (gRPC's name)
        """Take a request, or tell the client to try again."""
        if self.refuse:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        now = time.monotonic()
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans[span.trace_id] = self.spans.get(span.trace_id, 0) + 1
                        self.times[span.trace_id] = now
        return trace_service_pb2.ExportTraceServiceResponse()

    def whole(self, wanted: set[bytes]) -> set[bytes]:
        """Those of ``wanted`` of which every span is here, once."""
        with self._lock:
            return {trace_id for trace_id in wanted if self.spans.get(trace_id) == SPANS_PER_TRACE}

    def any(self, wanted: set[bytes]) -> set[bytes]:
        """Those of ``wanted`` of which some span is here."""
        with self._lock:
            return {trace_id for trace_id in wanted if trace_id in self.spans}


@contextmanager
def jaeger(folder: Path) -> Iterator[tuple[KeptTraces, int]]:
    """OTLP over gRPC with mutual TLS, certificates from ``folder``; yields what arrives and the port."""
    kept = KeptTraces()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    pair = ((folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes())
    authority = (folder / "ca.crt").read_bytes()
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=True)
    )
    server.start()
    try:
        yield kept, port
    finally:
        server.stop(0).wait(5)
