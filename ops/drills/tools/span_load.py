"""Traces of known fate through the gateway, at a steady rate, and what of them is stored afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from components.sampler import WORKLOAD as SAMPLER
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.services import TRACED_SERVICES, TracedService
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.otlp import OtlpClient
from ops.core.terminal import say
from ops.core.web import Web
from ops.drills.tools.load import Load, Send
from ops.drills.tools.search_client import SearchClient

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

    def __init__(self, seed: int, *, failed: float = 0.01, slow: float = 0.01, throughout: bool = False) -> None:
        """Make these shares of the traces failed and slow; failed ones in each of their spans where ``throughout``."""
        self._random = Random(seed)
        self._failed, self._slow, self._throughout = failed, slow, throughout

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
                if sort is Sort.FAILED and (is_special or self._throughout):
                    span.status.code = Status.STATUS_CODE_ERROR
                parent, number = span.span_id, number + 1
        record: bytes = data.SerializeToString()
        return record


@dataclass
class Sent:
    """What was produced: trace id -> sort, and when."""

    sorts: dict[bytes, Sort] = field(default_factory=dict)
    times: dict[bytes, float] = field(default_factory=dict)

    def of(self, sort: Sort) -> set[bytes]:
        """Ids of the traces of one sort."""
        return {trace_id for trace_id, own in self.sorts.items() if own is sort}


GIVE_UP_S = 60.0
NOTHING_MORE_S = 30.0
"""Longer than an export may take (20 s) and the pause before the next try (5 s at most)."""
_NAMES = [f"operation-{number}" for number in range(SPANS_PER_TRACE)]


@dataclass(frozen=True)
class Batch:
    """Some traces: their sorts, and what each layer sends of them."""

    sorts: dict[bytes, Sort]
    bodies: dict[str, bytes]


def batches(traffic: Traffic, size: int) -> Iterator[Batch]:
    """Batches without end."""
    while True:
        traces = [traffic.trace() for _ in range(size)]
        yield Batch({trace.trace_id: trace.sort for trace in traces}, _by_layer(traces))


def prepared(traffic: Traffic, size: int, count: int) -> list[Batch]:
    """Batches of ``count`` traces, made in advance: making them while they are sent would slow the sending down."""
    return list(islice(batches(traffic, size), -(-count // size)))


def _by_layer(traces: list[Trace]) -> dict[str, bytes]:
    """A request per layer. Messages that are written one after the other are one message with all their lists."""
    parts: dict[str, list[bytes]] = {}
    for trace in traces:
        for resource in TracesData.FromString(trace.record).resource_spans:
            layer = next(
                attribute.value.string_value for attribute in resource.resource.attributes if attribute.key == "layer"
            )
            parts.setdefault(layer, []).append(TracesData(resource_spans=[resource]).SerializeToString())
    return {layer: b"".join(part) for layer, part in parts.items()}


class SpanLoad(Load):
    """Sends batches at a rate; a request that fails is sent again, unchanged, up to a limit."""

    def __init__(self, context: Context, source: Iterator[Batch], *, per_second: float, workers: int = 4) -> None:
        super().__init__(workers, give_up_after=GIVE_UP_S)
        self.sent = Sent()
        self.begun = time.time()
        self._context, self._source, self._per_second = context, source, per_second
        self._lock = threading.Lock()
        self._first = self._due = self._ended = time.monotonic()

    @property
    def rate(self) -> float:
        """Traces per second that were taken."""
        return len(self.sent.sorts) / max(self._ended - self._first, 0.001) if self.sent.sorts else 0.0

    def finish(self, seconds: float) -> None:
        """Wait until all batches are sent; the source has to have an end.

        Raises:
            OpsError: They were not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.1))
            if thread.is_alive():
                raise OpsError(f"the traces were not sent within {seconds:.0f} s")

    def __enter__(self) -> SpanLoad:
        self._first = self._due = time.monotonic()
        super().__enter__()
        return self

    def _next(self) -> tuple[Batch | None, float]:
        with self._lock:
            batch = next(self._source, None)
            due = self._due
            # Who is late does not hurry afterwards: the rate would be another one.
            self._due = max(due, time.monotonic() - 1.0) + len(batch.sorts) / self._per_second if batch else due
        return batch, due

    def _work(self, worker: int) -> None:
        web = Web(self._context.ca_file)
        client = OtlpClient(self._context.platform, web)
        try:
            while not self._stopping.is_set():
                batch, due = self._next()
                if batch is None:
                    return
                self._stopping.wait(max(due - time.monotonic(), 0.0))
                taken = [self._taken(_sending(client, layer, body)) for layer, body in batch.bodies.items()]
                with self._lock:
                    if all(taken):
                        self.sent.sorts.update(batch.sorts)
                        self.sent.times.update(dict.fromkeys(batch.sorts, time.time()))
                    else:
                        self.ledger.given_up |= {(worker, number) for number in range(len(batch.sorts))}
                    self._ended = time.monotonic()
        finally:
            web.close()


