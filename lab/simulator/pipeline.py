"""OpenTelemetry SDK per source, without a thread of its own: values, operations and events become SDK data, request
flows become traces by real context propagation (W3C headers with baggage).

Every source is a resource and so needs its own providers. Their usual readers and batch processors would be a thread
each; here one thread collects them all, and what one layer produced leaves in one request per signal.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry import baggage
from opentelemetry._logs import SeverityNumber
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, ResourceMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from components.telemetry import attributes as keys
from components.telemetry.attributes import DATA_CLASSIFICATION
from components.telemetry.catalogue import Metric
from components.telemetry.layers import Signal
from components.telemetry.naming import Kind
from components.telemetry.services import RECORDING
from lab.simulator.devices import Event, Operation, Source
from lab.simulator.request_flows import RequestFlow, Step

VERSION = "1.0.0"
_SCOPE = "obs.simulator"
_SEVERITIES = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN, "ERROR": SeverityNumber.ERROR}
_CLASSIFICATION = {"streaming": "confidential", "device": "confidential"}
_NS = 1_000_000_000


class _Spans(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


class _Logs(LogRecordProcessor):
    def __init__(self) -> None:
        self.emitted: list[ReadableLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.emitted.append(
            ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource or Resource.get_empty(),
                instrumentation_scope=log_record.instrumentation_scope,
            )
        )

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True


class Pipeline:
    """The SDK's providers of one source; signals that its layer may not send have none."""

    def __init__(self, source: Source, environment: str) -> None:
        self.source = source
        resource = Resource.create(resource_attributes(source, environment))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider(metric_readers=[self._reader], resource=resource, shutdown_on_exit=False)
        self._meter = meters.get_meter(_SCOPE, VERSION)
        self._histograms: dict[str, Histogram] = {}
        for metric in source.metrics.values():
            self._create(metric)
        self._logs = _Logs()
        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        loggers.add_log_record_processor(self._logs)
        self._logger = loggers.get_logger(_SCOPE, VERSION)
        self._spans = _Spans()
        self._tracer = None
        if source.layer.may_send(Signal.TRACES):
            tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            tracers.add_span_processor(self._spans)
            self._tracer = tracers.get_tracer(_SCOPE, VERSION)

    def metrics(self) -> list[ResourceMetrics]:
        """Current values of all metrics."""
        for name, attributes, value in self.source.drain_measurements():
            self._histograms[name].record(value, dict(attributes))
        data = self._reader.get_metrics_data()
        return list(data.resource_metrics) if data is not None else []

    def spans(self) -> list[ReadableSpan]:
        """Spans of the operations since the last call."""
        end = time.time_ns()
        while self.source.operations:
            operation = self.source.operations.popleft()
            if self._tracer is not None:
                self._span(operation, end - round(operation.duration_s * _NS), Context())
        ended, self._spans.ended = self._spans.ended, []
        return ended

    def logs(self) -> list[ReadableLogRecord]:
        """Log records of the events since the last call."""
        now = time.time_ns()
        while self.source.events:
            self.write(self.source.events.popleft(), Context(), now)
        emitted, self._logs.emitted = self._logs.emitted, []
        return emitted

    def write(self, event: Event, context: Context, moment: int) -> None:
        """Write a log record; it carries the ids of the span in ``context``."""
        if self.source.silent:
            return
        self._logger.emit(
            timestamp=moment,
            observed_timestamp=moment,
            context=context,
            severity_number=_SEVERITIES[event.severity],
            severity_text=event.severity,
            body=event.message,
            attributes=event.attributes,
            event_name=event.name,
        )

    def open(
        self,
        name: str,
        start: int,
        context: Context,
        *,
        kind: SpanKind,
        attributes: Mapping[str, str | int | float],
        error: str = "",
        links: Sequence[Link] = (),
    ) -> tuple[Span, Context]:
        """Begin a span; returns it and the context inside it.

        Raises:
            TypeError: The source's layer may not send traces.
        """
        if self._tracer is None:
            raise TypeError(f"{self.source.service} sends no traces: layer {self.source.layer.name} may not")
        span = self._tracer.start_span(
            name,
            context=context,
            kind=kind,
            attributes={**attributes, **({"error.type": error} if error else {})},
            links=links,
            start_time=start,
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        return span, set_span_in_context(span, context)

    def discard(self) -> None:
        """Forget what a silent source would have sent."""
        self.source.operations.clear()
        self.source.events.clear()
        for _ in self.source.drain_measurements():
            pass

    def _create(self, metric: Metric) -> None:
        common = {"name": metric.name, "unit": metric.unit, "description": metric.description}
        if metric.kind is Kind.HISTOGRAM:
            self._histograms[metric.name] = self._meter.create_histogram(
                **common, explicit_bucket_boundaries_advisory=metric.buckets
            )
            return
        create = {
            Kind.COUNTER: self._meter.create_observable_counter,
            Kind.UP_DOWN_COUNTER: self._meter.create_observable_up_down_counter,
            Kind.GAUGE: self._meter.create_observable_gauge,
        }[metric.kind]
        create(**common, callbacks=[_observer(self.source, metric.name)])

    def _span(self, operation: Operation, start: int, parent: Context) -> None:
        span, inside = self.open(
            operation.name,
            start,
            parent,
            kind=SpanKind.SERVER if operation.server else SpanKind.CLIENT if parent else SpanKind.INTERNAL,
            attributes={**operation.attributes, keys.DATA_CLASSIFICATION: _classification(self.source)},
            error=operation.error,
        )
        begin = start
        for child in operation.children:
            self._span(child, begin, inside)
            begin += round(child.duration_s * _NS)
        end = start + round(operation.duration_s * _NS)
        for event in operation.events:
            self.write(event, inside, end)
        span.end(end_time=end)


def resource_attributes(source: Source, environment: str) -> dict[str, str]:
    """Resource attributes of a source, as the catalogue names them."""
    return {
        keys.LAYER: source.layer.name,
        keys.SERVICE_NAME: source.service,
        keys.SERVICE_INSTANCE_ID: source.instance,
        keys.SERVICE_VERSION: VERSION,
        "deployment.environment.name": environment,
        keys.DATA_CLASSIFICATION: _classification(source),
        **source.attributes,
    }


def _classification(source: Source) -> str:
    return _CLASSIFICATION.get(source.layer.name, "internal")


def _observer(source: Source, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, dict(attributes)) for attributes, value in source.values.get(name, {}).items()]

    return observe


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
