"""The gateway's configuration in the real collector, with Kafka out of reach."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from components.collector.config import memory_limiter, rendered
from components.gateway.component import speakers
from components.telemetry.catalogue import METRICS
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import Signal
from components.telemetry.naming import Kind
from lab.toolchain import tools
from ops.drills.gate_senders import deep_log
from tests.config.gateway_process import (
    MIB,
    PASSWORDS,
    GatewayProcess,
    gateway_data,
    gateway_process,
    metrics_request,
    trace_request,
)
from tests.config.servers import eventually, steady

ACCEPTED = "otelcol_gate_accepted_items_total"
REFUSED = "otelcol_gate_refused_items_total"
LOGINS = "otelcol_login_refused_requests_total"
CLIENTS = 4


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(folder, gateway_data(folder)) as process:
        yield process


def rises(gateway: GatewayProcess, before: float, by: float, metric: str, **labels: str) -> None:
    gateway.counts(before + by, metric, **labels)


def test_the_collector_accepts_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(rendered(gateway_data(tmp_path)))
    done = subprocess.run(
        [str(tools.path("otelcol")), "validate", f"--config={path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", sorted(PASSWORDS))
def test_every_layer_may_send_metrics_and_is_counted_apart(gateway: GatewayProcess, layer: str) -> None:
    labels = {"layer": layer, "signal": "metrics"}
    before = gateway.value(ACCEPTED, **labels)
    gateway.accept("metrics", metrics_request(layer, points=3).SerializeToString(), layer)
    rises(gateway, before, 3, ACCEPTED, **labels)


def test_a_layer_that_may_send_traces_is_counted_for_traces(gateway: GatewayProcess) -> None:
    gateway.accept("traces", trace_request("streaming").SerializeToString(), "streaming")
    gateway.counts(1, ACCEPTED, layer="streaming", signal="traces")


def told(gateway: GatewayProcess, signal: str, request: Message, user: str, *words: str) -> None:
    """Send what must not pass, and see that the client is told why in one line."""
    answer = gateway.post(signal, request.SerializeToString(), user, PASSWORDS[user])
    assert answer.status_code == 400
    assert all(word in answer.text for word in words), answer.text


@pytest.mark.parametrize("layer", ["device", "data"])
def test_traces_of_a_layer_without_traces_are_refused_and_counted(gateway: GatewayProcess, layer: str) -> None:
    labels = {"layer": layer, "signal": "traces", "reason": "signal"}
    before = gateway.value(REFUSED, **labels)
    told(gateway, "traces", trace_request(layer), layer, "signal: this layer may not send this signal")
    rises(gateway, before, 1, REFUSED, **labels)


def test_an_unknown_layer_is_refused_and_counted(gateway: GatewayProcess) -> None:
    before = gateway.value(REFUSED, reason="layer_unknown")
    told(gateway, "metrics", metrics_request("moon"), "device", "layer_unknown", "moon")
    assert gateway.call(metrics_request("moon"), "device", PASSWORDS["device"]) is grpc.StatusCode.INVALID_ARGUMENT
    rises(gateway, before, 2, REFUSED, reason="layer_unknown")


def test_what_names_no_layer_gets_that_of_its_client(gateway: GatewayProcess) -> None:
    labels = {"layer": "device", "signal": "metrics"}
    before = gateway.value(ACCEPTED, **labels)
    gateway.accept("metrics", metrics_request(None, points=2).SerializeToString(), "device")
    rises(gateway, before, 2, ACCEPTED, **labels)


def test_another_layers_data_is_refused_and_counted(gateway: GatewayProcess) -> None:
    before = gateway.value(REFUSED, reason="layer_foreign")
    request = metrics_request("business", points=2)
    told(gateway, "metrics", request, "device", "layer_foreign")
    assert gateway.call(request, "device", PASSWORDS["device"]) is grpc.StatusCode.INVALID_ARGUMENT
    rises(gateway, before, 4, REFUSED, reason="layer_foreign")


def test_of_a_request_that_is_foreign_in_part_the_rest_passes(gateway: GatewayProcess) -> None:
    accepted = gateway.value(ACCEPTED, layer="device", signal="metrics")
    refused = gateway.value(REFUSED, reason="layer_foreign")
    request = metrics_request("device")
    request.MergeFrom(metrics_request("business"))
    gateway.accept("metrics", request.SerializeToString(), "device")
    rises(gateway, accepted, 1, ACCEPTED, layer="device", signal="metrics")
    rises(gateway, refused, 1, REFUSED, reason="layer_foreign")


def test_what_the_gate_refuses_does_not_count_as_want_of_room(gateway: GatewayProcess) -> None:
    told(gateway, "metrics", metrics_request("moon"), "device", "layer_unknown")
    for signal in ("metric_points", "spans", "log_records"):
        assert gateway.value(f"otelcol_processor_refused_{signal}_total", processor="memory_limiter") == 0
        assert gateway.value(f"otelcol_exporter_enqueue_failed_{signal}_total") == 0


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [(None, "", "none"), ("device", "wrong", "wrong"), ("nobody", "device-password", "wrong")],
)
def test_a_client_without_the_right_password_is_refused_and_counted(
    gateway: GatewayProcess, user: str | None, password: str, reason: str
) -> None:
    http = "http_server_request_duration_seconds_count"
    http_before = gateway.value(http, http_response_status_code="401")
    before = gateway.value(LOGINS, reason=reason)
    request = metrics_request("device")
    assert gateway.post("metrics", request.SerializeToString(), user, password).status_code == 401
    assert gateway.call(request, user, password) is grpc.StatusCode.UNAUTHENTICATED
    rises(gateway, http_before, 1, http, http_response_status_code="401")
    rises(gateway, before, 2, LOGINS, reason=reason)


@pytest.mark.parametrize("user", [None, "device"])
def test_without_a_password_nothing_of_a_large_message_is_read(tmp_path: Path, user: str | None) -> None:
    body = metrics_request("device", points=MIB * 19 // 10 // 30)
    assert MIB < len(body.SerializeToString()) < 2 * MIB
    with gateway_process(tmp_path, gateway_data(tmp_path)) as gateway:
        gateway.accept("metrics", metrics_request("device").SerializeToString(), "device")
        before = gateway.peak_memory()
        for _ in range(12):
            assert gateway.call(body, user, "wrong") is grpc.StatusCode.UNAUTHENTICATED
        assert gateway.peak_memory() - before < 48 * MIB


def test_a_body_nested_without_end_is_refused_and_costs_little(tmp_path: Path) -> None:
    resource = {"service.name": "recorder", "service.instance.id": "recorder-1", "device_id": "d-1"}
    body = deep_log(resource, MIB)
    with gateway_process(tmp_path, gateway_data(tmp_path)) as gateway:
        gateway.accept("metrics", metrics_request("device").SerializeToString(), "device")
        for _ in range(5):
            assert gateway.post("logs", body, "device", PASSWORDS["device"]).status_code == 400
        assert gateway.peak_memory() < 400 * MIB, "less than the smallest container may have"
        gateway.counts(5, REFUSED, layer="device", signal="logs", reason="depth")
        gateway.accept("metrics", metrics_request("device").SerializeToString(), "device")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"service__name": "kafka"}, "service_reserved"),
        ({"name": "kafka_controller_kafkacontroller_offlinepartitionscount"}, "metric_reserved"),
    ],
)
def test_the_platforms_own_names_do_not_pass_even_in_an_open_layer(
    gateway: GatewayProcess, changed: dict[str, str], reason: str
) -> None:
    told(gateway, "metrics", metrics_request("device", **changed), "device", reason)


@pytest.mark.parametrize("label", ["layer", "job", "instance", "device_id"])
def test_a_forged_label_does_not_pass(gateway: GatewayProcess, label: str) -> None:
    request = metrics_request("device")
    [point] = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    point.attributes.add(key=label).value.string_value = "business"
    told(gateway, "metrics", request, "device", "attribute_reserved")


def test_a_closed_layer_sends_what_the_catalogue_has_and_nothing_else(tmp_path: Path) -> None:
    known = METRICS[0]
    with gateway_process(tmp_path, gateway_data(tmp_path, open_layers=())) as gateway:
        user = known.layer.user
        request = metrics_request(known.layer.name, name=known.name, service__name=known.service)
        metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
        metric.unit, metric.description = known.unit, ""
        assert known.kind is Kind.GAUGE
        gateway.accept("metrics", request.SerializeToString(), user)
        gateway.counts(1, ACCEPTED, layer=known.layer.name, signal="metrics")
        told(gateway, "metrics", metrics_request(known.layer.name, service__name=known.service), user, "metric_unknown")
        told(gateway, "metrics", metrics_request(known.layer.name, name=known.name), user, "service_unknown")


def test_a_changed_catalogue_is_taken_into_use_and_one_with_a_mistake_is_not(tmp_path: Path) -> None:
    config = gateway_data(tmp_path, open_layers=())
    config["processors"]["gate"]["reload_interval"] = "1s"
    catalogue = tmp_path / "catalogue.yaml"
    request = metrics_request("data")
    with gateway_process(tmp_path, config) as gateway:
        told(gateway, "metrics", request, "data", "service_unknown")
        catalogue.write_text("version: [")
        gateway.counts(3, "otelcol_gate_catalogue_reloads_total", result="mistake")
        told(gateway, "metrics", request, "data", "service_unknown")
        catalogue.write_text(rendered(gate_catalogue(speakers(), open_layers=["data"])))
        gateway.counts(3, "otelcol_gate_catalogue_reloads_total", result="taken")
        gateway.accept("metrics", request.SerializeToString(), "data")


def test_garbage_is_refused_for_good_and_the_gateway_stays_up(gateway: GatewayProcess) -> None:
    assert gateway.post("metrics", b"\xff\xffgarbage", "device", PASSWORDS["device"]).status_code == 400
    gateway.accept("metrics", metrics_request("device").SerializeToString(), "device")


def test_an_oversized_request_is_refused_for_good(gateway: GatewayProcess) -> None:
    request = metrics_request("device", padding=3 * MIB)
    assert gateway.post("metrics", request.SerializeToString(), "device", PASSWORDS["device"]).status_code == 400
    assert gateway.call(request, "device", PASSWORDS["device"]) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_grpc_clients_are_served(gateway: GatewayProcess) -> None:
    assert gateway.call(metrics_request("device"), "device", PASSWORDS["device"]) is grpc.StatusCode.OK


def test_its_own_metrics_need_their_own_password(gateway: GatewayProcess) -> None:
    assert gateway.scrape(auth=None).status_code == 401
    assert gateway.scrape(auth=("device", PASSWORDS["device"])).status_code == 401
    assert gateway.scrape().status_code == 200


def test_short_memory_refuses_with_a_code_that_says_try_again(tmp_path: Path) -> None:
    config = gateway_data(tmp_path)
    config["processors"]["memory_limiter"] = {"check_interval": "100ms", "limit_mib": 2, "spike_limit_mib": 1}
    request = metrics_request("device", points=3)
    with gateway_process(tmp_path, config) as gateway:
        eventually(
            lambda: (
                gateway.post("metrics", request.SerializeToString(), "device", PASSWORDS["device"]).status_code == 503
            ),
            10,
            "memory is short",
        )
        assert gateway.call(request, "device", PASSWORDS["device"]) is grpc.StatusCode.UNAVAILABLE
        eventually(
            lambda: gateway.value("otelcol_processor_refused_metric_points_total", processor="memory_limiter") >= 6,
            10,
            "the refusals are counted",
        )


def test_garbage_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the limiter collects garbage here: twice as much as its lower limit is made of it."""
    monkeypatch.setenv("GOGC", "off")
    config = gateway_data(tmp_path, volume=2048 * MIB)
    percentages = ("limit_percentage", "spike_limit_percentage")
    limiter = {key: value for key, value in memory_limiter().items() if key not in percentages}
    config["processors"]["memory_limiter"] = {**limiter, "limit_mib": 320, "spike_limit_mib": 120}
    body = metrics_request("device", points=5000).SerializeToString()
    with gateway_process(tmp_path, config) as gateway, ThreadPoolExecutor(CLIENTS) as clients:

        def allocated() -> float:
            return gateway.value("otelcol_process_runtime_alloc_bytes_total")

        for _ in range(150):
            list(clients.map(lambda _: gateway.accept("metrics", body, "device"), range(CLIENTS)))
            if allocated() > 400 * MIB:
                break
        assert allocated() > 400 * MIB
        assert gateway.value("otelcol_processor_refused_metric_points_total", processor="memory_limiter") == 0


