"""The log indexer's objects in the cluster, and its settings file as the service itself reads it."""

from __future__ import annotations

import base64

import pytest
import yaml

from components.k8s import Resources
from components.logs import LogIndexer, LogIndexerArgs
from services.log_indexer import LogIndexerSettings
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, kafka, record, search

NAME = "log-indexer"


@pytest.fixture(scope="module")
def recording() -> Recording:
    def program() -> None:
        LogIndexer(
            NAME,
            LogIndexerArgs(
                context=deployment_context(),
                scrape=metrics(deployment_context(), NAME),
                kafka=kafka(NAME),
                search=search(NAME, "search-writer"),
                index="logs-write",
                replicas=2,
                resources=Resources(cpu="100m", memory="128Mi", memory_limit="256Mi"),
            ),
        )

    return record(program)


def test_the_service_accepts_its_settings_file(recording: Recording) -> None:
    settings = LogIndexerSettings.parse(yaml.safe_load(recording.one("ConfigMap", NAME)["data"]["config.yaml"]))
    assert (settings.kafka.username, settings.kafka.topic) == (NAME, "telemetry-logs")
    assert settings.search.url == "https://search.obs.svc.cluster.local:9200"
    assert (settings.search.username, settings.search.index) == ("search-writer", "logs-write")


def test_two_share_the_partitions_and_one_stays_while_the_other_is_replaced(recording: Recording) -> None:
    deployment = recording.one("Deployment", NAME)["spec"]
    assert deployment["replicas"] == 2
    assert recording.one("PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1
    [container] = deployment["template"]["spec"]["containers"]
    assert container["command"][:3] == ["/usr/bin/python3", "-m", "services.log_indexer"]
    paths = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": 8080, "scheme": "HTTPS"}


def test_it_reaches_kafka_and_the_search_cluster_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", NAME)["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 9092, 9200}
    [ingress] = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [8080]


def test_passwords_are_in_the_secret_only(recording: Recording) -> None:
    secret = recording.one("Secret", f"{NAME}-auth")
    values = secret.get("stringData") or {
        key: base64.b64decode(value).decode() for key, value in secret["data"].items()
    }
    assert values["kafka-password"] == f"password-of-{NAME}"
    assert values["search-password"] == "password-of-search-writer"
    assert set(values) == {"kafka-password", "search-password", "scrape-password"}
    assert "password-of" not in str(recording.one("ConfigMap", NAME))
