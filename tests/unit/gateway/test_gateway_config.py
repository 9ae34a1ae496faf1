"""What the gateway's configuration promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.collector.config import KafkaClient
from components.gateway.component import speakers
from components.gateway.config import GatewayConfig, gateway_config, queue_bytes, waiting_bytes
from components.telemetry.layers import Signal

MIB = 2**20
KAFKA = KafkaClient(brokers=("kafka:9092",), user="gateway", name="gateway")
PEAK = {Signal.METRICS: 200_000.0, Signal.TRACES: 20_000.0, Signal.LOGS: 40_000.0}
SETTINGS = GatewayConfig(
    kafka=KAFKA,
    volume_bytes=4 * 2**30,
    memory_bytes=4 * 2**30,
    max_message_bytes=8 * MIB,
    peak=PEAK,
    gateways=2,
)
CONFIG: dict[str, Any] = gateway_config(SETTINGS)
PIPELINES: dict[str, Any] = CONFIG["service"]["pipelines"]
GRPC: dict[str, Any] = CONFIG["receivers"]["otlp"]["protocols"]["grpc"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_clients_are_authenticated_over_tls(protocol: str) -> None:
    listener = CONFIG["receivers"]["otlp"]["protocols"][protocol]
    assert listener["tls"]["cert_file"] == "/etc/tls/tls.crt"
    assert listener["auth"] == {"authenticator": "login"}
    assert "login" in CONFIG["service"]["extensions"]


def test_a_call_is_looked_at_before_its_message_is_read() -> None:
    assert GRPC["middlewares"] == [{"id": "login"}]
    assert GRPC["max_concurrent_streams"] == 16
    assert CONFIG["extensions"]["login"]["max_in_flight"] * SETTINGS.request_limit <= SETTINGS.memory_bytes / 4


def test_every_client_has_its_share_of_what_the_gateway_takes() -> None:
    login: dict[str, Any] = CONFIG["extensions"]["login"]
    assert set(login["clients"]) == set(speakers())
    for signal in Signal:
        queue = CONFIG["exporters"][f"kafkabuckets/{signal.value}"]["sending_queue"]["queue_size"]
        assert login["queues"][signal.value] == queue, "what may wait is what the queue holds"
    assert login["burst"] == "10s"


@pytest.mark.parametrize("memory", [512 * MIB, 4096 * MIB])
def test_idle_connections_leave_the_memory_to_those_who_send(memory: int) -> None:
    settings = replace(SETTINGS, memory_bytes=memory, max_message_bytes=4 * MIB)
    config: dict[str, Any] = gateway_config(settings)
    login, grpc = config["extensions"]["login"], config["receivers"]["otlp"]["protocols"]["grpc"]
    buffers = grpc["read_buffer_size"] + 32 * 1024 + 2 * 16 * 1024
    assert 256 <= login["max_connections"] <= memory / 8 / buffers
    assert login["max_connections_per_address"] == login["max_connections"] / 2
    assert login["tls"] == grpc["tls"]


@pytest.mark.parametrize("signal", list(Signal))
def test_records_are_safe_before_they_count_as_sent(signal: Signal) -> None:
    exporter = CONFIG["exporters"][f"kafkabuckets/{signal.value}"]
    assert exporter["sending_queue"]["wait_for_result"] is True
    assert "storage" not in exporter["sending_queue"]
    assert exporter["sending_queue"]["block_on_overflow"] is False
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["spill"]["sending_queue"]["storage"] == "file_storage/queue"
    assert exporter["spill"]["sending_queue"]["block_on_overflow"] is False
    assert exporter["topic"] == f"telemetry-{signal.value}"


def test_nothing_acknowledges_before_kafka_or_the_queue_on_disk() -> None:
    assert not [name for name in CONFIG["processors"] if name.startswith("batch")]
    assert CONFIG["extensions"]["file_storage/queue"]["fsync"] is True
    assert "file_storage/queue" in CONFIG["service"]["extensions"]


def test_a_dead_broker_is_noticed_before_what_is_on_disk_is_tried_again() -> None:
    for signal in Signal:
        exporter = CONFIG["exporters"][f"kafkabuckets/{signal.value}"]
        assert int(exporter["spill"]["timeout"].removesuffix("s")) > 9
        assert int(exporter["timeout"].removesuffix("s")) < 10, "clients wait for an answer for ten seconds"


@pytest.mark.parametrize("signal", list(Signal))
def test_a_batch_fits_in_one_record(signal: Signal) -> None:
    exporter = CONFIG["exporters"][f"kafkabuckets/{signal.value}"]
    batch = exporter["sending_queue"]["batch"]
    assert batch["sizer"] == "bytes"
    assert 2 * batch["max_size"] <= exporter["max_message_bytes"] == SETTINGS.max_message_bytes


def test_there_is_a_bucket_for_each_partition_of_a_topic() -> None:
    partitions = {Signal.METRICS: 24, Signal.TRACES: 16, Signal.LOGS: 3}
    config = gateway_config(replace(SETTINGS, partitions=partitions))
    for signal, count in partitions.items():
        assert config["exporters"][f"kafkabuckets/{signal.value}"]["buckets"] == count
        assert config["exporters"][f"kafkabuckets/{signal.value}"]["key_attributes"] == ["device_id", "service.name"]


def test_every_signal_passes_the_gate_and_nothing_else_leads_to_kafka() -> None:
    assert set(PIPELINES) == {*(signal.value for signal in Signal), "metrics/self"}
    for signal in Signal:
        assert PIPELINES[signal.value] == {
            "receivers": ["otlp"],
            "processors": ["memory_limiter", "gate"],
            "exporters": [f"kafkabuckets/{signal.value}"],
        }


def test_the_gate_has_its_files() -> None:
    assert CONFIG["processors"]["gate"]["catalogue"] == "/etc/otelcol-gate/catalogue.yaml"
    assert CONFIG["processors"]["gate"]["hash_key"] == "${file:/etc/otelcol-auth/hash-key}"


def test_the_queues_leave_room_on_the_volume() -> None:
    assert sum(queue_bytes(1000).values()) <= 400


def test_what_waits_leaves_room_in_the_memory() -> None:
    assert sum(waiting_bytes(800).values()) <= 100


def test_a_limit_too_small_for_a_request_is_explained() -> None:
    with pytest.raises(ValueError, match="max_message_bytes is 1000000, must be at least 2097152"):
        replace(SETTINGS, max_message_bytes=1_000_000)


def test_a_volume_too_small_for_two_requests_is_explained() -> None:
    with pytest.raises(ValueError, match="enlarge the storage or lower max_message_bytes"):
        replace(SETTINGS, volume_bytes=64 * MIB)


def test_a_memory_too_small_for_two_requests_is_explained() -> None:
    with pytest.raises(ValueError, match="raise the memory limit or lower max_message_bytes"):
        replace(SETTINGS, memory_bytes=256 * MIB)