def _sending(client: OtlpClient, layer: str, body: bytes) -> Send:
    return lambda: (client.post("traces", body, client.login(layer))[0], 0)


@dataclass
class Stored:
    """Spans that are stored: trace id -> ids of its spans; and documents, of which there may be more."""

    spans: dict[bytes, set[str]] = field(default_factory=dict)
    documents: int = 0

    @property
    def doubled(self) -> int:
        """Documents of spans that another document holds already."""
        return self.documents - sum(map(len, self.spans.values()))

    def whole(self, wanted: set[bytes]) -> set[bytes]:
        """Those of ``wanted`` of which every span is there."""
        return {trace_id for trace_id in wanted if len(self.spans.get(trace_id, ())) == SPANS_PER_TRACE}

    def torn(self, wanted: set[bytes]) -> set[bytes]:
        """Those of ``wanted`` of which some spans are there and some are not."""
        return {trace_id for trace_id in wanted if trace_id in self.spans} - self.whole(wanted)

    def lost(self, wanted: set[bytes]) -> int:
        """Spans of ``wanted`` that are not there."""
        return sum(SPANS_PER_TRACE - len(self.spans.get(trace_id, ())) for trace_id in wanted)


def stored(search: SearchClient, sent: Sent, begun: float) -> Stored:
    """What is stored of the traces that were sent since ``begun``."""
    query = {
        "bool": {
            "filter": [
                {"terms": {"operationName": _NAMES}},
                {"range": {"startTimeMillis": {"gte": int((begun - 60) * 1000)}}},
            ]
        }
    }
    spans_stored = Stored()
    for hit in search.hits(query, ["traceID", "spanID"]):
        trace_id = bytes.fromhex(hit["traceID"].zfill(32))
        if trace_id in sent.sorts:
            spans_stored.spans.setdefault(trace_id, set()).add(hit["spanID"])
            spans_stored.documents += 1
    return spans_stored


def await_stored(search: SearchClient, sent: Sent, begun: float, wanted: set[bytes], seconds: float) -> Stored:
    """What is stored, as soon as all of ``wanted`` is there whole, or nothing more comes, or after ``seconds``.

    What is late is not lost: a sampler whose export got no answer in time sends again.
    """
    say(f"counting the spans in the index, {seconds:.0f} s for those that are late")
    deadline, most, grown = time.monotonic() + seconds, -1, time.monotonic()
    while True:
        spans_stored = stored(search, sent, begun)
        count = sum(map(len, spans_stored.spans.values()))
        if count > most:
            most, grown = count, time.monotonic()
        over = time.monotonic() > min(deadline, grown + NOTHING_MORE_S)
        if spans_stored.whole(wanted) == wanted or over:
            return spans_stored
        time.sleep(2.0)


def await_decisions(context: Context, seconds: float, wait_s: float) -> None:
    """Wait until the samplers have read everything, decided about it and sent it."""
    wait_until(lambda: sum(context.kafka.lag(SAMPLER).values()) < 100, seconds, "the samplers to catch up", 2.0)
    # One second until the next decision, one for Jaeger's bulk and the index' refresh each.
    time.sleep(wait_s + 3.0)
