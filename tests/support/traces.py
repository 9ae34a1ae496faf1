"""Generated traces straight into Kafka as the gateway would write them, and a Jaeger that remembers what it got."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from ops.drills.tools.span_load import SPANS_PER_TRACE, TOPIC, Sent, Traffic


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
