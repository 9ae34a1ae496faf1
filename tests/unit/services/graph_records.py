"""Spans for tests of the service graph, as OTLP's own classes write them."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
PRODUCER, CONSUMER, INTERNAL = Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER, Span.SPAN_KIND_INTERNAL


@dataclass(frozen=True)
class One:
    """A span; ids are written as short texts."""

    service: str
    span: str
    parent: str = ""
    kind: int = SERVER
    trace: str = "t"
    milliseconds: int = 10
    failed: bool = False
    links: tuple[tuple[str, str], ...] = ()


def record(*spans: One) -> bytes:
    """One Kafka record."""
    data = TracesData()
    for sent in spans:
        group = data.resource_spans.add()
        group.resource.attributes.add(key="layer").value.string_value = "streaming"
        group.resource.attributes.add(key="count").value.int_value = 3
        if sent.service:
            group.resource.attributes.add(key="service.name").value.string_value = sent.service
        span = group.scope_spans.add().spans.add(
            trace_id=sent.trace.encode().ljust(16, b"."),
            span_id=sent.span.encode().ljust(8, b"."),
            parent_span_id=sent.parent.encode().ljust(8, b".") if sent.parent else b"",
            name=f"work of {sent.service}",
            kind=sent.kind,  # type: ignore[arg-type]
            start_time_unix_nano=1_000_000_000,
            end_time_unix_nano=1_000_000_000 + sent.milliseconds * 1_000_000,
        )
        span.attributes.add(key="http.request.method").value.string_value = "GET"
        span.events.add(name="something")
        for trace, other in sent.links:
            span.links.add(trace_id=trace.encode().ljust(16, b"."), span_id=other.encode().ljust(8, b"."))
        if sent.failed:
            span.status.code = Status.STATUS_CODE_ERROR
    return data.SerializeToString()
