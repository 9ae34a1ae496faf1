"""Bad input at the gateway: the right code, a counter that moves, and a gateway that stays up."""

from __future__ import annotations

import gzip
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from components.telemetry.layers import LAYERS
from ops.checks.ingest import COUNTED_SECONDS, FOREIGN_LAYER, REFUSED_SIGNAL, UNKNOWN_LAYER, probe, refused
from ops.core import otlp as messages
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.otlp import OtlpClient
from ops.core.platform import Login
from ops.drills.gate_senders import deep_log

_DEVICE, _STREAMING = LAYERS[0].name, LAYERS[1].name
_REASON = {_DEVICE: ("metric_unknown", "attribute_unknown"), _STREAMING: ("metric_reserved", "attribute_reserved")}
"""Why a forged metric, and a forged label, is refused: in a closed layer, in an open one."""
_HUGE = 64 * 1024 * 1024
NO_OTLP, WRONG_PASSWORD, NO_PASSWORD = "no OTLP", "a wrong password", "no password"


@pytest.fixture(autouse=True)
def gateways_stay_up(context: Context) -> Iterator[None]:
    """No test of this file may restart a gateway."""
    before = {pod.name: (pod.uid, pod.restarts) for pod in context.kube.pods("gateway")}
    yield
    after = context.kube.pods("gateway")
    assert {pod.name: (pod.uid, pod.restarts) for pod in after} == before
    assert all(pod.ready for pod in after)


@dataclass(frozen=True)
class Attempt:
    """What a layer sends and must not get through: the client is told why, and each item is counted.

    Attributes:
        signal: Signal of the request.
        body: Makes the request, with the time of now.
        reason: Why it is refused.
        layer: Who sends it.
    """

    signal: str
    body: Callable[[], bytes]
    reason: str
    layer: str = _DEVICE


def _point(
    name: str, *, service: str = "e2e", layer: str = _DEVICE, labels: dict[str, str] | None = None
) -> Callable[[], bytes]:
    """One point of a metric that a layer's service has."""
    resource = messages.resource_of(layer, service, "e2e")
    return lambda: messages.gauge(resource, name, [(time.time_ns(), 1, labels or {})]).SerializeToString()


def _forged(kind: str, layer: str) -> dict[str, Attempt]:
    """Names of the platform itself, by a layer of a kind."""
    of_metric, of_label = _REASON[layer]
    metric = "kafka_controller_kafkacontroller_offlinepartitionscount"
    service = _point("obs_verify_probe", service="kafka", layer=layer)
    label = _point("obs_verify_probe", layer=layer, labels={"layer": "business"})
    return {
        f"our service's name, by {kind}": Attempt("metrics", service, "service_reserved", layer),
        f"our metric's name, by {kind}": Attempt("metrics", _point(metric, layer=layer), of_metric, layer),
        f"our label, by {kind}": Attempt("metrics", label, of_label, layer),
    }


_OWN = messages.resource_of(_DEVICE, "e2e", "e2e")
ATTEMPTS = {
    "an unknown layer": Attempt("metrics", lambda: probe("no-such-layer").SerializeToString(), UNKNOWN_LAYER),
    "the name of another layer": Attempt("metrics", lambda: probe(_STREAMING).SerializeToString(), FOREIGN_LAYER),
    "a trace of a layer that may send none": Attempt(
        "traces", lambda: messages.span(_OWN, "forbidden").SerializeToString(), REFUSED_SIGNAL
    ),
    "a metric that the catalogue does not have": Attempt("metrics", _point("obs_e2e_unknown"), "metric_unknown"),
    "a body nested without end": Attempt("logs", lambda: deep_log(_OWN, 1024 * 1024), "depth"),
    **_forged("a closed layer", _DEVICE),
    **_forged("an open layer", _STREAMING),
}
EXPECTED = Counter(attempt.reason for attempt in ATTEMPTS.values())
"""Reason -> items that are refused for it."""


