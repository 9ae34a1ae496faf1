"""The simulator's Kubernetes objects: hardened, closed off, and without a password outside the Secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry.layers import LAYER_NAMES
from lab import LabError
from lab.simulator import deploy
from lab.simulator.config import parse, parse_document

OUTPUTS = {
    "namespace": "obs-local",
    "ca_certificate": "-----BEGIN CERTIFICATE-----\n",
    "otlp_credentials": {name: {"username": name, "password": f"secret-of-{name}"} for name in LAYER_NAMES},
}
IMAGE = "registry.lab.internal/lab/simulator:1@sha256:0"
PULL_SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": "obs-devices"}}


class RecordingCluster:
    """Stands in for `deploy.Cluster` and keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []
        self.waited = self.nudged = 0

    def apply(self, body: dict[str, Any]) -> None:
        """Keep the object."""
        self.applied.append(body)

    def wait_ready(self) -> None:
        """Count."""
        self.waited += 1

    def nudge(self) -> None:
        """Count."""
        self.nudged += 1


def find(kind: str, name: str) -> dict[str, Any]:
    """One object of those that are applied."""
    return next(
        body
        for body in deploy.objects(OUTPUTS, IMAGE, PULL_SECRET, devices=36)
        if (body["kind"], body["metadata"]["name"]) == (kind, name)
    )


def test_the_namespace_is_restricted_and_may_reach_the_gateway() -> None:
    labels = find("Namespace", "obs-devices")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["obs.access/otlp"] == "true"


def test_the_configuration_is_one_that_the_simulator_accepts() -> None:
    values = yaml.safe_load(find("ConfigMap", "simulator")["data"]["config.yaml"])
    config = parse(values, "f")
    assert config.endpoint == "https://gateway.obs-local.svc.cluster.local:4318"
    assert config.devices == 36


def test_an_empty_fault_plan_and_one_with_faults_are_readable() -> None:
    assert parse_document(find("ConfigMap", "simulator-faults")["data"]["faults.yaml"], "f") == ()
    plan = deploy.fault_plan([{"kind": "cpu", "duration": 60}])
    assert [fault.kind for fault in parse_document(plan["data"]["faults.yaml"], "f")] == ["cpu"]


def test_passwords_are_in_the_secret_and_nowhere_else() -> None:
    for body in deploy.objects(OUTPUTS, IMAGE, PULL_SECRET, devices=36):
        text = json.dumps(body)
        for name in LAYER_NAMES:
            secret = f"secret-of-{name}"
            assert secret not in text
            encoded = base64.b64encode(secret.encode()).decode()
            assert (encoded in text) == (body["metadata"]["name"] == "simulator-credentials")


def test_the_pod_is_hardened() -> None:
    pod = find("Deployment", "simulator")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = pod["containers"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container["resources"])
    assert container["image"] == IMAGE
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert find("Secret", "registry") == PULL_SECRET


def test_everything_is_denied_but_dns_and_the_gateway() -> None:
    deny = find("NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allow = find("NetworkPolicy", "simulator")["spec"]
    assert allow["policyTypes"] == ["Egress"]
    ports = [[port["port"] for port in rule["ports"]] for rule in allow["egress"]]
    assert ports == [[53, 53], [4317, 4318]]
    peer = allow["egress"][1]["to"][0]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "obs-local"}
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "gateway"}


def test_a_new_password_rolls_the_pod_and_a_new_fault_plan_does_not() -> None:
    def checksum(outputs: dict[str, Any], **more: Any) -> str:
        body = deploy.objects(outputs, IMAGE, PULL_SECRET, devices=36, **more)[-1]
        return str(body["spec"]["template"]["metadata"]["annotations"]["obs.lab/config"])

    changed = {**OUTPUTS, "otlp_credentials": {name: {"password": "other"} for name in LAYER_NAMES}}
    assert checksum(OUTPUTS) == checksum(OUTPUTS, faults=[{"kind": "cpu"}])
    assert checksum(OUTPUTS) != checksum(changed)


def test_applying_applies_the_namespace_first_and_waits() -> None:
    cluster = RecordingCluster()
    deploy.apply(OUTPUTS, IMAGE, PULL_SECRET, cluster)  # type: ignore[arg-type]
    assert cluster.applied[0]["kind"] == "Namespace"
    assert cluster.applied[-1]["kind"] == "Deployment"
    assert cluster.waited == 1


def test_a_missing_output_is_one_clear_line() -> None:
    with pytest.raises(LabError, match="outputs of the local stack lack 'otlp_credentials': run `make up` first"):
        deploy.apply({"namespace": "obs-local", "ca_certificate": ""}, IMAGE, PULL_SECRET, RecordingCluster())  # type: ignore[arg-type]


def test_faults_are_checked_before_they_reach_the_cluster(tmp_path: Path) -> None:
    cluster = RecordingCluster()
    file = tmp_path / "faults.yaml"
    with pytest.raises(LabError, match="cannot read"):
        deploy.set_faults(cluster, file)  # type: ignore[arg-type]
    file.write_text("faults: [{kind: rain}]")
    with pytest.raises(LabError, match="kind is 'rain'"):
        deploy.set_faults(cluster, file)  # type: ignore[arg-type]
    assert cluster.applied == []
    file.write_text("faults: [{kind: cpu, duration: 60}, {kind: battery, targets: 2}]")
    deploy.set_faults(cluster, file)  # type: ignore[arg-type]
    (body,) = cluster.applied
    assert cluster.nudged == 1
    faults = parse_document(body["data"]["faults.yaml"], "f")
    assert [(fault.kind, fault.targets) for fault in faults] == [("cpu", 3), ("battery", 2)]


def test_an_unreachable_cluster_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["--kubeconfig", str(tmp_path / "none"), "remove"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: cannot reach the cluster of")
