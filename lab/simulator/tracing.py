"""Turns request flows into traces: real context propagation between the services, by W3C headers with baggage."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link, SpanContext, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from components.telemetry.attributes import DATA_CLASSIFICATION
from components.telemetry.services import RECORDING
from lab.simulator.pipeline import Pipeline
from lab.simulator.steps import RequestFlow, Step

_NS = 1_000_000_000
_BATCH = 32
_COMPACTION_S = 0.2
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


class Tracing:
    """Emit request flows through the pipelines of the services that take part."""

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._by_instance: Mapping[str, Pipeline] = {pipeline.source.instance: pipeline for pipeline in pipelines}
        self._stored: deque[SpanContext] = deque(maxlen=_BATCH)

    def emit(self, request_flows: deque[RequestFlow], *, batch: bool) -> None:
        """Emit all request flows, each as if it had just ended; then perhaps the batch of what they stored."""
        while request_flows:
            flow = request_flows.popleft()
            context = Context()
            for key, value in flow.baggage.items():
                context = baggage.set_baggage(key, value, context)
            # The device's request brings no trace: its edge begins one.
            self._step(flow.root, time.time_ns() - _ns(flow.root.whole_s), context, ())
        if batch and self._stored:
            self._compact()

    def _step(self, step: Step, start: int, context: Context, links: Sequence[Link]) -> None:
        pipeline = self._by_instance[f"{step.service.name}-1"]
        operation = step.service.operation(step.operation)
        span, inside = pipeline.open(
            step.operation,
            start,
            context,
            kind=SpanKind[operation.kind.name],
            attributes={
                **step.attributes,
                **{key: str(value) for key, value in baggage.get_all(context).items()},
                DATA_CLASSIFICATION: operation.classification,
            },
            error=step.error,
            links=links,
        )
        for note in step.logs:
            writer = self._by_instance[note.instance] if note.instance else pipeline
            writer.write(note.event, inside, start + _ns(step.work_s / 2))
        begin = start + _ns(step.work_s / 2)
        for call in step.calls:
            there = inside if call.service is step.service else _carried(inside)
            self._step(call, begin, there, ())
            begin += _ns(call.duration_s)
        end = start + _ns(step.duration_s)
        span.end(end_time=end)
        if step.service is RECORDING and operation.kind.name == "CONSUMER" and not step.error:
            self._stored.append(span.get_span_context())
        if step.handed is not None:
            self._handed(step.handed, end + _ns(step.delay_s), inside)

    def _handed(self, step: Step, start: int, context: Context) -> None:
        """A consumer goes on with the message's trace, and links to the span that made the message."""
        there = _carried(context)
        maker = get_current_span(there).get_span_context()
        self._step(step, start, there, (Link(maker),))

    def _compact(self) -> None:
        """A trace of its own for a batch, linked to the traces of all streams in it."""
        name = "compact batch"
        pipeline, operation = self._by_instance[f"{RECORDING.name}-1"], RECORDING.operation(name)
        end = time.time_ns()
        span, _ = pipeline.open(
            name,
            end - _ns(_COMPACTION_S),
            Context(),
            kind=SpanKind[operation.kind.name],
            attributes={"recording.batch.segments": len(self._stored), DATA_CLASSIFICATION: operation.classification},
            links=[Link(span_context) for span_context in self._stored],
        )
        span.end(end_time=end)
        self._stored.clear()


def _carried(context: Context) -> Context:
    """What the next service knows: what the headers of a request or message tell it."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers, context)
    return _PROPAGATOR.extract(headers, Context())


def _ns(seconds: float) -> int:
    return round(seconds * _NS)
