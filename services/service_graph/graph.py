"""Finds calls between services: a span and its parent, or a consumer and the producer that it is linked to.

Spans come in any order and from several records, so each is remembered for a while: in a young and an old generation,
of which the old one is forgotten when the young one has lived for the window. What waits for its parent waits as long.
Spans are decoded only as far as this needs them: the message types list a few fields of OTLP's own, and the decoder
skips all others (names, attributes, events), which is most of the bytes. Calls are counted since the start for
Prometheus, and since the last document for Jaeger.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
"""Values of `Span.kind`."""
ERROR = 2
"""Value of `Status.code`."""
UNKNOWN_SERVICE = "unknown_service"
_PACKAGE = "obs.service_graph"
_FIELD = descriptor_pb2.FieldDescriptorProto
# Message -> fields: name, number in opentelemetry/proto/trace/v1/trace.proto, type (another message of these, or a
# scalar), whether it repeats. Enumerations are plain integers on the wire.
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Traces": (("resource_spans", 1, "ResourceSpans", True),),
    "ResourceSpans": (("resource", 1, "Resource", False), ("scope_spans", 2, "ScopeSpans", True)),
    "Resource": (("attributes", 1, "KeyValue", True),),
    "KeyValue": (("key", 1, "string", False), ("value", 2, "AnyValue", False)),
    "AnyValue": (("string_value", 1, "string", False),),
    "ScopeSpans": (("spans", 2, "Span", True),),
    "Span": (
        ("trace_id", 1, "bytes", False),
        ("span_id", 2, "bytes", False),
        ("parent_span_id", 4, "bytes", False),
        ("kind", 6, "int32", False),
        ("start_time_unix_nano", 7, "fixed64", False),
        ("end_time_unix_nano", 8, "fixed64", False),
        ("links", 13, "Link", True),
        ("status", 15, "Status", False),
    ),
    "Link": (("trace_id", 1, "bytes", False), ("span_id", 2, "bytes", False)),
    "Status": (("code", 3, "int32", False),),
}
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "fixed64": _FIELD.TYPE_FIXED64,
}
Known = tuple[str, int, int, bool, int]
"""A span's service, kind, duration in nanoseconds, whether it failed, and what it is news for."""
Call = Callable[[str, str, int, int, bool, int], None]
"""Told of each call: caller, called, duration there, duration seen by the caller (0: unknown), whether it failed, and
what it is news for: a call is known only where both its spans are."""
BUCKETS_S: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)
_NS = 1_000_000_000
_BOUNDS_NS = [round(bound * _NS) for bound in BUCKETS_S]
_LABELS = ["client", "server"]
Edge = tuple[str, str]


