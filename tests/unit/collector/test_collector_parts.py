"""Pieces that every collector configuration is made of."""

from __future__ import annotations

import bcrypt
import pytest

from components.collector.config import KafkaClient, kafka_client, merged, own_metrics, server_tls
from components.collector.passwords import htpasswd
from components.collector.pods import size_bytes


def test_kafka_is_reached_with_tls_and_scram_and_the_password_stays_in_its_file() -> None:
    client = kafka_client(KafkaClient(brokers=("kafka:9092",), user="gateway", name="gateway"))
    assert client["tls"] == {"ca_file": "/etc/tls/ca.crt", "min_version": "1.2"}
    assert client["auth"]["sasl"] == {
        "mechanism": "SCRAM-SHA-512",
        "username": "gateway",
        "password": "${file:/etc/otelcol-auth/kafka-password}",
    }


def test_own_metrics_are_served_with_tls_and_a_password_and_received_on_loopback_only() -> None:
    own = own_metrics()
    assert own["exporters"]["prometheus/self"]["tls"] == server_tls()
    assert own["exporters"]["prometheus/self"]["auth"] == {"authenticator": "basicauth/scrape"}
    assert own["receivers"]["otlp/self"]["protocols"] == {"http": {"endpoint": "127.0.0.1:4319"}}


def test_no_view_keeps_a_label_that_a_client_chooses() -> None:
    views = own_metrics()["service"]["telemetry"]["metrics"]["views"]
    kept = {key for view in views for key in view["stream"].get("attribute_keys", {}).get("included", [])}
    assert kept == {"http.response.status_code", "rpc.response.status_code"}


def test_parts_are_joined_and_a_contradiction_is_an_error() -> None:
    assert merged({"a": {"b": [1]}}, {"a": {"b": [2], "c": 3}}) == {"a": {"b": [1, 2], "c": 3}}
    with pytest.raises(ValueError, match="a is set twice: to 1 and to 2"):
        merged({"a": 1}, {"a": 2})


def test_the_password_file_holds_hashes_and_does_not_change_from_run_to_run() -> None:
    text = htpasswd({"device": "secret-device", "data": "secret-data"})
    assert text == htpasswd({"data": "secret-data", "device": "secret-device"})
    assert "secret" not in text
    for line in text.splitlines():
        user, _, hashed = line.partition(":")
        assert bcrypt.checkpw(f"secret-{user}".encode(), hashed.encode())


def test_equal_passwords_of_two_users_have_different_hashes() -> None:
    first, second = (line.partition(":")[2] for line in htpasswd({"a": "same", "b": "same"}).splitlines())
    assert first != second


@pytest.mark.parametrize(("size", "expected"), [("512Mi", 512 * 2**20), ("4Gi", 4 * 2**30), ("1Ti", 2**40)])
def test_sizes_are_read(size: str, expected: int) -> None:
    assert size_bytes(size) == expected


@pytest.mark.parametrize("size", ["4", "4G", "1.5Gi", "", "Gi"])
def test_a_size_that_cannot_be_read_is_explained(size: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number with Mi, Gi or Ti"):
        size_bytes(size)
