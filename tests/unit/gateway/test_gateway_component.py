"""The gateway's objects in the recorded local stack."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from components.gateway import component
from components.gateway.config import DRAIN_AT_LEAST_S, DRAIN_LIMIT_S
from components.masking import KEY_BYTES
from components.telemetry.layers import LAYER_NAMES
from tests.support import engine


def pod(name: str = "gateway", stack: str = "local") -> dict[str, Any]:
    spec: dict[str, Any] = engine.recorded(stack).one("StatefulSet", name)["spec"]["template"]["spec"]
    return spec


def secret(name: str) -> dict[str, str]:
    manifest = engine.recorded("local").one("Secret", name)
    texts: dict[str, str] = dict(manifest.get("stringData", {}))
    return texts | {key: base64.b64decode(value).decode() for key, value in manifest.get("data", {}).items()}


def test_two_gateways_run_behind_a_load_balancer() -> None:
    recording = engine.recorded("local")
    assert recording.one("StatefulSet", "gateway")["spec"]["replicas"] == 2
    service = recording.one("Service", "gateway")["spec"]
    assert service["type"] == "LoadBalancer"
    assert sorted(port["port"] for port in service["ports"]) == [4317, 4318]


def test_production_gateways_scale_by_themselves() -> None:
    scaler = engine.recorded("prod").one("HorizontalPodAutoscaler", "gateway")["spec"]
    assert scaler["minReplicas"] >= 2
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gateway"}


def test_every_layer_and_the_agents_have_a_password_of_their_own() -> None:
    users = [line.partition(":")[0] for line in secret("gateway-auth")["clients.htpasswd"].splitlines()]
    assert users == sorted([*LAYER_NAMES, "agent"])


def test_the_configuration_holds_no_password() -> None:
    recording = engine.recorded("local")
    text = recording.one("ConfigMap", "gateway")["data"]["config.yaml"]
    assert not [name for name, value in recording.passwords.items() if value in text]
    assert yaml.safe_load(text)["exporters"]["kafkabuckets/metrics"]["auth"]["password"].startswith("${file:")


def test_the_key_for_ids_is_long_enough_and_in_the_secret_only() -> None:
    key = secret("gateway-auth")["hash-key"]
    assert len(key) >= KEY_BYTES
    config = engine.recorded("local").one("ConfigMap", "gateway")["data"]["config.yaml"]
    assert key not in config
    assert "${file:/etc/otelcol-auth/hash-key}" in config


def test_the_queue_is_on_a_volume_that_outlives_the_pod() -> None:
    claims = engine.recorded("local").one("StatefulSet", "gateway")["spec"]["volumeClaimTemplates"]
    assert [claim["metadata"]["name"] for claim in claims] == ["queue"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]}
    assert mounts["queue"] == "/var/lib/otelcol"


def test_a_changed_catalogue_reaches_running_gateways_and_rolls_none() -> None:
    recording = engine.recorded("local")
    catalogue = yaml.safe_load(recording.one("ConfigMap", "gateway-catalogue")["data"]["catalogue.yaml"])
    assert catalogue["clients"] == {**{name: [name] for name in LAYER_NAMES}, "agent": list(LAYER_NAMES)}
    [volume] = [volume for volume in pod()["volumes"] if volume["name"] == "catalogue"]
    assert volume["configMap"]["name"] == "gateway-catalogue"
    [mount] = [mount for mount in pod()["containers"][0]["volumeMounts"] if mount["name"] == "catalogue"]
    assert mount["mountPath"] == "/etc/otelcol-gate"
    assert "subPath" not in mount, "a single file of a volume is never renewed"


@pytest.mark.parametrize(("stack", "layers"), [("local", {"streaming"}), ("prod", set())])
def test_only_the_labs_layer_of_corpora_is_open(stack: str, layers: set[str]) -> None:
    text = engine.recorded(stack).one("ConfigMap", "gateway-catalogue")["data"]["catalogue.yaml"]
    assert {name for name, layer in yaml.safe_load(text)["layers"].items() if layer.get("open")} == layers


def test_another_catalogue_leaves_the_pods_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        component, "gate_catalogue", lambda clients, *, open_layers=(), oldest_point=None: {"version": "another"}
    )
    changed = engine.record("local", engine.stack_settings("local"))
    assert changed.one("ConfigMap", "gateway-catalogue")["data"] == {"catalogue.yaml": "version: another\n"}
    assert changed.one("StatefulSet", "gateway") == engine.recorded("local").one("StatefulSet", "gateway")


def test_a_stopping_gateway_lets_load_balancers_and_prometheus_notice_first() -> None:
    config = yaml.safe_load(engine.recorded("local").one("ConfigMap", "gateway")["data"]["config.yaml"])
    assert config["extensions"]["drain"]["at_least"] == f"{DRAIN_AT_LEAST_S}s"
    port = int(config["extensions"]["drain"]["endpoint"].rpartition(":")[2])
    question = pod()["containers"][0]["lifecycle"]["preStop"]
    assert question == {"httpGet": {"path": "/", "port": port, "scheme": "HTTPS"}}
    assert pod()["terminationGracePeriodSeconds"] == DRAIN_LIMIT_S + 60
    prometheus = yaml.safe_load(
        engine.recorded("local").one("ConfigMap", "prometheus-primary")["data"]["prometheus.yml"]
    )
    intervals = [prometheus["global"][name] for name in ("scrape_interval", "evaluation_interval")]
    [reader] = config["service"]["telemetry"]["metrics"]["readers"]
    reported_s = reader["periodic"]["interval"] / 1000
    assert reported_s + sum(float(interval.removesuffix("s")) for interval in intervals) < DRAIN_AT_LEAST_S


def test_gateways_reach_kafka_and_dns_and_nothing_else() -> None:
    policy = engine.recorded("local").one("NetworkPolicy", "gateway")["spec"]
    ports = sorted(port["port"] for rule in policy["egress"] for port in rule["ports"])
    assert ports == [53, 53, 9092]


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_ask_the_health_endpoint_over_tls(probe: str) -> None:
    http_get = pod()["containers"][0][probe]["httpGet"]
    assert (http_get["scheme"], http_get["port"]) == ("HTTPS", 13133)


@pytest.mark.parametrize("stack", engine.STACKS)
def test_prometheus_takes_what_the_gate_lets_in_after_an_outage_as_long_again(stack: str) -> None:
    recording = engine.recorded(stack)
    catalogue = yaml.safe_load(recording.one("ConfigMap", "gateway-catalogue")["data"]["catalogue.yaml"])
    for name in ("prometheus-primary", "prometheus-secondary"):
        config = yaml.safe_load(recording.one("ConfigMap", name)["data"]["prometheus.yml"])
        window = config["storage"]["tsdb"]["out_of_order_time_window"]
        assert int(window.removesuffix("h")) == 2 * int(catalogue["limits"]["metrics_past"].removesuffix("h"))
