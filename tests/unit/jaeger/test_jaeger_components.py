"""Jaeger's objects: what runs, who reaches whom, where the secrets are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from components.jaeger.query import allowed_groups
from components.telemetry.attributes import CLASSES
from tests.support import engine
from tests.unit.jaeger.stubs import ADDRESSES, GROUPS, default_build

QUERIES = [f"jaeger-query-{name}" for name in CLASSES]


def pod(workload: str) -> dict[str, Any]:
    spec: dict[str, Any] = default_build().recording.one("Deployment", workload)["spec"]["template"]["spec"]
    return spec


def arguments(workload: str) -> dict[str, list[str]]:
    """Options of a query's oauth2-proxy."""
    command = next(container for container in pod(workload)["containers"] if container["name"] == "oauth2-proxy")[
        "command"
    ]
    values_by_option: dict[str, list[str]] = {}
    for argument in command[1:]:
        name, _, value = argument.removeprefix("--").partition("=")
        values_by_option.setdefault(name, []).append(value)
    return values_by_option


def policy(workload: str) -> dict[str, Any]:
    spec: dict[str, Any] = default_build().recording.one("NetworkPolicy", workload)["spec"]
    return spec


def ports(rules: list[dict[str, Any]]) -> list[int]:
    return sorted(port["port"] for rule in rules for port in rule["ports"])


@pytest.mark.parametrize("workload", ["jaeger-collector", *QUERIES])
def test_collectors_and_queries_run_twice_with_a_disruption_budget(workload: str) -> None:
    assert default_build().recording.one("Deployment", workload)["spec"]["replicas"] == 2
    assert default_build().recording.one("PodDisruptionBudget", workload)["spec"]["maxUnavailable"] == 1


def test_collectors_scale_by_themselves_where_that_is_asked_for() -> None:
    scaler = default_build().recording.one("HorizontalPodAutoscaler", "jaeger-collector")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "jaeger-collector"}


@pytest.mark.parametrize("workload", QUERIES)
def test_the_login_is_the_only_way_into_a_query(workload: str) -> None:
    config = yaml.safe_load(default_build().recording.one("ConfigMap", workload)["data"]["config.yaml"])
    query = config["extensions"]["jaeger_query"]
    assert query["http"]["endpoint"].startswith("127.0.0.1:")
    assert query["grpc"]["endpoint"].startswith("127.0.0.1:")
    service = default_build().recording.one("Service", workload)["spec"]
    assert [port["targetPort"] for port in service["ports"]] == [4180]
    assert ports(policy(workload)["ingress"]) == [4180, 8888]
    declared = {
        port["containerPort"] for container in pod(workload)["containers"] for port in container.get("ports", [])
    }
    assert declared == {4180, 8888, 13133}


@pytest.mark.parametrize("clearance", CLASSES)
def test_a_query_reads_its_own_clearance_with_its_own_user(clearance: str) -> None:
    config = yaml.safe_load(
        default_build().recording.one("ConfigMap", f"jaeger-query-{clearance}")["data"]["config.yaml"]
    )
    ((name, backend),) = config["extensions"]["jaeger_storage"]["backends"].items()
    assert name == config["extensions"]["jaeger_query"]["storage"]["traces"] == clearance
    store = backend["opensearch"]
    assert store["indices"] == {"index_prefix": clearance}
    assert store["auth"]["basic"]["username"] == f"jaeger-query-{clearance}"
    assert store["use_aliases"]
    assert not store["create_mappings"]


def test_a_clearance_admits_its_own_groups_and_those_of_more_restricted_classes() -> None:
    assert arguments("jaeger-query-public")["allowed-group"] == [f"traces-{name}" for name in CLASSES]
    assert arguments("jaeger-query-internal")["allowed-group"] == ["traces-internal", "traces-confidential"]
    assert arguments("jaeger-query-confidential")["allowed-group"] == ["traces-confidential"]
    assert allowed_groups("confidential", {"public": ("everybody",), "confidential": ("few",)}) == ("few",)


