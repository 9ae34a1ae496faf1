"""TLS of Kafka, collectors and the Prometheus family: what one broken setting alone does not show."""

from __future__ import annotations

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.data_dataplane import GATEWAY, JAVA_CLIENT, NODE, PROMETHEUS
from tests.policy.fixtures_dataplane import broken, config_map, provider, said
from tests.policy.fixtures_servers import rule


def test_a_listener_that_only_its_own_pod_reaches_may_speak_clear_text() -> None:
    node = {
        **NODE,
        "listeners": f"{NODE['listeners']},LOCAL://127.0.0.1:9095",
        "listener.security.protocol.map": f"{NODE['listener.security.protocol.map']},LOCAL:PLAINTEXT",
    }
    assert said("kafka-listener-tls", config_map({"server.properties": node})) == []


def test_every_node_of_a_file_set_is_looked_at() -> None:
    weak = {**NODE, "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:PLAINTEXT"}
    nodes = config_map({"a.properties": NODE, "b.properties": weak})
    assert said("kafka-listener-tls", nodes) == [
        'ConfigMap ns/files, b.properties: "listener.security.protocol.map": listener CONTROLLER speaks PLAINTEXT'
        " | set CONTROLLER to SASL_SSL (clients) or SSL (nodes)"
    ]


def test_a_client_file_is_known_by_its_settings_when_the_protocol_is_gone() -> None:
    bare = {key: value for key, value in JAVA_CLIENT.items() if key.startswith("ssl.")}
    assert said("kafka-client-tls", config_map({"any.properties": bare})) == [
        'ConfigMap ns/files, any.properties: "security.protocol": security.protocol is not set, which is PLAINTEXT'
        " | set it to SASL_SSL (clients) or SSL (nodes)"
    ]


def test_an_authority_that_a_preview_does_not_know_is_reported_after_what_is_wrong() -> None:
    connection = provider(tlsEnabled="false")
    unknown = Resource(connection.type, connection.name, {**connection.props, "caCert": UNKNOWN})
    check = rule("kafka-provider-tls").resource
    assert check is not None
    told = iter(check(unknown, {}))
    assert next(iter(told)).problem == "tlsEnabled is false"
    with pytest.raises(UnknownValueError, match="caCert"):
        next(iter(told))


def test_exporters_of_the_same_pod_need_no_tls() -> None:
    local = broken(GATEWAY, ("exporters", "otlphttp/near"), {"endpoint": "http://127.0.0.1:4318"})
    assert said("collector-exporter-tls", config_map({"config.yaml": local})) == []


def test_a_job_for_the_same_pod_needs_neither_tls_nor_password() -> None:
    job = {"job_name": "self", "static_configs": [{"targets": ["localhost:9090"]}]}
    own = config_map({"prometheus.yml": {**PROMETHEUS, "scrape_configs": [job]}})
    assert said("prometheus-scrape-tls", own) == []
    assert said("prometheus-scrape-login", own) == []
