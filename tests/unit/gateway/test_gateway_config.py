"""What the gateway's configuration promises."""

from __future__ import annotations

from typing import Any

import pytest

from components.collector.config import KafkaClient
from components.gateway.config import GatewayConfig, gateway_config, queue_bytes
from components.telemetry.layers import LAYERS, Signal

MIB = 2**20
SETTINGS = GatewayConfig(
    kafka=KafkaClient(brokers=("kafka:9092",), user="gateway"), volume_bytes=4 * 2**30, max_message_bytes=8 * MIB
)
CONFIG: dict[str, Any] = gateway_config(SETTINGS)
PIPELINES: dict[str, Any] = CONFIG["service"]["pipelines"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_clients_are_authenticated_over_tls(protocol: str) -> None:
    listener = CONFIG["receivers"]["otlp"]["protocols"][protocol]
    assert listener["tls"]["cert_file"] == "/etc/tls/tls.crt"
    assert listener["auth"] == {"authenticator": "basicauth/clients"}


@pytest.mark.parametrize("signal", list(Signal))
def test_records_are_safe_before_they_count_as_sent(signal: Signal) -> None:
    exporter = CONFIG["exporters"][f"kafka/{signal.value}"]
    assert exporter["producer"]["required_acks"] == -1
    assert exporter["producer"]["compression"] == "snappy"
    assert exporter["producer"]["allow_auto_topic_creation"] is False
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["sending_queue"]["storage"] == "file_storage/queue"
    assert exporter["sending_queue"]["block_on_overflow"] is False
    assert exporter[signal.value]["topic"] == f"telemetry-{signal.value}"


def test_nothing_acknowledges_before_the_queue_on_disk() -> None:
    assert not [name for name in CONFIG["processors"] if name.startswith("batch")]
    assert CONFIG["extensions"]["file_storage/queue"]["fsync"] is True


@pytest.mark.parametrize("signal", list(Signal))
def test_a_batch_fits_in_one_record(signal: Signal) -> None:
    batch = CONFIG["exporters"][f"kafka/{signal.value}"]["sending_queue"]["batch"]
    assert batch["sizer"] == "bytes"
    assert 2 * batch["max_size"] <= SETTINGS.max_message_bytes


def test_each_layer_has_a_pipeline_for_the_signals_it_may_send_and_no_other() -> None:
    expected = {f"{signal.value}/{layer.name}" for layer in LAYERS for signal in Signal if layer.may_send(signal)}
    others = {f"{signal.value}/{end}" for signal in Signal for end in ("in", "refused")} | {"metrics/self"}
    assert set(PIPELINES) == expected | others
    assert "traces/device" not in PIPELINES
    assert "traces/data" not in PIPELINES


def test_refused_signals_end_in_a_processor_that_counts_and_an_exporter_that_drops() -> None:
    for signal in Signal:
        assert CONFIG["connectors"][f"routing/{signal.value}"]["default_pipelines"] == [f"{signal.value}/refused"]
        assert PIPELINES[f"{signal.value}/refused"]["processors"] == ["filter/refused-signal"]
        assert PIPELINES[f"{signal.value}/refused"]["exporters"] == ["nop"]


def test_who_signed_in_is_set_by_the_gateway_alone() -> None:
    actions = CONFIG["processors"]["resource/client"]["attributes"]
    assert actions[0] == {"key": "obs.client", "action": "delete"}
    assert actions[1] == {"key": "obs.client", "action": "upsert", "from_context": "auth.username"}


def test_the_memory_limiter_comes_first() -> None:
    for signal in Signal:
        assert PIPELINES[f"{signal.value}/in"]["processors"][0] == "memory_limiter"


def test_the_queues_leave_room_on_the_volume() -> None:
    assert sum(queue_bytes(1000).values()) <= 400


def test_a_limit_too_small_for_a_request_is_explained() -> None:
    with pytest.raises(ValueError, match="max_message_bytes is 1000000, must be at least 2097152"):
        GatewayConfig(kafka=SETTINGS.kafka, volume_bytes=2**30, max_message_bytes=1_000_000)


def test_a_volume_too_small_for_two_requests_is_explained() -> None:
    with pytest.raises(ValueError, match="enlarge the storage or lower max_message_bytes"):
        GatewayConfig(kafka=SETTINGS.kafka, volume_bytes=64 * MIB, max_message_bytes=8 * MIB)
