"""The platform's catalogue in the real gate: what the observed system sends gets in whole, what is forged does not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, ProcessResourceDetector, Resource

from components.telemetry.gate_catalogue import gate_catalogue, sent_metrics, service_names
from components.telemetry.layers import LAYER_NAMES, LAYERS, Signal, layer
from components.telemetry.naming import Kind
from components.telemetry.registry import REGISTRY, Attribute, AttributeType
from lab.simulator.__main__ import Runner
from lab.simulator.config import FAULT_KINDS, Config, Fault
from lab.toolchain import tools
from ops.core import otlp
from tests.config.gate_process import PASSWORDS, Gate, gate_config, running_gate

CLIENTS = {name: [name] for name in LAYER_NAMES}
TICK_S = 10.0


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that nothing was sent to."""
    with running_gate(tmp_path, gate_catalogue(CLIENTS)) as process:
        yield process


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate for tests that look at answers only."""
    with running_gate(tmp_path_factory.mktemp("gate"), gate_catalogue(CLIENTS)) as process:
        yield process


def test_the_collector_takes_the_configuration(tmp_path: Path) -> None:
    config = gate_config(tmp_path, gate_catalogue(CLIENTS), port=4318, metrics=8888, to=4319)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [str(tools.path("otelcol")), "validate", f"--config={tmp_path / 'config.yaml'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_everything_that_the_simulator_sends_is_let_in_whole_in_health_and_with_every_fault(
    gate: Gate, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, password in PASSWORDS.items():
        (credentials / name).write_text(password)
    faults = tuple(Fault(kind=name, magnitude=kind.magnitude) for name, kind in FAULT_KINDS.items())
    for plan in ((), faults):
        config = Config(
            endpoint=gate.endpoint, ca_file=gate.ca_file, credentials_dir=credentials, devices=5, faults=plan
        )
        runner = Runner(config, lambda *_, **__: None)
        for _ in range(6):
            runner.tick(TICK_S)
        runner.close()
    assert all(gate.arrived.bodies[signal] for signal in Signal)
    assert gate.counted("refused_items_total") == {}
    assert gate.counted("dropped_attributes_total") == {}


def metric_of(request: ExportMetricsServiceRequest, name: str, kind: Kind, unit: str) -> Any:
    """Add a metric with one point; returns the point."""
    if not request.resource_metrics:
        request.resource_metrics.add().scope_metrics.add()
    metric = request.resource_metrics[0].scope_metrics[0].metrics.add(name=name, unit=unit)
    if kind is Kind.GAUGE:
        point = metric.gauge.data_points.add(as_double=1)
    elif kind is Kind.HISTOGRAM:
        metric.histogram.aggregation_temporality = 2
        point = metric.histogram.data_points.add(count=1, sum=1, bucket_counts=[1, 0], explicit_bounds=[1])
    else:
        metric.sum.aggregation_temporality = 2
        metric.sum.is_monotonic = kind is Kind.COUNTER
        point = metric.sum.data_points.add(as_double=1)
    point.time_unix_nano = time.time_ns()
    return point


def example(attribute: Attribute) -> AnyValue:
    """A value of an attribute's type."""
    match attribute.type:
        case AttributeType.NUMBER:
            return AnyValue(double_value=max(attribute.minimum or 0, 1))
        case AttributeType.BOOLEAN:
            return AnyValue(bool_value=True)
        case AttributeType.ENUM:
            return AnyValue(string_value=attribute.members[-1])
        case AttributeType.VERSION:
            return AnyValue(string_value="1.2.3")
        case AttributeType.ROUTE:
            return AnyValue(string_value="/a/{b}")
    return AnyValue(string_value="a-1")


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_every_metric_of_a_layer_with_all_its_attributes_is_let_in(name: str, shared: Gate) -> None:
    request = ExportMetricsServiceRequest()
    for metric in sent_metrics(layer(name)):
        point = metric_of(request, metric.name, metric.kind, metric.unit or "anything")
        for key in metric.attributes:
            point.attributes.add(key=key).value.CopyFrom(example(REGISTRY.types[key]))
    resource = otlp.resource_of(name, service_names(layer(name))[0], "instance-1", "device-1")
    request.resource_metrics[0].resource.attributes.extend(otlp.attributes(resource))
    before = shared.counted("refused_items_total")
    assert shared.post(Signal.METRICS, request.SerializeToString(), name).status_code == 200
    assert shared.counted("refused_items_total") == before


