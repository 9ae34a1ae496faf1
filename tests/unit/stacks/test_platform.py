"""What every stack's manifests have in common: hardening, network rules, secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from components import java
from components.k8s.workload import AT_START, CERTIFICATE_READ, CHECKSUM
from components.signin import LOGINS
from tests.support import engine
from tests.support.engine import Recording

WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet")


SHARDED = "local in shards"


@pytest.fixture(params=[*engine.STACKS, SHARDED])
def recording(request: pytest.FixtureRequest) -> Recording:
    return engine.sharded() if request.param == SHARDED else engine.recorded(request.param)


def _pods(recording: Recording) -> list[tuple[str, dict[str, Any]]]:
    return [(manifest["metadata"]["name"], manifest["spec"]["template"]) for manifest in recording.kinds(*WORKLOADS)]


def _containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]


def _selected(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def test_each_part_of_the_flow_is_one_component_of_pulumi(recording: Recording) -> None:
    parts = [resource.token for resource in recording.resources if resource.token.startswith("obs:platform:")]
    assert sorted(parts) == [
        "obs:platform:Alerting",
        "obs:platform:Endpoints",
        "obs:platform:Metrics",
        "obs:platform:Platform",
        "obs:platform:Regions",
        "obs:platform:SignIns",
        "obs:platform:Traces",
        "obs:platform:Visualization",
    ]


def test_every_workload_of_the_flow_is_there(recording: Recording) -> None:
    expected = {
        "kafka",
        "kafka-lag",
        "gateway",
        "metrics-consumer-primary",
        "metrics-consumer-secondary",
        "prometheus-primary",
        "prometheus-secondary",
        "thanos-query",
    }
    assert expected <= {name for name, _ in _pods(recording)}


def test_every_pod_meets_pod_security_restricted(recording: Recording) -> None:
    for name, template in _pods(recording):
        spec = template["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 65532, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in _containers(template):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own["readOnlyRootFilesystem"] is True, name


def test_no_pod_has_an_api_token_and_each_has_its_own_account(recording: Recording) -> None:
    accounts = {manifest["metadata"]["name"]: manifest for manifest in recording.kinds("ServiceAccount")}
    for name, template in _pods(recording):
        assert template["spec"]["serviceAccountName"] == name
        assert template["spec"]["automountServiceAccountToken"] is False, name
        assert accounts[name]["automountServiceAccountToken"] is False, name


def test_every_container_has_command_requests_limits_and_a_pinned_image(recording: Recording) -> None:
    for name, template in _pods(recording):
        for container in _containers(template):
            assert container["command"], name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name
            tag = container["image"].rsplit("/", 1)[1].partition(":")[2]
            assert tag, f"{name}: {container['image']} has no tag"
            assert tag != "latest", f"{name}: {container['image']} moves"


def test_every_container_that_stays_has_probes(recording: Recording) -> None:
    for name, template in _pods(recording):
        for container in template["spec"]["containers"]:
            for probe in ("readinessProbe", "livenessProbe"):
                handlers = {"exec", "tcpSocket", "httpGet"} & container[probe].keys()
                assert len(handlers) == 1, f"{name}/{container['name']}: {probe} has {handlers}"


def test_every_workload_has_a_disruption_budget_and_spreads_over_hosts_and_zones(recording: Recording) -> None:
    budgets = recording.kinds("PodDisruptionBudget")
    on_every_node = {manifest["metadata"]["name"] for manifest in recording.kinds("DaemonSet")}
    for name, template in _pods(recording):
        if name in on_every_node:
            continue
        labels = template["metadata"]["labels"]
        matching = [budget for budget in budgets if _selected(labels, budget["spec"]["selector"])]
        assert len(matching) == 1, f"{name} has {len(matching)} disruption budgets"
        assert matching[0]["spec"]["maxUnavailable"] == 1, name
        keys = {constraint["topologyKey"] for constraint in template["spec"]["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, name


def test_everything_is_denied_by_default_and_each_workload_has_one_policy(recording: Recording) -> None:
    policies = recording.kinds("NetworkPolicy")
    deny = recording.one("NetworkPolicy", "default-deny")
    assert deny["spec"].keys() == {"podSelector", "policyTypes"}
    assert deny["spec"]["podSelector"] == {}
    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for name, template in _pods(recording):
        labels = template["metadata"]["labels"]
        own = [policy for policy in policies if policy is not deny and policy["spec"]["podSelector"].get("matchLabels")]
        own = [network_policy for network_policy in own if _selected(labels, network_policy["spec"]["podSelector"])]
        assert [network_policy["metadata"]["name"] for network_policy in own] == [name]
        assert own[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_no_rule_of_a_policy_is_open_to_everybody(recording: Recording) -> None:
    for policy in recording.kinds("NetworkPolicy"):
        name = policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{name} lets everybody in"
            assert rule.get("ports"), f"{name} opens every port"
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to"), f"{name} lets out to everybody"
            assert rule.get("ports"), f"{name} lets out to every port"


def test_every_load_balancer_names_who_may_connect(recording: Recording) -> None:
    balancers = [manifest for manifest in recording.kinds("Service") if manifest["spec"]["type"] == "LoadBalancer"]
    assert {"gateway", "thanos-query", "kafka-external-0"} <= {balancer["metadata"]["name"] for balancer in balancers}
    for balancer in balancers:
        name = balancer["metadata"]["name"]
        assert balancer["spec"]["loadBalancerSourceRanges"], name
        assert "0.0.0.0/0" not in balancer["spec"]["loadBalancerSourceRanges"], name


def test_headless_services_are_not_awaited_and_publish_pods_that_are_not_ready(recording: Recording) -> None:
    headless = [manifest for manifest in recording.kinds("Service") if manifest["spec"].get("clusterIP") == "None"]
    names = {service["metadata"]["name"] for service in headless}
    assert names == {f"{name}-headless" for name, _ in _pods(recording)}
    for service in headless:
        assert service["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
        assert service["spec"]["publishNotReadyAddresses"] is True


def test_every_workload_offers_its_metrics_under_a_password_of_its_own(recording: Recording) -> None:
    logins = recording.outputs["scrape_credentials"]
    # The index manager measures the search cluster; logins are probed, pod by pod.
    workloads = {name for name, _ in _pods(recording)} - {"search", *LOGINS}
    assert workloads <= logins.keys()
    for name in workloads:
        ports = recording.one("Service", f"{name}-headless")["spec"]["ports"]
        assert "metrics" in {port["name"] for port in ports}, name


def test_passwords_are_only_in_secrets(recording: Recording) -> None:
    assert len(set(recording.passwords.values())) == len(recording.passwords) > 10
    for manifest in recording.manifests():
        if manifest["kind"] == "Secret":
            continue
        text = json.dumps(manifest)
        for name, password in recording.passwords.items():
            assert password not in text, f"{manifest['kind']} {manifest['metadata']['name']} shows {name}"


def test_every_password_is_used(recording: Recording) -> None:
    rendered = [resource.inputs for resource in recording.resources if resource.token != engine.PASSWORD]
    texts = list(engine.texts([rendered, recording.outputs["backups"]]))
    texts += [base64.b64decode(text.removeprefix("Basic ")).decode() for text in texts if text.startswith("Basic ")]
    hashed = {
        "keystore",
        "scrape",
        "gateway",
        "reader",
        "writer",
        "sidecar",
        "sampling",
        "log-reader",
        "alertmanager-operator",
        "tool_secret",
    }
    for name, password in recording.passwords.items():
        if any(part in name for part in hashed):
            continue
        assert any(password in text for text in texts), f"{name} is made but nothing uses it"


def test_a_changed_file_rolls_the_pods_that_mount_it() -> None:
    settings = engine.stack_settings("local")
    settings["topics"] = {"telemetry-metrics": {"partitions": 18, "retention_days": 30}}
    settings["kafka"]["brokers"][0]["host"] = "198.18.0.13"
    changed = engine.record("local", settings)
    before, after = (
        run.one("StatefulSet", "kafka")["spec"]["template"]["metadata"]["annotations"]["obs.config/checksum"]
        for run in (engine.recorded("local"), changed)
    )
    assert before != after


def test_those_are_marked_that_read_their_certificate_only_when_they_start(recording: Recording) -> None:
    marked = {
        name
        for name, template in _pods(recording)
        if template["metadata"].get("annotations", {}).get(CERTIFICATE_READ) == AT_START
    }
    running = {
        name
        for name, template in _pods(recording)
        if any(
            "oauth2-proxy" in container["image"]
            or any(word.startswith(f"-javaagent:{java.AGENT}=") for word in container.get("command", ()))
            for container in template["spec"]["containers"]
        )
    }
    assert "kafka" in running
    assert marked == running
    assert len(marked) >= 4


def test_a_changed_threshold_or_address_does_not_restart_prometheus() -> None:
    settings = engine.stack_settings("local")
    settings["alerting"]["escalation"]["critical"] = "6m"
    changed = engine.record("local", settings)
    before, after = (run.one("ConfigMap", "prometheus-rules")["data"] for run in (engine.recorded("local"), changed))
    assert before != after
    command = changed.one("StatefulSet", "prometheus-primary")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--config.auto-reload" in command
    sums = [
        run.one("StatefulSet", "prometheus-primary")["spec"]["template"]["metadata"]["annotations"][CHECKSUM].split("-")
        for run in (engine.recorded("local"), changed)
    ]
    # Of the object storage and of the web configuration.
    assert [len(checksums) for checksums in sums] == [2, 2]
    assert sums[0] == sums[1]


def test_the_program_says_the_same_twice() -> None:
    again = engine.record("local", engine.stack_settings("local"))

    def order(run: Recording) -> list[str]:
        return sorted(
            json.dumps(manifest, sort_keys=True)
            for manifest in run.manifests()
            if manifest["kind"] not in ("Secret", *WORKLOADS)  # bcrypt salts differ
        )

    assert order(again) == order(engine.recorded("local"))


def test_autoscalers_own_the_number_of_stateless_pods() -> None:
    for stack in ("prod", "dr"):
        assert _scaled(stack) == {
            "gateway",
            "jaeger-collector",
            "jaeger-query-public",
            "jaeger-query-internal",
            "jaeger-query-confidential",
            "grafana",
        }


def test_two_cores_have_no_room_for_more_gateways_and_still_an_autoscaler_that_watches_them() -> None:
    for stack in ("local", "local-dr"):
        assert _scaled(stack) == {"gateway"}
        spec = engine.recorded(stack).one("HorizontalPodAutoscaler", "gateway")["spec"]
        replicas = engine.recorded(stack).one("StatefulSet", "gateway")["spec"]["replicas"]
        assert spec["minReplicas"] == spec["maxReplicas"] == replicas


@pytest.fixture(scope="module")
def bounded() -> Recording:
    """The production stack with bounds of its own, and no recommendations of sizes."""
    settings = engine.stack_settings("prod")
    assert settings["autoscaling"].pop("recommendations")
    settings["autoscaling"] = {
        "horizontal": {"gateway": {"minimum": 3, "maximum": 20, "cpu_percent": 50}, "jaeger-query": None}
    }
    return engine.record("prod", settings)


def test_a_stack_file_says_where_bounds_differ_from_the_profile(bounded: Recording) -> None:
    recording = bounded
    spec = recording.one("HorizontalPodAutoscaler", "gateway")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 20)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    names = {scaler["metadata"]["name"] for scaler in recording.kinds("HorizontalPodAutoscaler")}
    assert names == {"gateway", "jaeger-collector", "grafana"}


@pytest.mark.parametrize("stack", [*engine.STACKS, "local-dr"])
def test_sizes_are_recommended_for_every_workload_and_changed_for_none(stack: str) -> None:
    recording = engine.recorded(stack)
    workloads = {(item["kind"], item["metadata"]["name"]) for item in recording.kinds(*WORKLOADS)}
    scalers = recording.kinds("VerticalPodAutoscaler")
    targets = [scaler["spec"]["targetRef"] for scaler in scalers]
    assert {(target["kind"], target["name"]) for target in targets} == workloads
    assert len(targets) == len(workloads)
    assert all(target["apiVersion"] == "apps/v1" for target in targets)
    for scaler in scalers:
        assert scaler["apiVersion"] == "autoscaling.k8s.io/v1"
        assert scaler["metadata"]["name"] == scaler["spec"]["targetRef"]["name"]
        assert scaler["spec"]["updatePolicy"] == {"updateMode": "Off"}


def test_without_the_setting_no_size_is_recommended(bounded: Recording) -> None:
    assert bounded.kinds("VerticalPodAutoscaler") == []
    assert engine.recorded("kind").kinds("VerticalPodAutoscaler") == []


def _scaled(stack: str) -> set[str]:
    scalers = engine.recorded(stack).kinds("HorizontalPodAutoscaler")
    return {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers}


def test_the_local_platform_asks_for_little_enough_cpu_for_two_cores() -> None:
    total = 0
    for manifest in engine.recorded("local").kinds(*WORKLOADS):
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            total += manifest["spec"].get("replicas", 1) * int(
                container["resources"]["requests"]["cpu"].removesuffix("m")
            )
    assert total <= 1750, f"{total}m"


def test_outputs_are_those_that_operators_read(recording: Recording) -> None:
    assert set(recording.outputs) == {
        "alert_escalation",
        "alertmanager_operator",
        "alertmanager_url",
        "audit_reader",
        "ca_certificate",
        "consumer_groups",
        "fingerprints",
        "topic_partitions",
        "grafana_admin",
        "grafana_url",
        "id_hash_key",
        "image_digests",
        "kafka_admin",
        "kafka_bootstrap",
        "kafka_users",
        "kafka_former_logins",
        "kafka_login_generations",
        "log_reader",
        "namespace",
        "not_promised",
        "notify_channels",
        "otlp_credentials",
        "otlp_former_credentials",
        "otlp_password_generations",
        "otlp_grpc",
        "otlp_http",
        "platform",
        "prometheus_credentials",
        "prometheus_replicas",
        "prometheus_shards",
        "query_reader",
        "query_url",
        "region",
        "regions",
        "scrape_credentials",
        "reports",
        "backups",
        "sampling_login",
        "sampling_url",
        "search_url",
        "sign_in_urls",
        "topics",
        "trace_login",
        "trace_query_urls",
    }
    assert recording.outputs["ca_certificate"] == engine.AUTHORITY
    assert set(recording.outputs["otlp_credentials"]) == {"device", "streaming", "business", "data", "analytics"}
