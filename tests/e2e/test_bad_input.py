"""Bad input at the gateway: the right code, a counter that moves, and a gateway that stays up."""

from __future__ import annotations

import gzip
import secrets
import time
from collections.abc import Iterator

import pytest

from components.telemetry.layers import LAYERS
from ops.checks.gateway import COUNTED_SECONDS, FOREIGN_LAYER, REFUSED_SIGNAL, UNKNOWN_LAYER, probe, refused
from ops.core import otlp as messages
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.otlp import OtlpClient
from ops.core.platform import Login
from ops.drills.gate_bodies import deep_log

_DEVICE, _STREAMING = LAYERS[0].name, LAYERS[1].name
_REASON = {_DEVICE: ("metric_unknown", "attribute_unknown"), _STREAMING: ("metric_reserved", "attribute_reserved")}
"""Why a forged metric, and a forged label, is refused: in a closed layer, in an open one."""
_HUGE = 64 * 1024 * 1024


@pytest.fixture(autouse=True)
def gateways_stay_up(context: Context) -> Iterator[None]:
    """No test of this file may restart a gateway."""
    before = {pod.name: (pod.uid, pod.restarts) for pod in context.kube.pods("gateway")}
    yield
    after = context.kube.pods("gateway")
    assert {pod.name: (pod.uid, pod.restarts) for pod in after} == before
    assert all(pod.ready for pod in after)


def refused_requests(context: Context, codes: str) -> float:
    """HTTP requests that the gateways answered with one of ``codes`` (a regular expression)."""
    return (
        context.thanos.number(
            f'http_server_request_duration_seconds_count{{job="gateway",http_response_status_code=~"{codes}"}}'
        )
        or 0.0
    )


def test_a_body_that_is_no_otlp_is_a_bad_request_and_counted(context: Context, otlp: OtlpClient) -> None:
    before = refused_requests(context, "400")
    assert otlp.post("metrics", b"\xff\xfe not protobuf \x00", otlp.login(_DEVICE))[0] == 400
    wait_until(lambda: refused_requests(context, "400") > before, COUNTED_SECONDS, "the bad request to be counted", 2.0)


def test_a_foreign_content_type_is_refused(context: Context, otlp: OtlpClient) -> None:
    url = f"{context.platform.otlp_http}/v1/metrics"
    with context.web.call(
        "POST", url, auth=otlp.login(_DEVICE), data=b"a,b", headers={"Content-Type": "text/csv"}
    ) as response:
        assert response.status_code == 415


def test_a_wrong_password_is_unauthorised_and_counted(context: Context, otlp: OtlpClient) -> None:
    before = refused_requests(context, "401")
    body = probe(_DEVICE).SerializeToString()
    assert otlp.post("metrics", body, (_DEVICE, secrets.token_urlsafe(12)))[0] == 401
    assert otlp.post("metrics", body, None)[0] == 401
    wait_until(lambda: refused_requests(context, "401") > before, COUNTED_SECONDS, "the refusal to be counted", 2.0)


def test_a_wrong_password_over_grpc_is_unauthenticated(otlp: OtlpClient) -> None:
    login = Login.model_validate({"username": _DEVICE, "password": secrets.token_urlsafe(12)})
    assert otlp.grpc_code(probe(_DEVICE), login) == "UNAUTHENTICATED"


def told(context: Context, otlp: OtlpClient, signal: str, body: bytes, reason: str, layer: str = _DEVICE) -> None:
    """Send as a layer what must not pass: the client is told why, and it is counted."""
    before = refused(context, reason)
    status, answer = otlp.post(signal, body, otlp.login(layer))
    assert (status, reason.encode() in answer) == (400, True), answer
    wait_until(lambda: refused(context, reason) > before, COUNTED_SECONDS, "the refusal to be counted", 2.0)


def test_an_unknown_layer_is_refused_and_counted(context: Context, otlp: OtlpClient) -> None:
    told(context, otlp, "metrics", probe("no-such-layer").SerializeToString(), UNKNOWN_LAYER)
    assert otlp.grpc_code(probe("no-such-layer"), context.platform.otlp_credentials[_DEVICE]) == "INVALID_ARGUMENT"


def test_a_layer_cannot_speak_for_another(context: Context, otlp: OtlpClient) -> None:
    told(context, otlp, "metrics", probe(_STREAMING).SerializeToString(), FOREIGN_LAYER)


def test_a_trace_of_a_layer_that_may_send_none_is_refused_and_counted(context: Context, otlp: OtlpClient) -> None:
    span = messages.span(messages.resource_of(_DEVICE, "e2e", "e2e"), "forbidden")
    told(context, otlp, "traces", span.SerializeToString(), REFUSED_SIGNAL)


@pytest.mark.parametrize("layer", [_DEVICE, _STREAMING], ids=["closed", "open"])
def test_the_platforms_own_names_cannot_be_forged(context: Context, otlp: OtlpClient, layer: str) -> None:
    own = messages.resource_of(layer, "e2e", "e2e")
    service = messages.gauge(messages.resource_of(layer, "kafka", "e2e"), "obs_verify_probe", [(time.time_ns(), 1, {})])
    told(context, otlp, "metrics", service.SerializeToString(), "service_reserved", layer)
    name = "kafka_controller_kafkacontroller_offlinepartitionscount"
    metric = messages.gauge(own, name, [(time.time_ns(), 1, {})])
    told(context, otlp, "metrics", metric.SerializeToString(), _REASON[layer][0], layer)
    label = messages.gauge(own, "obs_verify_probe", [(time.time_ns(), 1, {"layer": "business"})])
    told(context, otlp, "metrics", label.SerializeToString(), _REASON[layer][1], layer)


def test_what_the_catalogue_does_not_have_is_refused(context: Context, otlp: OtlpClient) -> None:
    request = messages.gauge(messages.resource_of(_DEVICE, "e2e", "e2e"), "obs_e2e_unknown", [(time.time_ns(), 1, {})])
    told(context, otlp, "metrics", request.SerializeToString(), "metric_unknown")


def test_a_body_nested_without_end_is_refused_and_counted(context: Context, otlp: OtlpClient) -> None:
    told(context, otlp, "logs", deep_log(messages.resource_of(_DEVICE, "e2e", "e2e"), 1024 * 1024), "depth")


def test_large_messages_without_a_password_are_not_read(context: Context, otlp: OtlpClient) -> None:
    points = [(time.time_ns(), 1.0, {"padding": "x" * 1024})] * 1600
    request = messages.gauge(messages.resource_of(_DEVICE, "e2e", "e2e"), "obs_e2e_large", points)
    login = Login.model_validate({"username": _DEVICE, "password": secrets.token_urlsafe(12)})
    assert {otlp.grpc_code(request, login) for _ in range(12)} == {"UNAUTHENTICATED"}


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(context: Context, otlp: OtlpClient) -> None:
    url = f"{context.platform.otlp_http}/v1/metrics"
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    with context.web.call(
        "POST", url, auth=otlp.login(_DEVICE), data=gzip.compress(bytes(_HUGE)), headers=headers
    ) as response:
        assert response.status_code in (400, 413)


def test_an_oversized_batch_over_grpc_is_refused(context: Context, otlp: OtlpClient) -> None:
    points = [(time.time_ns(), 1.0, {"padding": "x" * 1024})] * (_HUGE // 1024 // 4)
    request = messages.gauge(messages.resource_of(_DEVICE, "e2e", "e2e"), "obs_e2e_oversized", points)
    assert otlp.grpc_code(request, context.platform.otlp_credentials[_DEVICE]) == "RESOURCE_EXHAUSTED"
