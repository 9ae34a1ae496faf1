"""Metrics consumers: configuration, and their objects in the recorded local stack."""

from __future__ import annotations

import pytest
import yaml

from components.collector.config import READER, KafkaClient
from components.consumers import MetricsConsumerConfig, metrics_consumer_config
from tests.support import engine

REPLICAS = ("primary", "secondary")
CONFIG = metrics_consumer_config(
    MetricsConsumerConfig(
        kafka=KafkaClient(brokers=("kafka:9092",), user="metrics-consumer-primary", name="metrics-consumer-primary"),
        prometheus_url="https://prometheus-primary:9090",
        writer="writer",
    )
)


def test_a_record_is_marked_only_after_prometheus_has_answered() -> None:
    receiver = CONFIG["receivers"][READER]
    assert receiver["message_marking"] == {"after": True, "on_error": False, "on_permanent_error": True}
    assert receiver["initial_offset"] == "earliest"


def test_records_are_handed_over_undecoded() -> None:
    receiver = CONFIG["receivers"][READER]
    assert receiver["logs"] == {"topics": ["telemetry-metrics"], "encoding": "raw"}
    assert CONFIG["service"]["pipelines"]["logs/records"] == {
        "receivers": [READER],
        "exporters": ["otlprecords/prometheus"],
    }
    assert CONFIG["exporters"]["otlprecords/prometheus"]["max_requests"] >= 2


def test_errors_that_may_pass_are_tried_again_for_ever() -> None:
    backoff = CONFIG["receivers"][READER]["error_backoff"]
    assert backoff["enabled"] is True
    assert backoff["max_elapsed_time"] == 0


def test_the_session_outlives_a_long_outage_of_kafka_and_a_restart_does_not_wait_for_it() -> None:
    receiver = CONFIG["receivers"][READER]
    assert 10 < int(receiver["session_timeout"].removesuffix("m")) < 30
    assert receiver["group_instance_id"] == receiver["group_id"] == "metrics-consumer-primary"


def test_prometheus_is_asked_over_tls_with_the_writers_password() -> None:
    exporter = CONFIG["exporters"]["otlprecords/prometheus"]
    assert exporter["endpoint"] == "https://prometheus-primary:9090/api/v1/otlp/v1/metrics"
    assert exporter["auth"] == {"authenticator": "basicauth/writer"}


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_prometheus_has_one_consumer_with_a_group_of_its_own(replica: str) -> None:
    recording = engine.recorded("local")
    name = f"metrics-consumer-{replica}"
    deployment = recording.one("Deployment", name)["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"]["type"] == "Recreate"
    config = yaml.safe_load(recording.one("ConfigMap", name)["data"]["config.yaml"])
    assert config["receivers"][READER]["group_id"] == name
    assert f"prometheus-{replica}." in config["exporters"]["otlprecords/prometheus"]["endpoint"]


@pytest.mark.parametrize("replica", REPLICAS)
def test_a_consumer_reaches_kafka_and_its_own_prometheus_only(replica: str) -> None:
    policy = engine.recorded("local").one("NetworkPolicy", f"metrics-consumer-{replica}")["spec"]
    peers = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policy["egress"]
        for peer in rule["to"]
        if "namespaceSelector" not in peer
    ]
    assert sorted(peers) == ["kafka", f"prometheus-{replica}"]
