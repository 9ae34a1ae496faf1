"""One layer beyond its share beside another, on the real gateway: the other is refused nothing (requirement O1)."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub

from components.telemetry.layers import Signal
from ops.drills.fairness import GREEDY, OTHER, REFUSED, beside_each_other
from ops.drills.gate_target import Target
from tests.config.gateway_process import PASSWORDS, GatewayProcess, gateway_data, gateway_process, metrics_request
from tests.config.servers import eventually

SMALL_PEAK = {Signal.METRICS: 4000.0, Signal.TRACES: 4000.0, Signal.LOGS: 4000.0}
SHARE = SMALL_PEAK[Signal.METRICS] * GREEDY.shares[Signal.METRICS]
THROTTLED = "otelcol_login_throttled_requests_total"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("fair")
    with gateway_process(folder, gateway_data(folder, peak=SMALL_PEAK)) as process:
        yield process


def target_of(gateway: GatewayProcess) -> Target:
    return Target(
        http=("localhost", gateway.http_port),
        grpc=("localhost", gateway.grpc_port),
        authority=(gateway.folder / "ca.crt").read_text(),
        logins={name: (name, password) for name, password in PASSWORDS.items()},
    )


@pytest.mark.timeout(900)
def test_ten_times_a_share_cost_another_layer_no_refusal(gateway: GatewayProcess) -> None:
    outcome = beside_each_other(target_of(gateway), share=SHARE, quiet_s=3, loud_s=20)
    assert outcome.problems() == []
    assert outcome.loud.requests > 0
    assert outcome.refused == 0
    greed = outcome.greed
    assert greed.answers[REFUSED] > 0
    # Its burst, its rate, and the debt of one request of each that was under way.
    assert greed.acknowledged <= SHARE * (10 + greed.seconds) + 8 * greed.points
    eventually(
        lambda: gateway.value(THROTTLED, layer=GREEDY.user, signal="metrics") == greed.answers[REFUSED],
        60,
        "every refusal is counted",
    )
    assert gateway.value(THROTTLED, layer=OTHER.user) == 0
    eventually(
        lambda: gateway.value("otelcol_gate_accepted_items_total", layer=GREEDY.user) >= greed.acknowledged,
        60,
        "what was acknowledged has passed the gate",
    )
    assert gateway.value("otelcol_login_share", layer=GREEDY.user, signal="metrics", kind="items") == SHARE
    figures = outcome.figures()
    assert figures["sent, in shares"] >= 5
    assert figures["other layer refusals"] == 0


def called(gateway: GatewayProcess, points: int, user: str) -> grpc.RpcError | None:
    """Send over gRPC; the error, if there is one."""
    token = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
    credentials = grpc.ssl_channel_credentials((gateway.folder / "ca.crt").read_bytes())
    request = metrics_request(user, points=points, name="obs_verify_probe", service__name="e2e")
    with grpc.secure_channel(f"localhost:{gateway.grpc_port}", credentials) as channel:
        try:
            MetricsServiceStub(channel).Export(
                request, metadata=[("authorization", f"Basic {token}")], timeout=60, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return error
    return None


@pytest.mark.timeout(900)
def test_over_grpc_the_refusal_says_when_to_come_again(gateway: GatewayProcess) -> None:
    errors = [called(gateway, 3000, "data") for _ in range(4)]
    refused = [error for error in errors if error is not None]
    assert refused, "12,000 points at once are more than ten seconds of 400"
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "data sends more metrics than its share: 400 items a second" in error.details()
        [detail] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
        info = RetryInfo()
        assert Status.FromString(detail).details[0].Unpack(info)
        assert 1 <= info.retry_delay.ToTimedelta().total_seconds() <= 30
    assert called(gateway, 1, "device") is None


@pytest.mark.timeout(900)
def test_a_layer_that_waits_for_kafka_leaves_the_queue_to_the_others(tmp_path: Path) -> None:
    config = gateway_data(tmp_path, peak=dict.fromkeys(Signal, 10000000.0))
    login = config["extensions"]["login"]
    exporter = config["exporters"]["kafkabuckets/metrics"]
    # Kafka says nothing for long, and there is no disk to take its place: what is sent stays in memory.
    exporter["timeout"] = "20s"
    exporter["spill"]["timeout"] = "30s"
    exporter["sending_queue"]["queue_size"] = login["queues"]["metrics"] = 2_000_000
    with gateway_process(tmp_path, config) as gateway:
        answers = Counter[int]()
        lock = threading.Lock()
        body = metrics_request("streaming", name="obs_verify_probe", service__name="e2e", points=4000)
        crowd = [
            threading.Thread(target=_send, args=(gateway, body.SerializeToString(), answers, lock)) for _ in range(24)
        ]
        for thread in crowd:
            thread.start()
        eventually(lambda: answers[429] > 0, 60, "the crowd has filled what it may")
        other = metrics_request("device", name="obs_verify_probe", service__name="e2e").SerializeToString()
        answer = gateway.post("metrics", other, "device", PASSWORDS["device"], timeout=120)
        assert answer.status_code == 200, answer.text
        for thread in crowd:
            thread.join(300)
        assert set(answers) == {200, 429}
        eventually(
            lambda: gateway.value(THROTTLED, layer="streaming", signal="metrics", reason="queue") > 0,
            30,
            "the refusals are counted",
        )
        assert gateway.value(THROTTLED, layer="device") == 0
        assert gateway.value("otelcol_exporter_enqueue_failed_metric_points_total") == 0


def _send(gateway: GatewayProcess, body: bytes, answers: Counter[int], lock: threading.Lock) -> None:
    answer = gateway.post("metrics", body, "streaming", PASSWORDS["streaming"], timeout=240)
    with lock:
        answers[answer.status_code] += 1
