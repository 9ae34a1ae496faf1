"""The gateway's configuration in the real collector, with Kafka out of reach."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from components.collector.config import rendered
from lab.toolchain import tools
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

INCOMING = "otelcol_processor_incoming_items_total"
DROPPED = "otelcol_processor_filter_datapoints_filtered_total"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(folder, gateway_data(folder)) as process:
        yield process


def counted(gateway: GatewayProcess, expected: float, metric: str, **labels: str) -> None:
    eventually(lambda: gateway.value(metric, **labels) == expected, 10, f"{metric}{labels} is {expected}")


def rises(gateway: GatewayProcess, before: float, by: float, metric: str, **labels: str) -> None:
    counted(gateway, before + by, metric, **labels)


def test_the_collector_accepts_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(rendered(gateway_data(tmp_path)))
    done = subprocess.run(
        [str(tools.path("otelcol")), "validate", f"--config={path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", sorted(PASSWORDS))
def test_every_layer_may_send_metrics_and_is_counted_apart(gateway: GatewayProcess, layer: str) -> None:
    labels = {"processor": f"transform/{layer}", "otel_signal": "metrics"}
    before = gateway.value(INCOMING, **labels)
    gateway.accept("metrics", metrics_request(layer, points=3).SerializeToString(), layer)
    rises(gateway, before, 3, INCOMING, **labels)


def test_a_layer_that_may_send_traces_is_counted_for_traces(gateway: GatewayProcess) -> None:
    gateway.accept("traces", trace_request("streaming").SerializeToString(), "streaming")
    counted(gateway, 1, INCOMING, processor="transform/streaming", otel_signal="traces")


@pytest.mark.parametrize("layer", ["device", "data"])
def test_traces_of_a_layer_without_traces_are_dropped_and_counted(gateway: GatewayProcess, layer: str) -> None:
    metric, labels = "otelcol_processor_filter_spans_filtered_total", {"filter": "filter/refused-signal"}
    before = gateway.value(metric, **labels)
    gateway.accept("traces", trace_request(layer).SerializeToString(), layer)
    rises(gateway, before, 1, metric, **labels)


@pytest.mark.parametrize("claimed", ["moon", None])
def test_an_unknown_layer_is_dropped_and_counted(gateway: GatewayProcess, claimed: str | None) -> None:
    before = gateway.value(DROPPED, filter="filter/unknown-layer")
    gateway.accept("metrics", metrics_request(claimed).SerializeToString(), "device")
    rises(gateway, before, 1, DROPPED, filter="filter/unknown-layer")


def test_another_layers_data_is_dropped_and_counted(gateway: GatewayProcess) -> None:
    before = gateway.value(DROPPED, filter="filter/foreign-layer")
    gateway.accept("metrics", metrics_request("business", points=2).SerializeToString(), "device")
    rises(gateway, before, 2, DROPPED, filter="filter/foreign-layer")


@pytest.mark.parametrize(("user", "password"), [(None, ""), ("device", "wrong"), ("nobody", "device-password")])
def test_a_client_without_the_right_password_is_refused_and_counted(
    gateway: GatewayProcess, user: str | None, password: str
) -> None:
    http, rpc = "http_server_request_duration_seconds_count", "rpc_server_call_duration_seconds_count"
    http_before = gateway.value(http, http_response_status_code="401")
    rpc_before = gateway.value(rpc, rpc_response_status_code="UNAUTHENTICATED")
    request = metrics_request("device")
    assert gateway.post("metrics", request.SerializeToString(), user, password).status_code == 401
    assert gateway.call(request, user, password) is grpc.StatusCode.UNAUTHENTICATED
    rises(gateway, http_before, 1, http, http_response_status_code="401")
    rises(gateway, rpc_before, 1, rpc, rpc_response_status_code="UNAUTHENTICATED")


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


def test_what_was_acknowledged_survives_a_killed_gateway(tmp_path: Path) -> None:
    config = gateway_data(tmp_path)
    queue = {"exporter": "kafka/metrics"}
    with gateway_process(tmp_path, config) as first:
        for _ in range(20):
            first.accept("metrics", metrics_request("device", points=5).SerializeToString(), "device")
        held = steady(lambda: first.value("otelcol_exporter_queue_size", **queue))
    with gateway_process(tmp_path, config) as second:
        eventually(
            lambda: second.value("otelcol_exporter_queue_size", **queue) == held, 40, f"the queue holds {held} bytes"
        )


def test_a_full_queue_refuses_with_a_code_that_says_try_again(tmp_path: Path) -> None:
    config = gateway_data(tmp_path, volume=80 * MIB)
    body = metrics_request("device", points=80_000)
    with gateway_process(tmp_path, config) as gateway:
        codes = [
            gateway.post("metrics", body.SerializeToString(), "device", PASSWORDS["device"]).status_code
            for _ in range(30)
        ]
        assert set(codes) == {200, 503}
        assert codes == sorted(codes), "once full, it stays full while Kafka is away"
        assert gateway.call(body, "device", PASSWORDS["device"]) is grpc.StatusCode.UNAVAILABLE
        eventually(
            lambda: gateway.value("otelcol_receiver_refused_metric_points_total", receiver="otlp") > 0,
            10,
            "the refusals are counted",
        )
