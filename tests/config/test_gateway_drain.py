"""A gateway that is to end, and a real broker that hangs and answers again: nothing acknowledged is missing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from confluent_kafka import Consumer
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from components.collector.config import METRICS_PORT
from components.gateway.config import DRAIN_PORT, exporter_name
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.checks.ingest import WORKLOAD, reason_to_stay
from ops.core.context import Context
from ops.core.platform import Login
from ops.core.web import Web
from ops.drills.procedures.drain import left_behind, on_disk
from tests.config.gateway_process import SCRAPE, GatewayProcess, ended, gateway_data, gateway_process, metrics_request
from tests.config.servers import PATIENCE_S, eventually
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

TOPIC = TOPIC_OF_SIGNAL[Signal.METRICS]
ON_DISK = {"exporter": f"{exporter_name(Signal.METRICS)}-disk"}
REQUESTS = 20


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker.running(tmp_path_factory.mktemp("kafka")) as running:
        running.create_topics(TOPIC_OF_SIGNAL.values(), 4)
        yield running


def configured(folder: Path, broker: Broker, *, stalled: str) -> dict[str, Any]:
    """A gateway that soon notices that Kafka hangs, and tries again soon."""
    config = gateway_data(folder, broker=broker)
    config["extensions"]["drain"] |= {"at_least": "0s", "stalled": stalled}
    exporter = config["exporters"][exporter_name(Signal.METRICS)]
    exporter["timeout"], exporter["spill"]["timeout"] = "1s", "3s"
    exporter["retry_on_failure"] |= {"initial_interval": "500ms", "max_interval": "1s"}
    return config


def spill(gateway: GatewayProcess, first: int) -> set[float]:
    """Requests that are acknowledged while Kafka hangs; their points' values."""
    values = {float(first + index) for index in range(REQUESTS)}
    for value in values:
        request = metrics_request("device")
        request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].as_double = value
        gateway.accept("metrics", request.SerializeToString(), "device")
    eventually(lambda: gateway.value("otelcol_exporter_queue_size", **ON_DISK) > 0, 20, "the disk holds some")
    return values


def may_end(gateway: GatewayProcess) -> requests.Response:
    """Ask as Kubernetes does before it tells a gateway to end."""
    return requests.get(f"https://localhost:{gateway.drain_port}/", verify=str(gateway.folder / "ca.crt"), timeout=120)


def left_by(gateway: GatewayProcess) -> int | None:
    """What a gateway left by its own log."""
    return left_behind((gateway.folder / "otelcol.log").read_text().splitlines())


def platform(gateway: GatewayProcess) -> Context:
    """The gateway as `ops` reaches it, with tunnels that end at its ports."""
    ports = {METRICS_PORT: gateway.metrics_port, DRAIN_PORT: gateway.drain_port}
    scraper = Login.model_validate(dict(zip(("username", "password"), SCRAPE, strict=True)))
    return cast(
        Context,
        SimpleNamespace(
            kube=SimpleNamespace(pods=lambda _: [SimpleNamespace(name="gateway-0", ready=True)]),
            platform=SimpleNamespace(scrape_credentials={WORKLOAD: scraper}),
            tunnels=SimpleNamespace(url=lambda _, port: f"https://localhost:{ports[port]}"),
            web=Web(str(gateway.folder / "ca.crt")),
        ),
    )


def arrived(broker: Broker, values: set[float]) -> None:
    """Insist that all values are in Kafka."""
    missing = set(values)
    reader = Consumer(broker.client(**{"group.id": secrets.token_hex(8), "auto.offset.reset": "earliest"}))
    reader.subscribe([TOPIC])
    deadline = time.monotonic() + PATIENCE_S
    try:
        while missing and time.monotonic() < deadline:
            message = reader.poll(1)
            if message is None or message.error():
                continue
            for resource in MetricsData.FromString(message.value()).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        missing -= {point.as_double for point in metric.gauge.data_points}
    finally:
        reader.close()
    assert not missing


def test_a_gateway_may_end_at_once_where_its_disk_is_empty(broker: Broker, tmp_path: Path) -> None:
    with gateway_process(tmp_path, configured(tmp_path, broker, stalled="60s")) as gateway:
        answer = may_end(gateway)
        assert (answer.status_code, answer.text) == (200, "nothing is left on disk\n")
        assert reason_to_stay(platform(gateway), "gateway-0") == ""
        assert on_disk(platform(gateway)) == {"gateway-0": 0}


def test_a_gateway_whose_disk_drains_ends_once_all_is_in_kafka(broker: Broker, tmp_path: Path) -> None:
    with gateway_process(tmp_path, configured(tmp_path, broker, stalled="60s")) as gateway:
        with ThreadPoolExecutor(1) as pool:
            with broker.hanging():
                values = spill(gateway, 1000)
                assert on_disk(platform(gateway))["gateway-0"] > 0
                answer = pool.submit(may_end, gateway)
                time.sleep(2)
                assert not answer.done(), "it says that it may end while its disk holds what it acknowledged"
            assert answer.result().status_code == 200
        ended(gateway)
        eventually(lambda: left_by(gateway) == 0, 60, "the gateway has left nothing")
        arrived(broker, values)


def test_what_is_left_while_kafka_hangs_is_told_and_follows_from_the_volume(broker: Broker, tmp_path: Path) -> None:
    config = configured(tmp_path, broker, stalled="4s")
    with gateway_process(tmp_path, config) as gateway, broker.hanging():
        values = spill(gateway, 2000)
        assert reason_to_stay(platform(gateway), "gateway-0").startswith("gateway-0 may not terminate: 503 ")
        answer = may_end(gateway)
        assert answer.status_code == 503
        assert answer.text.endswith(" bytes are left on disk\n")
        left = int(answer.text.split()[0])
        assert left_by(gateway) is None, "it has not ended yet"
        ended(gateway)
        eventually(lambda: left_by(gateway) is not None, 60, "the gateway has said its last words")
        assert left_by(gateway) == left > 0
    with gateway_process(tmp_path, config) as next_start:
        assert may_end(next_start).status_code == 200
        arrived(broker, values)
