"""The whole metrics path with real servers: gateway, one Kafka broker, consumer, Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from components.collector.config import rendered
from components.consumers.config import MetricsConsumerConfig, metrics_consumer_config
from components.masking.pseudonyms import pseudonym
from components.telemetry.topics import METRICS_TOPIC
from lab.toolchain import tools
from tests.config.gateway_process import (
    HASH_KEY,
    MIB,
    GatewayProcess,
    gateway_data,
    gateway_process,
    kafka_user,
    metrics_request,
    move_own_metrics,
)
from tests.config.prometheus_process import USERS, PrometheusProcess, prometheus_process, write_files
from tests.config.servers import eventually, running
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

TOPIC = METRICS_TOPIC.name


@dataclass(frozen=True)
class Front:
    """Everything in front of Prometheus."""

    folder: Path
    broker: Broker
    gateway: GatewayProcess


def _client(broker: Broker, **more: str | bool) -> dict[str, str | bool]:
    return {
        "bootstrap.servers": broker.bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": broker.username,
        "sasl.password": broker.password,
        "ssl.ca.pem": broker.ca,
        **more,
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("path")
    kafka = folder / "kafka"
    kafka.mkdir()
    with kafka_broker.running(kafka) as broker:
        admin = AdminClient(_client(broker))
        for future in admin.create_topics([NewTopic(TOPIC, num_partitions=4, replication_factor=1)]).values():
            future.result(30)
        config = gateway_data(folder / "gateway", broker=broker)
        with gateway_process(folder / "gateway", config) as gateway:
            yield Front(folder, broker, gateway)


@contextmanager
def consumer(path: Front, prometheus: PrometheusProcess) -> Iterator[None]:
    folder = path.folder / "consumer"
    folder.mkdir(exist_ok=True)
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (folder / name).write_bytes((prometheus.folder / name).read_bytes())
    (folder / "writer-password").write_text(USERS["writer"])
    (folder / "scrape").write_bytes((path.folder / "gateway" / "scrape").read_bytes())
    config = metrics_consumer_config(
        MetricsConsumerConfig(
            kafka=kafka_user(folder, path.broker),
            prometheus_url=prometheus.url,
            writer="writer",
            max_message_bytes=4 * MIB,
            tls_directory=str(folder),
            writer_password=str(folder / "writer-password"),
            scrape_htpasswd=str(folder / "scrape"),
        )
    )
    port = move_own_metrics(config)
    (folder / "config.yaml").write_text(rendered(config))
    command = [str(tools.path("otelcol")), f"--config={folder / 'config.yaml'}"]
    with running(command, folder / "otelcol.log", port, kill=True):
        yield


def records(path: Front, metric: str, count: int) -> list[tuple[bytes, int, MetricsData]]:
    """Key, partition and content of the records that hold ``metric``."""
    reader = Consumer(_client(path.broker, **{"group.id": metric, "auto.offset.reset": "earliest"}))
    reader.subscribe([TOPIC])
    arrived_records: list[tuple[bytes, int, MetricsData]] = []
    deadline = time.monotonic() + 20
    try:
        while len(arrived_records) < count:
            assert time.monotonic() < deadline, f"{len(arrived_records)} of {count} records after 20 s"
            message = reader.poll(1)
            if message is None or message.error():
                continue
            data = MetricsData.FromString(message.value())
            if data.resource_metrics[0].scope_metrics[0].metrics[0].name == metric:
                arrived_records.append((message.key(), message.partition(), data))
    finally:
        reader.close()
    return arrived_records


def test_the_key_depends_on_the_device_and_on_nothing_that_changes(path: Front) -> None:
    for device, version, instance in (("d-1", "1", "a"), ("d-1", "2", "b"), ("d-2", "1", "a")):
        request = metrics_request(
            "device", name="keyed", device_id=device, service__version=version, service__instance__id=instance
        )
        path.gateway.accept("metrics", request.SerializeToString(), "device")
    by_device: dict[str, set[tuple[bytes, int]]] = {}
    for key, partition, data in records(path, "keyed", 3):
        [resource] = data.resource_metrics
        attributes = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
        assert sorted(attributes) == ["device_id", "layer", "service.name"]
        by_device.setdefault(attributes["device_id"], set()).add((key, partition))
    first, second = (pseudonym(device, HASH_KEY) for device in ("d-1", "d-2"))
    assert {device: len(places) for device, places in by_device.items()} == {first: 1, second: 1}
    assert by_device[first] != by_device[second]


def test_only_attributes_of_the_catalogue_travel(path: Front) -> None:
    request = metrics_request("device", name="allowed", service__version="1")
    path.gateway.accept("metrics", request.SerializeToString(), "device")
    [(_, _, data)] = records(path, "allowed", 1)
    [scope] = data.resource_metrics[0].scope_metrics
    [copy] = scope.scope.attributes
    assert copy.key == "obs.resource"
    kept = sorted(attribute.key for attribute in copy.value.kvlist_value.values)
    assert kept == ["device_id", "layer", "service.instance.id", "service.name", "service.version"]


def test_what_was_accepted_reaches_prometheus_with_all_its_labels(path: Front, tmp_path: Path) -> None:
    write_files(tmp_path)
    request = metrics_request("device", name="arrives", service__version="7")
    path.gateway.accept("metrics", request.SerializeToString(), "device")
    with prometheus_process(tmp_path) as prometheus, consumer(path, prometheus):
        eventually(lambda: bool(prometheus.series("arrives")), 30, "the sample is in Prometheus")
        assert prometheus.series("arrives")[0]["metric"] == {
            "__name__": "arrives",
            "job": "recorder",
            "instance": "recorder-1",
            "layer": "device",
            "device_id": pseudonym("d-1", HASH_KEY),
        }
        assert prometheus.series('target_info{job="recorder",service_version="7"}')


def test_a_killed_consumer_and_a_prometheus_that_was_away_lose_nothing(path: Front, tmp_path: Path) -> None:
    write_files(tmp_path)
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            sent += 1
            request = metrics_request("business", name="numbered", service__instance__id=f"n{sent}")
            path.gateway.accept("metrics", request.SerializeToString(), "business")

    def all_there(prometheus: PrometheusProcess) -> bool:
        return len(prometheus.series("numbered")) == sent

    send(10)
    with prometheus_process(tmp_path) as prometheus, consumer(path, prometheus):
        eventually(lambda: all_there(prometheus), 30, "the first ten are there")
        send(10)
    send(10)
    with prometheus_process(tmp_path) as prometheus:
        with consumer(path, prometheus):
            time.sleep(0.5)
        send(10)
        with consumer(path, prometheus):
            eventually(lambda: all_there(prometheus), 60, f"all {sent} are there")