def test_what_pythons_sdk_says_about_itself_by_default_is_let_in(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "work-api")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=work-api-1,service.version=1.0.0")
    resource = Resource.create().merge(OTELResourceDetector().detect()).merge(ProcessResourceDetector().detect())
    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False).get_meter("test")
    duration = meter.create_histogram("http.server.request.duration", "s")
    duration.record(0.1, {"http.request.method": "GET", "http.response.status_code": 200, "url.scheme": "https"})
    request = encode_metrics(reader.get_metrics_data())  # type: ignore[arg-type]
    answer = gate.post(Signal.METRICS, request.SerializeToString(), "business")
    assert answer.status_code == 200
    assert gate.counted("refused_items_total") == {}
    assert gate.counted("dropped_attributes_total") == {}


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_a_forged_name_is_refused_and_the_client_is_told(name: str, shared: Gate) -> None:
    own = service_names(layer(name))[0]
    for service in REGISTRY.reserved.services:
        request = ExportMetricsServiceRequest()
        metric_of(request, "process.uptime", Kind.GAUGE, "s")
        resource = otlp.resource_of(name, service.replace("*", "-x"), "a", "b")
        request.resource_metrics[0].resource.attributes.extend(otlp.attributes(resource))
        answer = shared.post(Signal.METRICS, request.SerializeToString(), name)
        assert answer.status_code == 400, service
        assert b"reserved" in answer.content
    for metric in REGISTRY.reserved.metrics:
        request = ExportMetricsServiceRequest()
        metric_of(request, metric.replace("*", "x"), Kind.GAUGE, "")
        request.resource_metrics[0].resource.attributes.extend(otlp.attributes(otlp.resource_of(name, own, "a", "b")))
        assert shared.post(Signal.METRICS, request.SerializeToString(), name).status_code == 400, metric
    for label in REGISTRY.reserved.labels:
        request = ExportMetricsServiceRequest()
        point = metric_of(request, "process.uptime", Kind.GAUGE, "s")
        point.attributes.extend(otlp.attributes({label: "x"}))
        request.resource_metrics[0].resource.attributes.extend(otlp.attributes(otlp.resource_of(name, own, "a", "b")))
        assert shared.post(Signal.METRICS, request.SerializeToString(), name).status_code == 400, label


@pytest.mark.parametrize("name", [known.name for known in LAYERS if not known.may_send(Signal.TRACES)])
def test_traces_of_a_layer_that_sends_none_are_refused(name: str, shared: Gate) -> None:
    request: ExportTraceServiceRequest = otlp.span(otlp.resource_of(name, service_names(layer(name))[0], "a", "b"), "x")
    assert shared.post(Signal.TRACES, request.SerializeToString(), name).status_code == 400


def test_an_open_layer_takes_unknown_names_and_still_none_of_the_platforms(tmp_path: Path) -> None:
    with running_gate(tmp_path, gate_catalogue(CLIENTS, open_layers=["streaming"])) as process:
        for name, unit, status in (
            ("something.new", "", 200),
            ("kafka.controller.offline", "", 400),
            ("kafka", "controller_offline", 400),  # Prometheus would put the unit behind the name.
            ("ALERTS", "", 400),
        ):
            request = ExportMetricsServiceRequest()
            metric_of(request, name, Kind.GAUGE, unit)
            resource = otlp.resource_of("streaming", "a-new-service", "a")
            request.resource_metrics[0].resource.attributes.extend(otlp.attributes(resource))
            assert process.post(Signal.METRICS, request.SerializeToString(), "streaming").status_code == status, name
