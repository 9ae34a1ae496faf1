"""The mirror's objects in the cluster."""

from __future__ import annotations

import json

import pytest

from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.engine import Recording
from tests.unit.mirror.stubs import AUTHORITY, SOURCE_PASSWORD, TARGET_PASSWORD, recorded

ALONE = {
    "replicas-least",
    "certificate-authority",
    "image-registry",
    "network-default-deny",
    "namespace-made",
}
"""Rules that need the rest of a platform to look at."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recorded()


def test_there_is_one_process_and_never_two_at_a_time(recording: Recording) -> None:
    spec = recording.one("Deployment", "mirror-maker")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["type"] == "Recreate"
    assert recording.one("PodDisruptionBudget", "mirror-maker")["spec"]["maxUnavailable"] == 1


def test_it_reaches_the_source_and_its_own_brokers_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "mirror-maker")["spec"]
    outside, inside, names = policy["egress"]
    assert outside["to"] == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]
    assert [port["port"] for port in outside["ports"]] == [9094]
    assert inside["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "kafka"
    assert [port["port"] for port in inside["ports"]] == [9092]
    assert {port["port"] for port in names["ports"]} == {53}
    [ingress] = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [9404]
    labels = recording.one("Deployment", "mirror-maker")["spec"]["template"]["metadata"]["labels"]
    assert labels["obs.access/kafka"] == "true"


def test_passwords_are_in_secrets_only_and_reach_the_process_as_a_file(recording: Recording) -> None:
    data = recording.one("Secret", "mirror-maker-auth")["stringData"]
    assert data == {"passwords.properties": f"source={SOURCE_PASSWORD}\ntarget={TARGET_PASSWORD}\n"}
    for manifest in recording.manifests():
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert SOURCE_PASSWORD not in text
            assert TARGET_PASSWORD not in text
    mounts = recording.one("Deployment", "mirror-maker")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "auth", "mountPath": "/etc/mirror-maker-auth", "readOnly": True} in mounts


def test_it_trusts_the_other_region_by_that_regions_authority(recording: Recording) -> None:
    assert recording.one("ConfigMap", "mirror-maker")["data"]["source-ca.crt"] == AUTHORITY


def test_it_has_a_certificate_with_a_key_store_for_its_metrics(recording: Recording) -> None:
    store = recording.one("Certificate", "mirror-maker")["spec"]["keystores"]["pkcs12"]
    assert store["passwordSecretRef"] == {"name": "mirror-maker-keystore", "key": "password"}
    assert "passwordHash" in recording.one("Secret", "mirror-maker-metrics")["stringData"]["jmx-exporter.yaml"]


def test_it_passes_every_policy_that_can_see_it_alone(recording: Recording) -> None:
    resources = [
        Resource(resource.token, resource.name, resource.inputs)
        for resource in recording.resources
        if not resource.read
    ]
    stopping = [
        verdict for verdict in Runner(agreed=[]).all(resources) if verdict.stops and verdict.rule.id not in ALONE
    ]
    assert [verdict.message for verdict in stopping] == []
    assert {rule.id for rule in RULES} >= ALONE