@dataclass(frozen=True)
class Refusals:
    """What came of all attempts, which are counted together: a counter is read as often as it is scraped.

    Attributes:
        answers: Name of an attempt -> status and body of the answer.
        counted: Reason -> items counted since the first attempt.
        codes: Status of HTTP -> requests counted since then.
    """

    answers: dict[str, tuple[int, bytes]]
    counted: dict[str, float]
    codes: dict[str, float]


@pytest.fixture(scope="module")
def refusals(context: Context, otlp: OtlpClient) -> Refusals:
    """Send everything that must not pass; wait until all of it is counted."""
    reasons = {reason: refused(context, reason) for reason in EXPECTED}
    codes = {code: refused_requests(context, code) for code in ("400", "401")}
    answers = {
        name: otlp.post(attempt.signal, attempt.body(), otlp.login(attempt.layer)) for name, attempt in ATTEMPTS.items()
    }
    body = probe(_DEVICE).SerializeToString()
    answers[NO_OTLP] = otlp.post("metrics", b"\xff\xfe not protobuf \x00", otlp.login(_DEVICE))
    answers[WRONG_PASSWORD] = otlp.post("metrics", body, (_DEVICE, secrets.token_urlsafe(12)))
    answers[NO_PASSWORD] = otlp.post("metrics", body, None)

    def counts() -> Refusals:
        return Refusals(
            answers,
            {reason: refused(context, reason) - before for reason, before in reasons.items()},
            {code: refused_requests(context, code) - before for code, before in codes.items()},
        )

    def all_counted() -> bool:
        now = counts()
        return all(now.counted[reason] >= number for reason, number in EXPECTED.items()) and (
            now.codes["400"] > len(ATTEMPTS) and now.codes["401"] >= 2
        )

    with suppress(OpsError):  # each test says what is missing
        wait_until(all_counted, COUNTED_SECONDS, "the refusals to be counted", 2.0)
    return counts()


def refused_requests(context: Context, code: str) -> float:
    """HTTP requests that the gateways answered with a code."""
    series = f'http_server_request_duration_seconds_count{{job="gateway",http_response_status_code="{code}"}}'
    return context.thanos.number(series) or 0.0


@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_must_not_pass_is_refused_with_its_reason_and_counted(refusals: Refusals, name: str) -> None:
    reason = ATTEMPTS[name].reason
    status, answer = refusals.answers[name]
    assert (status, reason.encode() in answer) == (400, True), answer
    assert refusals.counted[reason] >= EXPECTED[reason]


def test_an_unknown_layer_over_grpc_is_an_invalid_argument(context: Context, otlp: OtlpClient) -> None:
    assert otlp.grpc_code(probe("no-such-layer"), context.platform.otlp_credentials[_DEVICE]) == "INVALID_ARGUMENT"


def test_a_body_that_is_no_otlp_is_a_bad_request_and_counted(refusals: Refusals) -> None:
    assert refusals.answers[NO_OTLP][0] == 400
    assert refusals.codes["400"] > len(ATTEMPTS)


@pytest.mark.parametrize("name", [WRONG_PASSWORD, NO_PASSWORD])
def test_a_wrong_password_is_unauthorised_and_counted(refusals: Refusals, name: str) -> None:
    assert refusals.answers[name][0] == 401
    assert refusals.codes["401"] >= 2


def test_a_foreign_content_type_is_refused(context: Context, otlp: OtlpClient) -> None:
    url = f"{context.platform.otlp_http}/v1/metrics"
    with context.web.call(
        "POST", url, auth=otlp.login(_DEVICE), data=b"a,b", headers={"Content-Type": "text/csv"}
    ) as response:
        assert response.status_code == 415


def test_a_wrong_password_over_grpc_is_unauthenticated(otlp: OtlpClient) -> None:
    login = Login.model_validate({"username": _DEVICE, "password": secrets.token_urlsafe(12)})
    assert otlp.grpc_code(probe(_DEVICE), login) == "UNAUTHENTICATED"


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
