"""The alert event service's objects in the cluster, its settings as the service reads them, and every policy."""

from __future__ import annotations

import base64
import hashlib

import pulumi
import pytest
import yaml

from components.alertevents import (
    PORT,
    AlertEvents,
    AlertEventsArgs,
    alert_events_endpoint,
    alert_events_receiver,
)
from components.k8s import DeploymentContext, Resources
from services.alert_events import AlertEventsSettings
from services.runtime.kafka_sender import ANSWER_S
from tests.support.deployment_context import metrics
from tests.support.engine import PASSWORD, Recording
from tests.unit.k8s.namespaces import in_namespace, violations
from tests.unit.sampler.stubs import deployment_context, kafka, record

HOST = "alert-events.obs.svc.cluster.local"


def program(where: DeploymentContext) -> AlertEvents:
    owner = pulumi.ComponentResource("obs:test:Endpoints", "endpoints")
    return AlertEvents(
        "alert-events",
        AlertEventsArgs(
            context=where,
            endpoint=alert_events_endpoint(owner, where),
            receiver=alert_events_receiver(owner, where),
            scrape=metrics(where, "alert-events", PORT),
            kafka=kafka("alert-events"),
            resources=Resources(cpu="50m", memory="96Mi", memory_limit="384Mi"),
        ),
    )


@pytest.fixture(scope="module")
def component() -> tuple[Recording, AlertEvents]:
    kept: list[AlertEvents] = []
    recording = record(lambda: kept.append(program(deployment_context())))
    return recording, kept[0]


@pytest.fixture(scope="module")
def recording(component: tuple[Recording, AlertEvents]) -> Recording:
    return component[0]


def test_the_service_accepts_its_settings_file(recording: Recording) -> None:
    settings = AlertEventsSettings.parse(
        yaml.safe_load(recording.one("ConfigMap", "alert-events")["data"]["config.yaml"])
    )
    assert settings.kafka.bootstrap == "kafka.obs.svc.cluster.local:9092"
    assert settings.kafka.user == "alert-events"
    assert (settings.topics.raw, settings.topics.processed) == ("alerts-raw", "alerts-processed")
    assert settings.listen_port == 8443
    secret = recording.one("Secret", "alert-events-auth")
    files = {login.password_file.name for login in (settings.prometheus, settings.alertmanager, settings.metrics)}
    assert files | {settings.kafka.password_file.name} == set(secret["stringData"])


def test_prometheus_finds_one_address_whatever_pods_there_are(component: tuple[Recording, AlertEvents]) -> None:
    recording, events = component
    receiver = events.receiver
    service = recording.one("Service", "alert-events")["spec"]
    assert service["type"] == "ClusterIP"
    assert "clusterIP" not in service, "a headless Service would list every pod, and each would write the alert"
    [port] = service["ports"]
    assert receiver.srv == f"_{port['name']}._tcp.{HOST}"
    assert port["port"] == receiver.port == 8443
    assert (receiver.server_name, receiver.path_prefix) == (HOST, "/raw")
    assert receiver.credential.username == "prometheus"


def test_alertmanager_is_told_the_other_endpoint_with_another_login(component: tuple[Recording, AlertEvents]) -> None:
    recording, events = component
    assert events.endpoint.url == f"https://{HOST}:8443/processed"
    assert events.endpoint.server_name == HOST
    assert events.endpoint.credential.username == "alertmanager"
    assert events.endpoint.access_label == events.receiver.access_label == "obs.access/alert-events"
    assert {recorded.name for recorded in recording.of(PASSWORD)} == {
        "alert-events-prometheus",
        "alert-events-alertmanager",
        "scrape-alert-events",
    }


def test_there_is_one_and_the_next_starts_when_it_is_gone(recording: Recording) -> None:
    deployment = recording.one("Deployment", "alert-events")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"]["type"] == "Recreate"
    [container] = deployment["template"]["spec"]["containers"]
    assert container["command"][:3] == ["/usr/bin/python3", "-m", "services.alert_events"]
    assert {name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")} == {
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }


def test_posts_under_way_are_answered_before_the_pod_is_killed(recording: Recording) -> None:
    pod = recording.one("Deployment", "alert-events")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + 2 * (ANSWER_S + 1)


def test_it_reaches_kafka_only_and_only_its_senders_and_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "alert-events")["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 9092}
    [ingress] = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [8443]
    labels = [peer["podSelector"]["matchLabels"] for peer in ingress["from"]]
    assert labels == [{"obs.access/alert-events": "true"}, {"obs.access/metrics": "true"}]


def test_passwords_are_in_the_secret_only(recording: Recording) -> None:
    values = recording.one("Secret", "alert-events-auth")["stringData"]
    assert values["kafka-password"] == "password-of-alert-events"
    everything_else = str([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"])
    for value in values.values():
        assert value not in everything_else
        assert base64.b64encode(value.encode()).decode() not in everything_else
        assert hashlib.sha256(value.encode()).hexdigest() not in everything_else


def test_its_metrics_are_scraped_with_a_user_of_their_own(component: tuple[Recording, AlertEvents]) -> None:
    _, events = component
    assert events.scrape.job == "alert-events"
    assert events.scrape.srv == "_metrics._tcp.alert-events-headless.obs.svc.cluster.local"
    assert events.scrape.credential.username == "scrape-alert-events"


def test_in_its_namespace_it_passes_every_policy() -> None:
    # Which workloads may be one pod is judged on the whole platform.
    assert violations(in_namespace(program), "replicas-least") == []
