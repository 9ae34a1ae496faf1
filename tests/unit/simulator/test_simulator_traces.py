"""The end-to-end trace as the gateway would see it: five services, one trace, nothing that names a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating

from components.telemetry.layers import LAYER_NAMES
from components.telemetry.services import EDGES, TRACED_SERVICES, TracedService
from lab.simulator.__main__ import Runner
from lab.simulator.config import Config, Fault
from services.service_graph.graph import Matcher, decode

BY_NAME = {service.name: service for service in TRACED_SERVICES}
NAMES = list(BY_NAME)
BATCH = "compact batch"
OWN_ATTRIBUTES = {"data.classification", "recording.batch.segments", "enduser.pseudo.id"}


@dataclass(frozen=True)
class Sent:
    """One span of the five services that arrived."""

    service: TracedService
    span: Any

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
            for attribute in self.span.attributes
        }

    @property
    def over_limit(self) -> bool:
        lasted = self.span.end_time_unix_nano - self.span.start_time_unix_nano
        return bool(lasted > self.service.latency_limit_ms * 1e6)

    @property
    def failed(self) -> bool:
        return bool(self.span.status.code == 2)


def run(config: Config, *, ticks: int = 1, seconds: float = 10, **changed: Any) -> None:
    """Live through ``ticks`` steps of ``seconds`` each, without waiting for them."""
    runner = Runner(replace(config, **changed), lambda *_, **__: None)
    for _ in range(ticks):
        runner.tick(seconds)
    runner.close()


def spans(receiver: Any) -> list[Sent]:
    return [
        Sent(BY_NAME[attributes["service.name"]], span)
        for _, attributes, resource in receiver.resources("/v1/traces")
        if attributes["service.name"] in NAMES
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def by_trace(receiver: Any) -> dict[bytes, list[Sent]]:
    """RequestFlows: traces that begin at the edge."""
    traces: dict[bytes, list[Sent]] = {}
    for sent in spans(receiver):
        traces.setdefault(sent.span.trace_id, []).append(sent)
    return {key: spans for key, spans in traces.items() if any(one.service.name == "device-edge" for one in spans)}


def logs(receiver: Any) -> Iterator[tuple[str, Any]]:
    """Layer and record of each log record."""
    for user, _, resource in receiver.resources("/v1/logs"):
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield user, record


def test_each_segment_is_one_trace_through_all_five_services(receiver: Any, config: Config) -> None:
    run(config)
    traces = by_trace(receiver)
    assert traces
    for trace in traces.values():
        assert {sent.service.name for sent in trace} == set(NAMES)
        [root] = [sent for sent in trace if not sent.span.parent_span_id]
        assert root.service.name == "device-edge"
        assert root.span.kind == Span.SPAN_KIND_SERVER
        ids = {sent.span.span_id for sent in trace}
        assert {sent.span.parent_span_id for sent in trace} - {b""} <= ids


def test_the_dependency_map_of_its_spans_is_the_expected_one(receiver: Any, config: Config) -> None:
    run(config, ticks=2)
    calls: set[tuple[str, str]] = set()
    matcher = Matcher(30_000, 10_000)
    for _, _, path, request in receiver.got:
        if path == "/v1/traces":
            data = TracesData(resource_spans=request.resource_spans)
            matcher.add(decode(data.SerializeToString()), 0, lambda client, server, *_: calls.add((client, server)))
    assert calls == set(EDGES)


def test_every_span_is_one_of_the_services_operations_with_its_kind_and_class(receiver: Any, config: Config) -> None:
    run(config, ticks=2, seconds=31)
    seen = set()
    for sent in spans(receiver):
        operation = sent.service.operation(sent.span.name)
        assert Span.SpanKind.Name(sent.span.kind) == f"SPAN_KIND_{operation.kind}"
        assert sent.attributes["data.classification"] == operation.classification
        seen.add((sent.service.name, operation.name))
    assert seen == {(service.name, operation.name) for service in TRACED_SERVICES for operation in service.operations}


def test_a_resource_is_never_stricter_than_its_least_strict_span(receiver: Any, config: Config) -> None:
    run(config)
    for _, attributes, _ in receiver.resources("/v1/traces"):
        if attributes["service.name"] in NAMES:
            assert attributes["data.classification"] == BY_NAME[attributes["service.name"]].classification


def test_device_and_worker_travel_as_keyed_hashes_in_the_baggage(receiver: Any, config: Config) -> None:
    run(config)
    for spans in by_trace(receiver).values():
        for key in ("device.id", "enduser.pseudo.id"):
            assert len({sent.attributes[key] for sent in spans}) == 1, f"{key} differs within a trace"
        assert "dev-0" not in "".join(str(sent.span) for sent in spans)
    devices = {spans[0].attributes["device.id"] for spans in by_trace(receiver).values()}
    assert len(devices) == len(by_trace(receiver)), "devices must be told apart"


def test_consumers_link_to_the_span_that_made_their_message(receiver: Any, config: Config) -> None:
    run(config)
    for spans in by_trace(receiver).values():
        consumers = [sent.span for sent in spans if sent.span.kind == Span.SPAN_KIND_CONSUMER]
        assert len(consumers) == 2
        for consumer in consumers:
            [link] = consumer.links
            assert (link.trace_id, link.span_id) == (consumer.trace_id, consumer.parent_span_id)


def test_a_batch_is_a_trace_of_its_own_with_links_to_the_streams_in_it(receiver: Any, config: Config) -> None:
    run(config, seconds=31)
    batches = [sent.span for sent in spans(receiver) if sent.span.name == BATCH]
    assert batches
    stored = {
        (sent.span.trace_id, sent.span.span_id)
        for sent in spans(receiver)
        if sent.service.name == "recording" and sent.span.kind == Span.SPAN_KIND_CONSUMER
    }
    for batch in batches:
        assert not batch.parent_span_id
        linked = {(link.trace_id, link.span_id) for link in batch.links}
        assert linked
        assert linked <= stored
        assert batch.trace_id not in {trace_id for trace_id, _ in linked}


def test_attributes_are_those_of_the_semantic_conventions(receiver: Any, config: Config) -> None:
    known = set(OWN_ATTRIBUTES)
    for package in (stable, incubating):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            known |= {value for value in vars(import_module(module.name)).values() if isinstance(value, str)}
    run(config, seconds=31)
    used = {key for sent in spans(receiver) for key in sent.attributes}
    assert used <= known


def test_without_a_fault_no_trace_fails_and_none_is_slow(receiver: Any, config: Config) -> None:
    run(config, ticks=5, devices=20)
    assert not [sent for sent in spans(receiver) if sent.failed or sent.over_limit]


def test_the_error_fault_fails_as_many_traces_as_it_says_in_every_service(receiver: Any, config: Config) -> None:
    run(config, devices=40, seconds=60, faults=(Fault(kind="trace-errors", duration=1000, magnitude=0.5),))
    traces = by_trace(receiver)
    failed = {key: trace for key, trace in traces.items() if any(sent.failed for sent in trace)}
    assert 0.35 < len(failed) / len(traces) < 0.65
    assert {sent.service.name for spans in failed.values() for sent in spans if sent.failed} == set(NAMES)
    for spans in failed.values():
        assert all(sent.attributes["error.type"] for sent in spans if sent.failed)
        assert not any(sent.over_limit for sent in spans)


def test_who_called_a_failed_service_reports_it(receiver: Any, config: Config) -> None:
    run(config, devices=40, seconds=60, faults=(Fault(kind="trace-errors", duration=1000, magnitude=1),))
    seen = 0
    for spans in by_trace(receiver).values():
        by_id = {sent.span.span_id: sent for sent in spans}
        for sent in spans:
            parent = by_id.get(sent.span.parent_span_id)
            if sent.failed and sent.span.kind == Span.SPAN_KIND_SERVER and parent is not None:
                seen += 1
                assert parent.failed
                assert parent.attributes["http.response.status_code"] == 500
    assert seen


def test_a_failed_service_says_so_in_a_log_of_the_same_span(receiver: Any, config: Config) -> None:
    run(config, devices=20, seconds=60, faults=(Fault(kind="trace-errors", duration=1000, magnitude=1),))
    failed = {(sent.span.trace_id, sent.span.span_id) for sent in spans(receiver) if sent.failed}
    said = [record for _, record in logs(receiver) if record.severity_text == "ERROR" and record.trace_id]
    told = {record.trace_id for record in said}
    assert {trace_id for trace_id, _ in failed} == told
    assert {(record.trace_id, record.span_id) for record in said} <= failed
    assert all(any(attribute.key == "error.type" for attribute in record.attributes) for record in said)


def test_the_slow_fault_lifts_a_span_of_as_many_traces_as_it_says_over_its_limit(receiver: Any, config: Config) -> None:
    run(config, devices=40, seconds=60, faults=(Fault(kind="trace-slow", duration=1000, magnitude=0.5),))
    traces = by_trace(receiver)
    slow = {key: trace for key, trace in traces.items() if any(sent.over_limit for sent in trace)}
    assert 0.35 < len(slow) / len(traces) < 0.65
    assert not [sent for sent in spans(receiver) if sent.failed]


def test_all_layers_write_logs_that_lead_to_a_trace(receiver: Any, config: Config) -> None:
    run(config)
    traces = by_trace(receiver)
    ids = {(sent.span.trace_id, sent.span.span_id) for trace in traces.values() for sent in trace}
    correlated = {layer for layer, record in logs(receiver) if (record.trace_id, record.span_id) in ids}
    assert correlated == set(LAYER_NAMES)


def test_a_silent_device_logs_nothing_about_its_segments(receiver: Any, config: Config) -> None:
    run(config, faults=(Fault(kind="silent", duration=100, targets=4),))
    assert by_trace(receiver)
    assert not [record for layer, record in logs(receiver) if layer == "device"]


def test_an_unknown_operation_is_an_error() -> None:
    with pytest.raises(KeyError, match="has no operation 'x'"):
        TRACED_SERVICES[0].operation("x")