def test_what_was_acknowledged_while_kafka_is_away_survives_a_killed_gateway(tmp_path: Path) -> None:
    config = gateway_data(tmp_path)
    queue = {"exporter": "kafkabuckets/metrics-disk"}
    with gateway_process(tmp_path, config) as first:
        for _ in range(20):
            first.accept("metrics", metrics_request("device", points=5).SerializeToString(), "device")
        held = steady(lambda: first.value("otelcol_exporter_queue_size", **queue))
        first.counts(100, "otelcol_kafkabuckets_spilled_items_total", topic="telemetry-metrics")
    with gateway_process(tmp_path, config) as second:
        eventually(
            lambda: second.value("otelcol_exporter_queue_size", **queue) == held, 40, f"the queue holds {held} bytes"
        )


def test_a_full_queue_refuses_with_a_code_that_says_try_again(tmp_path: Path) -> None:
    config = gateway_data(tmp_path, volume=80 * MIB, peak=dict.fromkeys(Signal, 100_000_000.0))
    body = metrics_request("device", points=45_000)
    with gateway_process(tmp_path, config) as gateway:
        codes = [
            gateway.post("metrics", body.SerializeToString(), "device", PASSWORDS["device"]).status_code
            for _ in range(30)
        ]
        assert set(codes) == {200, 503}
        assert codes == sorted(codes), "once full, it stays full while Kafka is away"
        assert gateway.call(body, "device", PASSWORDS["device"]) is grpc.StatusCode.UNAVAILABLE
        eventually(
            lambda: gateway.value("otelcol_exporter_enqueue_failed_metric_points_total") > 0,
            10,
            "the refusals are counted",
        )
        eventually(
            lambda: gateway.value("otelcol_receiver_refused_metric_points_total", receiver="otlp") > 0,
            10,
            "the receiver counts them as well",
        )
