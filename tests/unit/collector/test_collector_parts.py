"""Pieces that every collector configuration is made of."""

from __future__ import annotations

import bcrypt
import pytest

from components.collector.config import KafkaClient, kafka_client, merged, own_metrics, server_tls
from components.collector.pods import htpasswd


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


def test_a_password_of_before_comes_after_the_other_one_of_its_user() -> None:
    given, before = {"device": "secret-device", "data": "secret-data"}, {"device": "of-before"}
    text = htpasswd(given, before)
    assert text == htpasswd(given) + htpasswd(before)
    assert [line.partition(":")[0] for line in text.splitlines()] == ["data", "device", "device"]


def test_equal_passwords_of_two_users_have_different_hashes() -> None:
    first, second = (line.partition(":")[2] for line in htpasswd({"a": "same", "b": "same"}).splitlines())
    assert first != second
