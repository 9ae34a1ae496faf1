"""The whole way with real servers: gateway, one Kafka broker, consumer, Prometheus."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData, ResourceMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from components.collector.config import READER, rendered
from components.collector.pods import memory_settings
from components.consumers import MetricsConsumerConfig, metrics_consumer_config
from components.masking import pseudonym
from components.naming import size_of
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from lab.toolchain import tools
from stacks.sizing import SMALL
from tests.config.gateway_process import (
    HASH_KEY,
    MIB,
    GatewayProcess,
    gateway_data,
    gateway_process,
    kafka_user,
    metrics_request,
    move_own_metrics,
    trace_request,
)
from tests.config.prometheus_process import USERS, PrometheusProcess, prometheus_process, write_files
from tests.config.servers import PATIENCE_S, eventually, free_port, running
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

TOPIC = TOPIC_OF_SIGNAL[Signal.METRICS]


@dataclass(frozen=True)
class Front:
    """Everything in front of Prometheus."""

    folder: Path
    broker: Broker
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("path")
    kafka = folder / "kafka"
    kafka.mkdir()
    with kafka_broker.running(kafka) as broker:
        broker.create_topics(TOPIC_OF_SIGNAL.values(), 4)
        config = gateway_data(folder / "gateway", broker=broker)
        with gateway_process(folder / "gateway", config) as gateway:
            yield Front(folder, broker, gateway)


@contextmanager
def consumer(
    path: Front, prometheus: PrometheusProcess, changed: Callable[[dict[str, Any]], None] = lambda _: None
) -> Iterator[GatewayProcess]:
    """A consumer with the memory settings of the smallest pod."""
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
            tls_directory=str(folder),
            writer_password=str(folder / "writer-password"),
            scrape_htpasswd=str(folder / "scrape"),
        )
    )
    changed(config)
    port = move_own_metrics(config)
    (folder / "config.yaml").write_text(rendered(config))
    command = [str(tools.path("otelcol")), f"--config={folder / 'config.yaml'}"]
    variables = memory_settings(SMALL.consumer)
    with running(command, folder / "otelcol.log", port, kill=True, variables=variables) as process:
        yield replace(path.gateway, folder=folder, metrics_port=port, pid=process.pid)


@dataclass(frozen=True)
class Written:
    """A record in Kafka."""

    partition: int
    value: bytes


def written(path: Front, topic: str, holds: Callable[[bytes], int], items: int) -> list[Written]:
    """Records of a topic that hold something, until there are ``items`` of it."""
    reader = Consumer(path.broker.client(**{"group.id": secrets.token_hex(8), "auto.offset.reset": "earliest"}))
    reader.subscribe([topic])
    kept: list[Written] = []
    arrived = 0
    deadline = time.monotonic() + PATIENCE_S
    try:
        while arrived < items:
            assert time.monotonic() < deadline, f"{arrived} of {items} items after {PATIENCE_S} s"
            message = reader.poll(1)
            if message is None or message.error():
                continue
            count = holds(message.value())
            if count:
                arrived += count
                kept.append(Written(message.partition(), message.value()))
    finally:
        reader.close()
    assert arrived == items
    return kept


def holding(record: bytes, metric: str) -> list[ResourceMetrics]:
    return [
        resource
        for resource in MetricsData.FromString(record).resource_metrics
        if any(metric == one.name for scope in resource.scope_metrics for one in scope.metrics)
    ]


def resources(path: Front, metric: str, count: int) -> list[tuple[int, int, ResourceMetrics]]:
    """Partition, number of the record, and resource of all resources that hold ``metric``."""
    filled = written(path, TOPIC, lambda value: len(holding(value, metric)), count)
    return [
        (record.partition, number, resource)
        for number, record in enumerate(filled)
        for resource in holding(record.value, metric)
    ]


def attributes_of(resource: Resource) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in resource.attributes}


def test_the_partition_depends_on_the_device_and_on_nothing_that_changes(path: Front) -> None:
    sent = [(f"d-{number}", version, f"i{version}") for number in range(40) for version in ("1", "2")]
    for device, version, instance in sent:
        request = metrics_request(
            "device", name="keyed", device_id=device, service__version=version, service__instance__id=instance
        )
        path.gateway.accept("metrics", request.SerializeToString(), "device")
    places: dict[str, set[int]] = {}
    for partition, _, resource in resources(path, "keyed", len(sent)):
        places.setdefault(attributes_of(resource.resource)["device_id"], set()).add(partition)
    assert set(places) == {pseudonym(device, HASH_KEY) for device, _, _ in sent}
    assert {len(partitions) for partitions in places.values()} == {1}
    assert set().union(*places.values()) == {0, 1, 2, 3}


def test_records_are_filled_with_whole_resources(path: Front) -> None:
    request = ExportMetricsServiceRequest()
    for number in range(60):
        request.MergeFrom(metrics_request("device", name="filled", device_id=f"f-{number}", service__version="1"))
    path.gateway.accept("metrics", request.SerializeToString(), "device")
    arrived = resources(path, "filled", 60)
    assert len({number for _, number, _ in arrived}) <= 12, "a record for each bucket at most"
    for _, _, resource in arrived:
        assert sorted(attributes_of(resource.resource)) == [
            "device_id",
            "layer",
            "service.instance.id",
            "service.name",
            "service.version",
        ]
        assert not resource.scope_metrics[0].scope.attributes


def test_the_spans_of_a_trace_are_in_one_partition_whatever_service_sends_them(path: Front) -> None:
    traces = [secrets.token_bytes(16) for _ in range(24)]
    for layer in ("streaming", "business"):
        request = ExportTraceServiceRequest()
        for trace_id in traces:
            one = trace_request(layer)
            one.resource_spans[0].scope_spans[0].spans[0].trace_id = trace_id
            request.MergeFrom(one)
        path.gateway.accept("traces", request.SerializeToString(), layer)

    def spans(value: bytes) -> list[tuple[bytes, str]]:
        return [
            (span.trace_id, attributes_of(resource.resource)["layer"])
            for resource in TracesData.FromString(value).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.trace_id in traces
        ]

    places: dict[bytes, set[int]] = {}
    filled = written(path, TOPIC_OF_SIGNAL[Signal.TRACES], lambda value: len(spans(value)), 2 * len(traces))
    for record in filled:
        for trace_id, _ in spans(record.value):
            places.setdefault(trace_id, set()).add(record.partition)
    assert set(places) == set(traces)
    assert {len(partitions) for partitions in places.values()} == {1}
    assert {layer for record in filled for _, layer in spans(record.value)} == {"streaming", "business"}


def test_what_comes_in_while_kafka_is_away_waits_on_disk_and_follows(path: Front) -> None:
    topic, disk = "telemetry-metrics", {"exporter": "kafkabuckets/metrics-disk"}

    def spilled() -> float:
        return path.gateway.value("otelcol_kafkabuckets_spilled_items_total", topic=topic)

    def send(number: int) -> None:
        request = metrics_request("device", name="away", device_id=f"a-{number}")
        path.gateway.accept("metrics", request.SerializeToString(), "device")

    send(0)
    before = spilled()
    with path.broker.hanging():
        for number in range(1, 9):
            send(number)
        eventually(lambda: spilled() == before + 8, 10, "all went to disk")
        eventually(lambda: path.gateway.value("otelcol_exporter_queue_size", **disk) > 0, 10, "the disk holds it")
    eventually(lambda: path.gateway.value("otelcol_exporter_queue_size", **disk) == 0, 60, "the disk is empty again")
    devices: set[str] = set()

    def new(value: bytes) -> int:
        # What Kafka did not acknowledge in time may be in it twice.
        known = len(devices)
        devices.update(attributes_of(one.resource)["device_id"] for one in holding(value, "away"))
        return len(devices) - known

    written(path, TOPIC, new, 9)
    assert devices == {pseudonym(f"a-{number}", HASH_KEY) for number in range(9)}
    send(9)
    assert spilled() == before + 8
    assert path.gateway.value("otelcol_kafkabuckets_lost_items_total") == 0


def test_one_sample_that_prometheus_refuses_takes_no_other_with_it(path: Front, tmp_path: Path) -> None:
    write_files(tmp_path)
    request = ExportMetricsServiceRequest()
    for number in range(40):
        one = metrics_request("business", name="mixed", service__instance__id=f"m{number}")
        if number == 17:
            # Six days old: the gate lets it pass, the out-of-order window does not.
            points = one.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
            points[0].time_unix_nano -= 6 * 24 * 3600 * 10**9
        request.MergeFrom(one)
    path.gateway.accept("metrics", metrics_request("business", name="mixed-first").SerializeToString(), "business")
    path.gateway.accept("metrics", request.SerializeToString(), "business")
    with prometheus_process(tmp_path) as prometheus, consumer(path, prometheus) as metrics:
        eventually(lambda: len(prometheus.series("mixed")) == 39, 60, "all others are there")
        eventually(lambda: metrics.value("otelcol_otlprecords_lost_items_total") == 1, 30, "it is counted")
        metrics.counts(1, "otelcol_otlprecords_splits_total")


def test_two_scopes_of_a_process_are_read_side_by_side_even_where_their_record_is_halved(
    path: Front, tmp_path: Path
) -> None:
    write_files(tmp_path)
    request = metrics_request("business", name="scoped")
    scopes = request.resource_metrics[0].scope_metrics
    scopes[0].scope.name, scopes[0].scope.version = "com.example.first", "1.2.3"
    second = scopes.add()
    second.CopyFrom(scopes[0])
    second.scope.name = "com.example.second"
    second.metrics[0].gauge.data_points[0].as_double = 2
    late = second.metrics.add()
    late.CopyFrom(second.metrics[0])
    late.name = "scoped-late"
    late.gauge.data_points[0].time_unix_nano -= 6 * 24 * 3600 * 10**9
    twin = scopes.add()
    twin.CopyFrom(scopes[0])
    twin.scope.version = "1.3.0"
    twin.metrics[0].gauge.data_points[0].as_double = 3
    refused = {"layer": "business", "signal": "metrics", "reason": "scope_duplicate"}
    before = path.gateway.value("otelcol_gate_refused_items_total", **refused)
    path.gateway.accept("metrics", metrics_request("business", name="scoped-first").SerializeToString(), "business")
    path.gateway.accept("metrics", request.SerializeToString(), "business")
    path.gateway.counts(before + 1, "otelcol_gate_refused_items_total", **refused)
    with prometheus_process(tmp_path) as prometheus, consumer(path, prometheus) as metrics:
        eventually(lambda: len(prometheus.series("scoped")) == 2, 60, "both are there")
        eventually(lambda: metrics.value("otelcol_otlprecords_splits_total") >= 1, 30, "their record was halved")
        series = prometheus.series("scoped")
        assert {one["metric"]["otel_scope_name"]: float(one["value"][1]) for one in series} == {
            "com.example.first": 1,
            "com.example.second": 2,
        }
        assert not [one for one in series if "otel_scope_version" in one["metric"]]


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


def test_a_prometheus_that_is_away_is_asked_ever_more_rarely(path: Front, tmp_path: Path) -> None:
    write_files(tmp_path)
    path.gateway.accept("metrics", metrics_request("business", name="rarely").SerializeToString(), "business")
    with consumer(path, PrometheusProcess(tmp_path, free_port())) as metrics:
        lines = metrics.folder / "otelcol.log"

        def delays() -> list[float]:
            # Of all partitions; the collector leaves lines out where there are many.
            records = (json.loads(line) for line in lines.read_text().splitlines() if '"after":' in line)
            return [record["after"] for record in records]

        eventually(lambda: max(delays(), default=0.0) >= 2.0, 40, "a wait of two seconds")
        assert min(delays()) >= 0.39


def backlog(records: int, points: int) -> Iterator[bytes]:
    """Records of nearly a MiB each, which Snappy packs as well as it can; each a second of its own."""
    now = time.time_ns()
    data = MetricsData()
    series = data.resource_metrics.add().scope_metrics.add().metrics.add(name="backlog").gauge.data_points
    for number in range(points):
        series.add().attributes.add(key="name").value.string_value = f"{number:04}" + "x" * 1020
    for second in range(records):
        for point in series:
            point.time_unix_nano, point.as_int = now - (records - second) * 10**9, second
        yield data.SerializeToString()


def test_a_backlog_is_read_within_the_memory_of_the_smallest_pod(path: Front, tmp_path: Path) -> None:
    write_files(tmp_path)
    records, points = 240, 800
    producer = Producer(path.broker.client(**{"compression.type": "snappy", "message.max.bytes": 2 * MIB}))
    for number, record in enumerate(backlog(records, points)):
        producer.produce(TOPIC, record, partition=number % 4)
        producer.poll(0)
    assert producer.flush(60) == 0

    def three_brokers_in_one(config: dict[str, Any]) -> None:
        receiver = config["receivers"][READER]
        receiver["max_fetch_size"] *= 3
        receiver["max_partition_fetch_size"] *= 3

    with prometheus_process(tmp_path) as prometheus, consumer(path, prometheus, three_brokers_in_one) as metrics:
        count = "sum(count_over_time(backlog[1h]))"
        eventually(
            lambda: [float(one["value"][1]) for one in prometheus.series(count)] == [records * points],
            60,
            f"all {records * points} points are there",
        )
        assert metrics.peak_memory() < size_of(SMALL.consumer.memory_limit)


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
