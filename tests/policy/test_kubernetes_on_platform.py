"""The real platform against the Kubernetes rules: it passes, and what is broken in it is noticed."""

from __future__ import annotations

import pytest

from policy.model import Resource
from policy.rules import RULES, concern
from policy.runner import Runner
from tests.policy.fixtures_kubernetes import GONE, changed, platform, rule
from tests.support.engine import STACKS, password_of, recorded

CONCERNS = frozenset({"availability", "certificates", "cluster", "exposure", "secrets", "workload_life", "workloads"})
MINE = tuple(pack_rule for pack_rule in RULES if concern(pack_rule) in CONCERNS)
PASSWORD = "random:index/randomPassword:RandomPassword"


def rendered(stack: str) -> list[Resource]:
    """The platform as the engine hands it to the pack after an update: passwords are known."""
    stack_resources = []
    for resource in recorded(stack).resources:
        known = {"result": password_of(resource.name)} if resource.token == PASSWORD else {}
        stack_resources.append(Resource(resource.token, resource.name, {**resource.inputs, **known}))
    return stack_resources


@pytest.mark.parametrize("stack", STACKS)
def test_the_platform_has_no_findings(stack: str) -> None:
    assert [verdict.message for verdict in Runner(rules=MINE, agreed=[]).all(rendered(stack))] == []


def test_the_fixture_has_no_findings() -> None:
    assert [verdict.message for verdict in Runner(rules=MINE, agreed=[]).all(platform())] == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_secret_of_the_platform_would_be_noticed_in_a_config_map(stack: str) -> None:
    resources = rendered(stack)
    content, existence = (
        Runner(rules=[rule(rule_id)], agreed=[]) for rule_id in ("secret-in-config-map", "pod-files-exist")
    )
    for index, resource in enumerate(resources):
        if resource.type != "kubernetes:core/v1:Secret" or "stringData" not in resource.props:
            continue
        props = {"metadata": resource.props["metadata"], "data": resource.props["stringData"]}
        published = Resource("kubernetes:core/v1:ConfigMap", resource.name, props)
        others = [*resources[:index], published, *resources[index + 1 :]]
        assert content.all([published]) or existence.all(others), resource.label


def test_every_load_balancer_of_the_platform_leads_to_a_server_that_was_recognised() -> None:
    """Without the files that configure the servers the rule knows none of them."""
    resources = [resource for resource in rendered("prod") if resource.kind not in ("ConfigMap", "Secret")]
    verdicts = [
        verdict
        for verdict in Runner(rules=MINE, agreed=[]).all(resources)
        if verdict.rule.id == "service-secure-servers"
    ]
    balancers = [
        resource
        for resource in resources
        if resource.kind == "Service" and resource.node.at("spec.type").value == "LoadBalancer"
    ]
    by_files = {balancer.label for balancer in balancers if not balancer.object_name.startswith("jaeger-query-")}
    # The login proxy of the trace queries says all on its command line.
    assert len(by_files) == len(balancers) - 3
    assert by_files == {verdict.resource.label for verdict in verdicts if verdict.resource}


def test_a_gateway_of_one_pod_is_noticed_although_its_image_may_be_single() -> None:
    resources = rendered("local")
    index = next(
        i for i, resource in enumerate(resources) if (resource.kind, resource.object_name) == ("StatefulSet", "gateway")
    )
    one = changed(resources[index], "spec/replicas", 1)
    verdicts = Runner(rules=MINE, agreed=[]).all([*resources[:index], one, *resources[index + 1 :]])
    assert [(verdict.rule.id, verdict.resource and verdict.resource.label) for verdict in verdicts] == [
        ("replicas-least", "StatefulSet obs-local/gateway")
    ]


@pytest.mark.parametrize("kind", ["Namespace", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "Certificate"])
def test_no_protecting_object_of_the_platform_can_go_unnoticed(kind: str) -> None:
    resources = rendered("prod")
    rules = [stack_rule for stack_rule in MINE if stack_rule.stack is not None]
    runner = Runner(rules=rules, agreed=[])
    for index, resource in enumerate(resources):
        if resource.kind == kind:
            others = [*resources[:index], *resources[index + 1 :]]
            noticed = next((stack_rule for stack_rule in rules if any(runner.at_stack(stack_rule, others))), None)
            assert noticed is not None, resource.label
            # Objects of one kind are noticed by the same rule: it looks first.
            rules.sort(key=lambda stack_rule: stack_rule is not noticed)


def test_a_label_that_is_taken_from_the_namespace_is_noticed() -> None:
    resources = rendered("local")
    index = next(i for i, resource in enumerate(resources) if resource.kind == "Namespace")
    bare = changed(resources[index], "metadata/labels/pod-security.kubernetes.io~enforce", GONE)
    verdicts = Runner(rules=MINE, agreed=[]).all([*resources[:index], bare, *resources[index + 1 :]])
    assert [verdict.rule.id for verdict in verdicts] == ["namespace-pod-security"]
