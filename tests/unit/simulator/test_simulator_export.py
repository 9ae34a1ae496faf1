"""What the gateway would see: real OTLP over TLS, signed in per layer."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from components.telemetry.attributes import DATA_CLASSES, allowed_attributes, required_attributes
from components.telemetry.catalogue import METRICS
from components.telemetry.layers import LAYER_NAMES, LAYERS, layer
from lab.simulator.__main__ import Runner, Sender
from lab.simulator.config import Config, Fault

CHECKOUT = Path(__file__).parents[3]


def run(config: Config, ticks: int = 2) -> tuple[Runner, list[tuple[str, dict[str, Any]]]]:
    """Run for some ticks and return the runner and what it said."""
    said: list[tuple[str, dict[str, Any]]] = []
    runner = Runner(config, lambda event, **values: said.append((event, values)))
    runner.run(threading.Event(), ticks=ticks)
    return runner, said


def test_every_layer_signs_in_as_itself_and_sends_only_its_own_resources(receiver: Any, config: Config) -> None:
    run(config)
    assert {(user, password) for user, password, _, _ in receiver.got} == {(name, f"pw-{name}") for name in LAYER_NAMES}
    for path in ("/v1/metrics", "/v1/traces", "/v1/logs"):
        for user, attributes, _ in receiver.resources(path):
            assert attributes["layer"] == user


def test_traces_come_from_the_layers_that_may_send_them_only(receiver: Any, config: Config) -> None:
    run(config)
    assert {user for user, _, _ in receiver.resources("/v1/traces")} == {"streaming", "business", "analytics"}


def test_every_metric_of_the_catalogue_arrives_with_its_unit_and_attributes_and_none_else(
    receiver: Any, config: Config
) -> None:
    run(config)
    known = {metric.name: metric for metric in METRICS}
    arrived = set()
    for _, attributes, resource in receiver.resources("/v1/metrics"):
        for sent in (m for scope in resource.scope_metrics for m in scope.metrics):
            metric = known[sent.name]
            arrived.add(sent.name)
            assert metric.service == attributes["service.name"]
            assert sent.unit == metric.unit
            data = getattr(sent, sent.WhichOneof("data"))
            for point in data.data_points:
                assert {attribute.key for attribute in point.attributes} == set(metric.attributes)
            if metric.buckets:
                assert tuple(data.data_points[0].explicit_bounds) == metric.buckets
    assert arrived == set(known)


def test_a_device_is_its_own_resource_with_the_required_and_only_allowed_attributes(
    receiver: Any, config: Config
) -> None:
    run(config)
    devices = set()
    for path in ("/v1/metrics", "/v1/traces", "/v1/logs"):
        for _, attributes, _ in receiver.resources(path):
            owner = layer(attributes["layer"])
            assert set(required_attributes(owner)) <= set(attributes) <= set(allowed_attributes(owner))
            assert attributes["data.classification"] in DATA_CLASSES
            devices.add(attributes.get("device_id"))
    assert devices == {None, "dev-0001", "dev-0002", "dev-0003", "dev-0004"}


def test_one_layers_metrics_are_one_request_per_tick(receiver: Any, config: Config) -> None:
    run(config, ticks=3)
    for name in LAYER_NAMES:
        requests = [request for user, _, path, request in receiver.got if user == name and path == "/v1/metrics"]
        assert len(requests) == 3
        if name == "device":
            assert [len(request.resource_metrics) for request in requests] == [4, 4, 4]


def test_child_spans_lie_inside_their_parents_and_consumers_follow_their_producers(
    receiver: Any, config: Config
) -> None:
    run(config)
    spans = [
        span
        for _, _, resource in receiver.resources("/v1/traces")
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    by_id = {span.span_id: span for span in spans}
    children = [span for span in spans if span.parent_span_id]
    assert children
    for child in children:
        parent = by_id[child.parent_span_id]
        assert child.trace_id == parent.trace_id
        if child.kind == Span.SPAN_KIND_CONSUMER:
            assert parent.kind == Span.SPAN_KIND_PRODUCER
            assert parent.end_time_unix_nano < child.start_time_unix_nano
        else:
            assert parent.start_time_unix_nano <= child.start_time_unix_nano
            assert child.end_time_unix_nano <= parent.end_time_unix_nano


def test_logs_are_structured(receiver: Any, config: Config) -> None:
    run(config)
    records = [
        record
        for _, _, resource in receiver.resources("/v1/logs")
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert {"etl.job.finished", "report.generated"} <= {record.event_name for record in records}
    assert all(record.time_unix_nano and record.severity_text for record in records)


def test_a_silent_device_sends_nothing(receiver: Any, config: Config) -> None:
    run(replace(config, faults=(Fault(kind="silent", duration=100, targets=1),)))
    devices = {attributes.get("device_id") for _, attributes, _ in receiver.resources("/v1/metrics")}
    assert devices == {None, "dev-0002", "dev-0003", "dev-0004"}


def test_what_was_accepted_is_counted_and_shown_at_the_end(receiver: Any, config: Config) -> None:
    _, said = run(config)
    assert [event for event, _ in said] == ["started", "stopped"]
    layers = said[-1][1]["layers"]
    assert sum(counts["accepted"] for counts in layers.values()) == len(receiver.got)
    assert all(counts["refused"] == counts["dropped"] == 0 for counts in layers.values())
    assert set(layers) == set(LAYER_NAMES)


def test_a_refused_password_is_given_up_after_the_bounded_attempts_and_shown(receiver: Any, config: Config) -> None:
    receiver.status, receiver.refusals = 401, 10_000
    _, said = run(replace(config, max_attempts=1), ticks=1)
    status = said[-1][1]
    assert all(counts["accepted"] == 0 and counts["refused"] >= 1 for counts in status["layers"].values())
    assert "401" in status["last_error"]
    assert config.ready_file is not None
    assert not config.ready_file.exists()


def test_an_unreachable_gateway_is_shown_with_its_cause(config: Config) -> None:
    _, said = run(replace(config, endpoint="https://127.0.0.1:1", timeout_s=2, max_attempts=1), ticks=1)
    assert "Connection refused" in said[-1][1]["last_error"]


def test_a_gateway_that_comes_back_gets_everything_that_waited(receiver: Any, config: Config) -> None:
    receiver.status, receiver.refusals = 400, len(LAYERS)
    _, said = run(config, ticks=1)
    counts = said[-1][1]["layers"].values()
    assert sum(count["retried"] for count in counts) == len(LAYERS)
    assert sum(count["accepted"] for count in counts) == len(receiver.got)
    assert sum(count["refused"] + count["dropped"] for count in counts) == 0


def test_the_ready_file_appears_once_every_layer_was_accepted(receiver: Any, config: Config) -> None:
    run(config)
    assert config.ready_file is not None
    assert config.ready_file.exists()


def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    gate = threading.Event()
    sent: list[Sequence[Any]] = []

    def send(items: Sequence[Any]) -> bool:
        gate.wait(60)
        sent.append(items)
        return True

    sender = Sender("x", send, max_pending=2, max_attempts=1)
    sender.put([0])
    while sender._pending:
        time.sleep(0.001)
    for number in (1, 2, 3):
        sender.put([number])
    gate.set()
    sender.stop(60)
    sender.join(60)
    assert sent == [[0], [2], [3]]
    assert (sender.counts.accepted, sender.counts.dropped) == (3, 1)


def test_a_sender_repeats_a_bounded_number_of_times_and_waits_longer_each_time() -> None:
    times: list[float] = []

    def send(_: Sequence[Any]) -> bool:
        times.append(time.monotonic())
        return False

    sender = Sender("x", send, max_pending=2, max_attempts=3, first_wait_s=0.3)
    sender.put([1])
    assert sender.flush(60)
    sender.stop(60)
    sender.join(60)
    assert (sender.counts.retried, sender.counts.refused) == (2, 1)
    assert times[1] - times[0] >= 0.3
    assert times[2] - times[1] >= 0.6, "not longer than before"


@pytest.mark.parametrize("protocol", ["grpc"])
def test_the_same_telemetry_goes_over_grpc_with_tls_and_the_layers_password(
    protocol: str, receiver: Any, config: Config
) -> None:
    from concurrent import futures

    import grpc
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

    got: set[tuple[str, str]] = set()

    def servicer(base: type, signal: str, response: Any) -> Any:
        def export(_: Any, request: Any, context: Any) -> Any:
            got.add((signal, dict(context.invocation_metadata())["authorization"]))
            return response

        return type("Servicer", (base,), {"Export": export})()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
        servicer(
            metrics_service_pb2_grpc.MetricsServiceServicer,
            "metrics",
            metrics_service_pb2.ExportMetricsServiceResponse(),
        ),
        server,
    )
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
        servicer(trace_service_pb2_grpc.TraceServiceServicer, "traces", trace_service_pb2.ExportTraceServiceResponse()),
        server,
    )
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
        servicer(logs_service_pb2_grpc.LogsServiceServicer, "logs", logs_service_pb2.ExportLogsServiceResponse()),
        server,
    )
    pair = ((config.ca_file.parent / "tls.key").read_bytes(), config.ca_file.read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        _, said = run(replace(config, protocol=protocol, endpoint=f"https://127.0.0.1:{port}"), ticks=1)
    finally:
        server.stop(0).wait(5)
    assert {(signal, authorization) for signal, authorization in got if signal == "metrics"} == {
        ("metrics", config.authorization(name)) for name in LAYER_NAMES
    }
    assert all(counts["refused"] == counts["dropped"] == 0 for counts in said[-1][1]["layers"].values())


def test_the_simulator_imports_neither_pulumi_nor_kubernetes_nor_the_rest_of_the_lab() -> None:
    code = (
        "import sys, lab.simulator.__main__\n"
        "own = ('lab', 'lab.simulator')\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pulumi', 'kubernetes', 'pydantic')"
        " or (m.startswith('lab.') and not m.startswith('lab.simulator'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=CHECKOUT, check=True
    )
    assert done.stdout.strip() == "[]"