def _decoder() -> Callable[[bytes], Any]:
    file = descriptor_pb2.FileDescriptorProto(name="obs/service_graph.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            scalar = _SCALARS.get(kind)
            described.field.add(
                name=name,
                number=number,
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
                type=_FIELD.TYPE_MESSAGE if scalar is None else scalar,
                type_name=f".{_PACKAGE}.{kind}" if scalar is None else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Traces"))
    decode: Callable[[bytes], Any] = message_class.FromString
    return decode


decode = _decoder()
"""Decode one Kafka record. Raises `google.protobuf.message.DecodeError` where it is no OTLP."""


def service_name(resource: Any) -> str:
    """Value of ``service.name``."""
    for attribute in resource.attributes:
        if attribute.key == "service.name":
            return attribute.value.string_value or UNKNOWN_SERVICE
    return UNKNOWN_SERVICE


@dataclass
class _Generation:
    """Spans, and by the caller that they wait for those whose caller has not come; a span may wait for several."""

    spans: dict[bytes, Known] = field(default_factory=dict)
    waiting: dict[bytes, list[tuple[Known, bool]]] = field(default_factory=dict)
    waits: int = 0

    @property
    def size(self) -> int:
        return len(self.spans) + self.waits


class Matcher:
    """Remembers spans and tells of calls."""

    def __init__(self, window_ms: int, most_spans: int) -> None:
        """Match spans that come within ``window_ms`` of each other.

        A generation ends early once it remembers ``most_spans``. A span counts once, and once more for each caller that
        it waits for: links lead to as many as a client likes.
        """
        self._window_ms = window_ms
        self._most = most_spans
        self._turned_at = 0
        self._young, self._old = _Generation(), _Generation()
        self.forgotten_early = 0
        self.unmatched = 0

    @property
    def remembered(self) -> int:
        """Spans in memory, and callers that they wait for."""
        return self._young.size + self._old.size

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = _Generation(), _Generation()

    def add(self, traces: Any, now_ms: int, call: Call, news: int = 1) -> int:
        """Take the spans of one record that was written at ``now_ms``; returns their number.

        Args:
            traces: The record.
            now_ms: When it was written.
            call: Told of the calls that it completes.
            news: Bits for those to whom the record is news; a call is news where one of its two spans is.
        """
        if now_ms - self._turned_at >= self._window_ms or self._young.size >= self._most:
            self._turn(now_ms)
        young, old, taken, later = self._young, self._old, 0, []
        for group in traces.resource_spans:
            service = service_name(group.resource)
            for scope in group.scope_spans:
                for span in scope.spans:
                    taken += 1
                    trace_id, kind = span.trace_id, span.kind
                    duration = span.end_time_unix_nano - span.start_time_unix_nano
                    own = (service, kind, duration if duration > 0 else 0, span.status.code == ERROR, news)
                    key = trace_id + span.span_id
                    young.spans[key] = own
                    parent = span.parent_span_id
                    if parent:
                        later.append((trace_id + parent, own, False))
                    if kind == CONSUMER and span.links:
                        later += [
                            (link.trace_id + link.span_id, own, True)
                            for link in span.links
                            if link.span_id != parent or link.trace_id != trace_id
                        ]
                    if young.waits or old.waits:
                        self._released(key, own, call)
        for parent_key, own, linked in later:
            known = young.spans.get(parent_key) or old.spans.get(parent_key)
            if known is None:
                young.waiting.setdefault(parent_key, []).append((own, linked))
                young.waits += 1
            elif known[0] != own[0]:
                _log_change(known, own, linked, call)
        return taken

    def _released(self, key: bytes, own: Known, call: Call) -> None:
        for generation in (self._young, self._old):
            released = generation.waiting.pop(key, ())
            generation.waits -= len(released)
            for child, linked in released:
                if child[0] != own[0]:
                    _log_change(own, child, linked, call)

    def _turn(self, now_ms: int) -> None:
        if now_ms - self._turned_at < self._window_ms:
            self.forgotten_early += self._old.size
        self.unmatched += self._old.waits
        self._turned_at = now_ms
        self._old, self._young = self._young, _Generation()


def _log_change(caller: Known, called: Known, linked: bool, call: Call) -> None:
    if linked and caller[1] != PRODUCER:
        return
    seen = caller[2] if caller[1] == CLIENT else 0
    call(caller[0], called[0], called[2], seen, caller[3] or called[3], caller[4] | called[4])


@dataclass
class _Latency:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_ns: int = 0

    def observe(self, duration_ns: int) -> None:
        self.buckets[bisect_left(_BOUNDS_NS, duration_ns)] += 1
        self.total_ns += duration_ns

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        sums, total = [], 0
        for count in self.buckets:
            total += count
            sums.append(float(total))
        return list(zip(names, sums, strict=True))


@dataclass
class _Calls:
    calls: int = 0
    failed: int = 0
    served: _Latency = field(default_factory=_Latency)
    waited: _Latency = field(default_factory=_Latency)


class EdgeMetrics(Collector):
    """The map since the start, with a bound on the number of its edges: clients choose the names of services."""

    def __init__(self, most: int) -> None:
        """Tell ``most`` edges apart at most."""
        self._most = most
        self._lock = threading.Lock()
        self._edges: dict[Edge, _Calls] = {}
        self.beyond = 0

    def add(self, client: str, server: str, served_ns: int, waited_ns: int, failed: bool) -> None:
        """Count one call."""
        edge = (client, server)
        with self._lock:
            calls = self._edges.get(edge)
            if calls is None:
                if len(self._edges) >= self._most:
                    self.beyond += 1
                    return
                calls = self._edges[edge] = _Calls()
            calls.calls += 1
            calls.failed += failed
            calls.served.observe(served_ns)
            if waited_ns:
                calls.waited.observe(waited_ns)

    def collect(self) -> Iterator[Metric]:
        """Yield the map under the names that Grafana's service graph reads."""
        calls = CounterMetricFamily("traces_service_graph_request", "Calls between two services", labels=_LABELS)
        failed = CounterMetricFamily(
            "traces_service_graph_request_failed", "Calls that failed on either side", labels=_LABELS
        )
        served = HistogramMetricFamily(
            "traces_service_graph_request_server_seconds", "Duration in the called service", labels=_LABELS
        )
        waited = HistogramMetricFamily(
            "traces_service_graph_request_client_seconds", "Duration seen by a waiting caller", labels=_LABELS
        )
        with self._lock:
            for edge, edge_calls in sorted(self._edges.items()):
                names = list(edge)
                calls.add_metric(names, edge_calls.calls)
                failed.add_metric(names, edge_calls.failed)
                for family, latency in ((served, edge_calls.served), (waited, edge_calls.waited)):
                    family.add_metric(names, latency.cumulative(), latency.total_ns / _NS)
        yield from (calls, failed, served, waited)


class Tally:
    """Calls since the last document."""

    def __init__(self, most: int) -> None:
        """Hold ``most`` edges at most."""
        self._most = most
        self.calls: dict[Edge, int] = {}
        self.newest_ms = 0

    def add(self, client: str, server: str) -> None:
        """Count one call."""
        edge = (client, server)
        count = self.calls.get(edge, 0)
        if count or len(self.calls) < self._most:
            self.calls[edge] = count + 1

    def clear(self) -> None:
        """Begin again."""
        self.calls.clear()
        self.newest_ms = 0


def links(calls: Mapping[Edge, int]) -> list[dict[str, str | int]]:
    """The calls as Jaeger's ``dependencies``."""
    return [
        {"parent": client, "child": server, "callCount": count} for (client, server), count in sorted(calls.items())
    ]


def document(calls: Mapping[Edge, int], newest_ms: int) -> dict[str, Any]:
    """A document as Jaeger 2 reads it: calls, and the time at which the last of them was recorded."""
    moment = datetime.datetime.fromtimestamp(newest_ms / 1000, datetime.UTC)
    return {"timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "dependencies": links(calls)}


def document_id(topic: str, first_offsets: Mapping[int, int]) -> str:
    """Name of the document that begins at these offsets of the topic's partitions.

    What is read again after a crash begins at the same offsets, so it replaces what may have been written already.
    """
    text = json.dumps([topic, sorted(first_offsets.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
