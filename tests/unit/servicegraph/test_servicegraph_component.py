"""The service graph's objects in the cluster, and its settings file as the service itself reads it."""

from __future__ import annotations

import base64

import pytest
import yaml

from components.k8s import Resources
from components.servicegraph import ServiceGraph, ServiceGraphArgs
from services.service_graph import ServiceGraphSettings
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, kafka, record, search


@pytest.fixture(scope="module")
def recording() -> Recording:
    def program() -> None:
        ServiceGraph(
            "service-graph",
            ServiceGraphArgs(
                context=deployment_context(),
                scrape=metrics(deployment_context(), "service-graph"),
                kafka=kafka("service-graph"),
                search=search("service-graph", "search-writer"),
                index="internal-jaeger-dependencies-write",
                resources=Resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
            ),
        )

    return record(program)


def test_the_service_accepts_its_settings_file(recording: Recording) -> None:
    settings = ServiceGraphSettings.parse(
        yaml.safe_load(recording.one("ConfigMap", "service-graph")["data"]["config.yaml"])
    )
    assert settings.kafka.username == "service-graph"
    assert settings.kafka.topic == "telemetry-traces"
    assert settings.search.url == "https://search.obs.svc.cluster.local:9200"
    assert settings.search.username == "search-writer"
    assert settings.search.index == "internal-jaeger-dependencies-write"
    assert settings.interval_s == 60


def test_there_is_one_and_the_next_starts_when_it_is_gone(recording: Recording) -> None:
    deployment = recording.one("Deployment", "service-graph")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"]["type"] == "Recreate"
    [container] = deployment["template"]["spec"]["containers"]
    assert container["command"][:3] == ["/usr/bin/python3", "-m", "services.service_graph"]
    paths = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": 8080, "scheme": "HTTPS"}


def test_it_reaches_kafka_and_the_search_cluster_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "service-graph")["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 9092, 9200}
    [ingress] = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [8080]


def test_passwords_are_in_the_secret_only(recording: Recording) -> None:
    secret = recording.one("Secret", "service-graph-auth")
    values = secret.get("stringData") or {
        key: base64.b64decode(value).decode() for key, value in secret["data"].items()
    }
    assert values["kafka-password"] == "password-of-service-graph"
    assert values["search-password"] == "password-of-search-writer"
    assert set(values) == {"kafka-password", "search-password", "scrape-password"}
    assert "password-of" not in str(recording.one("ConfigMap", "service-graph"))
