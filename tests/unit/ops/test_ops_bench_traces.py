"""The traces bench: whole traces of known fate, only acknowledged spans count, and the bound follows from the cores."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from components.telemetry.services import EDGES, TRACED_SERVICES, latency_limit_ms
from ops import bench_journeys
from ops.bench_cpu import READ, NodeUsage
from ops.bench_journeys import LAYERS, STEPS, TRACES_PER_REQUEST, Journeys, Sender
from ops.bench_traces import bound, cpu_figures

SPANS = TRACES_PER_REQUEST * len(STEPS)


def spans_of(bodies: dict[str, bytes]) -> dict[bytes, list[tuple[str, Span]]]:
    """Trace id -> its spans with their services; asserts that a request has only its layer's resources."""
    found: dict[bytes, list[tuple[str, Span]]] = {}
    for layer, body in bodies.items():
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            values = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert values["layer"] == layer
            for span in resource.scope_spans[0].spans:
                found.setdefault(span.trace_id, []).append((values["service.name"], span))
    return found


def is_slow(service: str, span: Span) -> bool:
    return span.end_time_unix_nano - span.start_time_unix_nano > latency_limit_ms(service) * 1_000_000


def test_a_request_has_whole_traces_of_which_one_failed_and_one_was_slow() -> None:
    traces = spans_of(Journeys(0).bodies())
    assert len(traces) == TRACES_PER_REQUEST
    failed = slow = 0
    for spans in traces.values():
        assert len(spans) == len(STEPS) == 14
        services = {span.span_id: service for service, span in spans}
        assert set(services.values()) == {service.name for service in TRACED_SERVICES}
        assert sum(not span.parent_span_id for _, span in spans) == 1
        calls = {(services[span.parent_span_id], own) for own, span in spans if span.parent_span_id}
        assert {each for each in calls if each[0] != each[1]} == set(EDGES)
        failed += any(span.status.code == Status.STATUS_CODE_ERROR for _, span in spans)
        slow += any(is_slow(service, span) for service, span in spans)
        assert all(span.start_time_unix_nano < span.end_time_unix_nano <= time.time_ns() for _, span in spans)
        assert {link.trace_id for _, span in spans for link in span.links} == {spans[0][1].trace_id}
    assert (failed, slow) == (1, 1)


def test_every_request_has_new_traces() -> None:
    journeys = Journeys(3)
    assert not set(spans_of(journeys.bodies())) & set(spans_of(journeys.bodies()))


def test_what_a_layer_sends_is_counted_as_it_is() -> None:
    journeys = Journeys(1)
    for layer, body in journeys.bodies().items():
        assert sum(map(len, spans_of({layer: body}).values())) == journeys.spans_of[layer]
    assert sum(journeys.spans_of.values()) == SPANS


class Gateway:
    """Double of the gateway: refuses the layers that it is told, as often as it is told."""

    def __init__(self, refusals: dict[str, int]) -> None:
        self.refusals = refusals
        self.seen: dict[str, list[bytes]] = {}

    def send(self, layer: str, body: bytes) -> Callable[[], bool]:
        self.seen.setdefault(layer, []).append(body)
        self.refusals[layer] = self.refusals.get(layer, 0) - 1
        refused = self.refusals[layer] >= 0
        return lambda: not refused


def test_a_refused_layer_is_sent_again_unchanged_and_counts_once() -> None:
    gateway = Gateway({"business": 2})
    client = Sender(0, gateway.send)
    client.run(time.monotonic() + 0.01)
    assert (client.spans, client.traces, client.refused, client.given_up) == (SPANS, TRACES_PER_REQUEST, 2, 0)
    assert {layer: len(bodies) for layer, bodies in gateway.seen.items()} == {
        layer.name: 3 if layer.name == "business" else 1 for layer in LAYERS
    }
    assert len(set(gateway.seen["business"])) == 1


def test_what_is_never_taken_is_given_up_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_journeys, "_GIVE_UP_SECONDS", 0.0)
    client = Sender(0, Gateway({"analytics": 10**6}).send)
    client.run(time.monotonic() + 0.01)
    assert client.given_up >= 1
    assert client.traces == 0
    assert client.spans == client.given_up * (SPANS - 2 * TRACES_PER_REQUEST)


def usage(total: float, gateway: float, at: float, generator: float = 0.0) -> NodeUsage:
    pods = {"gateway-0": gateway, "search-0": gateway / 10, "prometheus-0": 1.0}
    workloads = {"gateway-0": "gateway", "search-0": "search", "prometheus-0": "prometheus"}
    moments = dict.fromkeys((READ, "node_cpu_usage_seconds", *pods), at)
    return NodeUsage(2.0, total, pods, generator, workloads, moments)


@pytest.mark.parametrize(
    ("total", "said"), [(19.0, "the cores, 95% of them busy; most of it: gateway 1.50"), (10.0, "not the cores")]
)
def test_the_bound_follows_from_the_busy_cores(total: float, said: str) -> None:
    figures = bound(usage(0, 0, 100), usage(total, 15, 110, generator=1.0))
    assert figures["bound by"].startswith(said)
    assert figures["cores during the load, gateway"] == 1.5
    assert figures["cores during the load, search"] == 0.15
    assert figures["cores during the load, this generator"] == 0.1


def test_pods_that_tell_nothing_are_seen_by_the_nodes_or_unknown() -> None:
    before, after = usage(0, 0, 100), usage(20, 15, 110)
    figures = cpu_figures({"gateway": 2.0}, {"gateway": 4.0}, before, after, 1_000_000)
    assert figures["CPU s per million spans, gateway"] == 2.0
    assert figures["CPU s per million spans, search"] == 1.5
    assert cpu_figures({}, {}, None, None, 10)["CPU s per million spans, search"] == "unknown"
