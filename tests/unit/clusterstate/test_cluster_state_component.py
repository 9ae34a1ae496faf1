"""The objects of what tells the state of pods and nodes, what it may read, and every policy."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pulumi_kubernetes as k8s
import pytest
import yaml

from components.clusterstate import METRICS, PORT, WORKLOAD, ClusterState, ClusterStateArgs
from components.clusterstate.rules import cluster_state_rules
from components.dashboards.registry import DASHBOARDS
from components.k8s import DeploymentContext, Resources, default_deny
from components.rules import RuleGroup
from components.tls import Authority
from components.versions import ImageCatalogue
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from stacks import rules
from stacks.check import not_promised
from stacks.settings import Settings, parse
from stacks.sizing import PROFILES
from tests.support import engine
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, record


def program(where: DeploymentContext, *, nodes: bool = True, recommendations: bool = True) -> None:
    ClusterState(
        WORKLOAD,
        ClusterStateArgs(
            context=where,
            scrape=metrics(where, WORKLOAD, PORT),
            nodes=nodes,
            recommendations=recommendations,
            api_networks=["10.0.0.1/32"],
            api_port=6443,
            resources=Resources(cpu="5m", memory="32Mi", memory_limit="128Mi"),
        ),
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(lambda: program(deployment_context()))


def test_it_may_watch_what_it_tells_of_and_nothing_else(recording: Recording) -> None:
    watched = ["list", "watch"]
    assert recording.one("Role", WORKLOAD)["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": watched},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": watched},
        {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": watched},
        {"apiGroups": ["autoscaling.k8s.io"], "resources": ["verticalpodautoscalers"], "verbs": watched},
    ]
    [cluster_role] = recording.kinds("ClusterRole")
    assert cluster_role["metadata"]["name"] == f"obs-{WORKLOAD}"
    assert cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": watched},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": watched},
    ]
    account = [{"kind": "ServiceAccount", "name": WORKLOAD, "namespace": "obs"}]
    bindings = recording.kinds("RoleBinding", "ClusterRoleBinding")
    assert [binding["subjects"] for binding in bindings] == [account, account]


def test_without_nodes_and_recommendations_it_has_no_right_in_the_whole_cluster() -> None:
    narrow = record(lambda: program(deployment_context(), nodes=False, recommendations=False))
    assert narrow.kinds("ClusterRole", "ClusterRoleBinding") == []
    command = _container(narrow)["command"]
    assert "--resources=cronjobs,horizontalpodautoscalers,jobs,pods" in command
    assert [option for option in command if "custom-resource" in option] == []


@pytest.mark.parametrize(
    ("state", "recommendations", "told"),
    [("cluster", True, True), ("cluster", False, False), ("namespace", True, False)],
)
def test_recommended_sizes_are_told_where_there_are_any_and_the_cluster_may_be_read(
    state: str, recommendations: bool, told: bool
) -> None:
    settings = engine.stack_settings("local")
    settings["cluster"]["state"] = state
    settings["autoscaling"]["recommendations"] = recommendations
    recorded = engine.record("local", settings)
    options = _container(recorded)["command"]
    assert any("VerticalPodAutoscaler" in option for option in options) is told


def test_it_reaches_the_api_server_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", WORKLOAD)["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 6443}
    [ingress] = policy["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in ingress["from"]] == [{"obs.access/metrics": "true"}]
    web = yaml.safe_load(recording.one("Secret", f"{WORKLOAD}-web")["stringData"]["web.yml"])
    assert list(web["basic_auth_users"]) == [f"scrape-{WORKLOAD}"]


def _container(recording: Recording) -> dict[str, Any]:
    [container] = recording.one("Deployment", WORKLOAD)["spec"]["template"]["spec"]["containers"]
    content: dict[str, Any] = container
    return content


def test_it_tells_what_rules_and_dashboards_read_and_nothing_else() -> None:
    rules_read = [rule.expr for group in cluster_state_rules(nodes=True) for rule in group.rules]
    dashboards_read = [query.expr for board in DASHBOARDS for panel in board.panels for query in panel.queries]
    assert set(re.findall(r"kube_\w+", " ".join([*rules_read, *dashboards_read]))) == set(METRICS)


def _settings(state: str | None) -> Settings:
    settings = engine.stack_settings("local")
    settings["cluster"]["state"] = state
    return parse(settings, "Pulumi.local.yaml")


def _groups(settings: Settings) -> set[str]:
    rule_groups: tuple[RuleGroup, ...] = rules.groups([], settings, PROFILES[settings.profile])
    return {group.name for group in rule_groups} & {"cluster-state", "autoscalers", "nodes"}


@pytest.mark.parametrize(
    ("state", "groups", "told"),
    [
        ("cluster", {"cluster-state", "autoscalers", "nodes"}, []),
        (
            "namespace",
            {"cluster-state", "autoscalers"},
            ["nobody is told of nodes that are not ready or under pressure"],
        ),
        (None, set(), ["nobody is told of pods that wait or restart, nodes that are not ready, jobs that fail and"]),
    ],
)
def test_what_is_not_watched_has_no_rules_and_is_said(state: str | None, groups: set[str], told: list[str]) -> None:
    settings = _settings(state)
    assert _groups(settings) == groups
    lines = [line for line in not_promised(settings) if line.startswith("settings.cluster.state: ")]
    assert [line.removeprefix("settings.cluster.state: ").startswith(*told) for line in lines] == [True] * len(told)


def test_a_stack_that_watches_nothing_has_neither_pod_nor_target() -> None:
    settings = engine.stack_settings("local")
    settings["cluster"]["state"] = None
    recorded = engine.record("local", settings)
    assert WORKLOAD not in {
        manifest["metadata"]["name"] for manifest in recorded.kinds("Deployment", "Role", "Service")
    }
    prometheus = recorded.one("ConfigMap", "prometheus-primary")["data"]["prometheus.yml"]
    assert WORKLOAD not in prometheus


def test_in_its_namespace_it_passes_every_policy() -> None:
    def namespace() -> None:
        lab = replace(deployment_context(), images=ImageCatalogue(registry="registry.lab.internal"))
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        parent = k8s.core.v1.Namespace("obs", metadata=k8s.meta.v1.ObjectMetaArgs(name="obs", labels=levels))
        default_deny(parent, lab)
        Authority("authority", lab, duration="43800h", renew_before="8760h")
        program(lab)

    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in record(namespace).resources]
    # Which workloads may be one pod is judged on the whole platform.
    verdicts = Runner(rules=[rule for rule in RULES if rule.id != "replicas-least"], agreed=[]).all(resources)
    assert [verdict.message for verdict in verdicts] == []
