"""Generated traces whose fate is known, as the gateway's exporter would write them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

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