@pytest.mark.parametrize("clearance", CLASSES)
def test_the_proxy_demands_a_login_for_everything(clearance: str) -> None:
    options = arguments(f"jaeger-query-{clearance}")
    for free in ("skip-auth-route", "skip-auth-regex", "trusted-ip", "skip-auth-preflight", "htpasswd-file"):
        assert free not in options
    assert options["redirect-url"] == [f"https://{ADDRESSES[clearance]}:4180/oauth2/callback"]
    assert options["code-challenge-method"] == ["S256"]
    assert options["bearer-token-login-fallback"] == ["false"]
    assert options["http-address"] == [""]
    assert options["cookie-name"] == [f"__Host-jaeger-query-{clearance}"]


def test_a_query_that_would_admit_everybody_is_refused() -> None:
    from components.login_proxy import OauthConfig

    with pytest.raises(ValueError, match="without a group everybody would be let in"):
        OauthConfig(
            issuer="https://i",
            client_id="c",
            url="https://u",
            upstream="http://127.0.0.1:1/",
            groups=[],
            cookie_name="n",
            requests="other",
            private_authority=True,
        )


@pytest.mark.parametrize("workload", QUERIES)
def test_queries_reach_their_store_their_provider_and_dns_only(workload: str) -> None:
    assert ports(policy(workload)["egress"]) == [53, 53, 5556, 9200]


def test_collectors_admit_samplers_and_let_sdks_ask_for_their_sampling() -> None:
    rules = policy("jaeger-collector")["ingress"]
    by_port = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
    assert by_port[4317] == [{"podSelector": {"matchLabels": {"obs.access/jaeger": "true"}}}]
    assert by_port[5778] == [{"namespaceSelector": {"matchLabels": {"obs.access/otlp": "true"}}}]
    assert ports(policy("jaeger-collector")["egress"]) == [53, 53, 9200]


def test_spans_are_taken_with_a_client_certificate_only() -> None:
    config = yaml.safe_load(default_build().recording.one("ConfigMap", "jaeger-collector")["data"]["config.yaml"])
    assert set(config["receivers"]["otlp"]["protocols"]) == {"grpc"}
    assert config["receivers"]["otlp"]["protocols"]["grpc"]["tls"]["client_ca_file"] == "/etc/tls/ca.crt"


def test_the_endpoint_names_what_clients_need() -> None:
    endpoint = default_build().collector.endpoint
    assert endpoint.grpc == "jaeger-collector.ns.svc.cluster.local:4317"
    assert endpoint.sampling_url == "https://jaeger-sampling.ns.svc.cluster.local:5778"
    assert endpoint.access_label == "obs.access/jaeger"
    query = default_build().queries["internal"].endpoint
    assert query.url == f"https://{ADDRESSES['internal']}:4180"
    assert query.groups == (*GROUPS["internal"], *GROUPS["confidential"])


def test_strategies_are_a_file_of_their_own() -> None:
    text = default_build().recording.one("ConfigMap", "jaeger-sampling")["data"]["strategies.json"]
    assert json.loads(text)["service_strategies"] == [{"service": "recorder", "type": "probabilistic", "param": 0.5}]


def test_no_password_is_in_a_configuration_or_a_command_line() -> None:
    recording = default_build().recording
    for manifest in recording.manifests():
        if manifest["kind"] != "Secret":
            for text in engine.texts(manifest):
                names = [name for name, value in recording.passwords.items() if value in text]
                assert not names, f"{manifest['kind']} {manifest['metadata']['name']} shows {names}"


@pytest.mark.parametrize("workload", ["jaeger-collector", *QUERIES])
def test_pods_are_restricted(workload: str) -> None:
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"]
    for container in spec["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["livenessProbe"]
        assert container["readinessProbe"]


def test_every_query_has_a_cookie_key_of_its_own() -> None:
    keys = [default_build().recording.one("Secret", f"{name}-login")["stringData"]["cookie-secret"] for name in QUERIES]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("workload", QUERIES)
def test_a_provider_with_an_authority_of_its_own_is_verified_by_it(workload: str) -> None:
    content = default_build().recording.one("Secret", f"{workload}-login")["stringData"]
    assert arguments(workload)["provider-ca-file"] == ["/etc/oauth2-proxy/provider-ca.crt"]
    assert content["provider-ca.crt"] == "-----BEGIN CERTIFICATE-----"
    assert content["client-secret"] == "password-of-jaeger"
    assert "use-system-trust-store" not in arguments(workload)
