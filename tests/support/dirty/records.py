"""The corpus: records that hold secrets, and records that only look as if they did."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from components.telemetry.layers import Signal

DIRTY_FILES = ("japanese", "english", "nasty")
CASE = "case"
LAYER = "streaming"
Request = ExportLogsServiceRequest | ExportMetricsServiceRequest | ExportTraceServiceRequest
REQUESTS: dict[Signal, type[Request]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}


@dataclass(frozen=True)
class Record:
    """One record of the corpus.

    Attributes:
        id: Unique name; travels as the attribute `CASE`.
        at: Part of an OTLP record that holds the value, e.g. ``span.name`` or ``log.attribute``.
        key: Of an attribute.
        value: What a client sends.
        secrets: What must not be readable afterwards; empty for a clean record.
    """

    id: str
    at: str
    value: Any
    key: str = ""
    secrets: tuple[str, ...] = ()

    @property
    def signal(self) -> Signal:
        """Signal that carries the record; resources and scopes travel with logs."""
        part = self.at.partition(".")[0]
        if part in ("span", "event"):
            return Signal.TRACES
        return Signal.METRICS if part in ("metric", "point") else Signal.LOGS


@cache
def load(name: str) -> tuple[Record, ...]:
    """Records of one file."""
    entries = yaml.load((Path(__file__).parent / f"{name}.yaml").read_text(), yaml.CSafeLoader)
    return tuple(
        Record(entry["id"], entry["at"], entry["value"], entry.get("key", ""), tuple(entry.get("secrets", ())))
        for entry in entries
    )


def any_value(value: Any) -> AnyValue:
    """A value as OTLP has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
    result = AnyValue()
    if isinstance(value, list):
        result.array_value.values.extend(any_value(nested) for nested in value)
    else:
        for key, nested in value.items():
            result.kvlist_value.values.add(key=key).value.CopyFrom(any_value(nested))
    return result


def _attribute(target: Any, key: str, value: Any) -> None:
    target.attributes.add(key=key).value.CopyFrom(any_value(value))


def _resource(record: Record, resource: Resource) -> None:
    values = {"layer": LAYER, "service.name": "recorder", "service.instance.id": f"instance of {record.id}"}
    if record.at == "resource.attribute":
        values[record.key] = record.value
    for key, value in values.items():
        _attribute(resource, key, value)


def _scope(record: Record, scope: Any) -> None:
    scope.name = record.value if record.at == "scope.name" else "lib"
    if record.at == "scope.attribute":
        _attribute(scope, record.key, record.value)


def requests(records: Iterable[Record]) -> dict[Signal, list[Request]]:
    """One request per record."""
    by_signal: dict[Signal, list[Request]] = {signal: [] for signal in Signal}
    makers = {Signal.LOGS: _logs, Signal.METRICS: _metrics, Signal.TRACES: _traces}
    for record in records:
        by_signal[record.signal].append(makers[record.signal](record))
    return by_signal


def _logs(record: Record) -> Request:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    _resource(record, logs.resource)
    scope = logs.scope_logs.add()
    _scope(record, scope.scope)
    entry = scope.log_records.add(time_unix_nano=time.time_ns(), severity_text="INFO")
    _attribute(entry, CASE, record.id)
    entry.body.SetInParent()
    match record.at:
        case "log.body":
            entry.body.CopyFrom(any_value(record.value))
        case "log.attribute":
            _attribute(entry, record.key, record.value)
        case "log.severity":
            entry.severity_text = record.value
        case "log.event_name":
            entry.event_name = record.value
        case "resource.attribute" | "scope.attribute" | "scope.name":
            pass
        case _:
            raise AssertionError(record.at)
    return request


def _traces(record: Record) -> Request:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add()
    _resource(record, spans.resource)
    now = time.time_ns()
    span = spans.scope_spans.add().spans.add(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="work", start_time_unix_nano=now - 1_000_000, end_time_unix_nano=now
    )
    _attribute(span, CASE, record.id)
    span.status.SetInParent()
    event = span.events.add(name="happened", time_unix_nano=now)
    match record.at:
        case "span.name":
            span.name = record.value
        case "span.status":
            span.status.message = record.value
            span.status.code = 2
        case "span.trace_state":
            span.trace_state = record.value
        case "span.attribute":
            _attribute(span, record.key, record.value)
        case "event.name":
            event.name = record.value
        case "event.attribute":
            _attribute(event, record.key, record.value)
        case _:
            raise AssertionError(record.at)
    return request


def _metrics(record: Record) -> Request:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add()
    _resource(record, metrics.resource)
    metric = metrics.scope_metrics.add().metrics.add(name="corpus.value")
    point = metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=1)
    _attribute(point, CASE, record.id)
    match record.at:
        case "metric.name":
            metric.name = record.value
        case "metric.unit":
            metric.unit = record.value
        case "metric.description":
            metric.description = record.value
        case "point.attribute":
            _attribute(point, record.key, record.value)
        case _:
            raise AssertionError(record.at)
    return request
