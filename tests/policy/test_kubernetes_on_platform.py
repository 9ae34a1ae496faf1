"""The real platform against the Kubernetes rules: it passes, and what is broken in it is noticed."""

from __future__ import annotations

import pytest

from policy.model import Resource
from policy.rules import RULES, concern
from policy.runner import Runner
from tests.policy.fixtures_kubernetes import GONE, changed, platform, rule
from tests.support.engine import STACKS, password_of, recorded

CONCERNS = frozenset(
    {
        "availability",
        "availability_updates",
        "certificates",
        "cluster",
        "exposure",
        "images",
        "network",
        "secret_files",
        "secrets",
        "workload_life",
        "workloads",
    }
)
MINE = tuple(each for each in RULES if concern(each) in CONCERNS)
PASSWORD = "random:index/randomPassword:RandomPassword"


def rendered(stack: str) -> list[Resource]:
    """The platform as the engine hands it to the pack after an update: passwords are known."""
    made = []
    for each in recorded(stack).resources:
        known = {"result": password_of(each.name)} if each.token == PASSWORD else {}
        made.append(Resource(each.token, each.name, {**each.inputs, **known}))
    return made


@pytest.mark.parametrize("stack", STACKS)
def test_the_platform_has_no_findings(stack: str) -> None:
    assert [verdict.message for verdict in Runner(rules=MINE, agreed=[]).all(rendered(stack))] == []


def test_the_fixture_has_no_findings() -> None:
    assert [verdict.message for verdict in Runner(rules=MINE, agreed=[]).all(platform())] == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_secret_of_the_platform_would_be_noticed_in_a_config_map(stack: str) -> None:
    resources = rendered(stack)
    content, existence = (Runner(rules=[rule(each)], agreed=[]) for each in ("secret-in-config-map", "pod-files-exist"))
    for index, resource in enumerate(resources):
        if resource.type != "kubernetes:core/v1:Secret" or "stringData" not in resource.props:
            continue
        props = {"metadata": resource.props["metadata"], "data": resource.props["stringData"]}
        published = Resource("kubernetes:core/v1:ConfigMap", resource.name, props)
        others = [*resources[:index], published, *resources[index + 1 :]]
        assert content.all([published]) or existence.all(others), resource.label


def test_every_load_balancer_of_the_platform_leads_to_a_server_that_was_recognised() -> None:
    """Without the files that configure the servers the rule knows none of them."""
    resources = [each for each in rendered("prod") if each.kind not in ("ConfigMap", "Secret")]
    found = [each for each in Runner(rules=MINE, agreed=[]).all(resources) if each.rule.id == "service-secure-servers"]
    balancers = [
        each for each in resources if each.kind == "Service" and each.node.at("spec.type").value == "LoadBalancer"
    ]
    by_files = {each.label for each in balancers if not each.object_name.startswith("jaeger-query-")}
    # The login proxy of the trace queries says all on its command line.
    assert len(by_files) == len(balancers) - 3
    assert by_files == {each.resource.label for each in found if each.resource}


def test_a_gateway_of_one_pod_is_noticed_although_its_image_may_be_single() -> None:
    resources = rendered("local")
    index = next(i for i, each in enumerate(resources) if (each.kind, each.object_name) == ("StatefulSet", "gateway"))
    one = changed(resources[index], "spec/replicas", 1)
    found = Runner(rules=MINE, agreed=[]).all([*resources[:index], one, *resources[index + 1 :]])
    assert [(each.rule.id, each.resource and each.resource.label) for each in found] == [
        ("replicas-least", "StatefulSet obs-local/gateway")
    ]


@pytest.mark.parametrize("kind", ["Namespace", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "Certificate"])
def test_no_protecting_object_of_the_platform_can_go_unnoticed(kind: str) -> None:
    resources = rendered("prod")
    rules = [each for each in MINE if each.stack is not None]
    runner = Runner(rules=rules, agreed=[])
    for index, resource in enumerate(resources):
        if resource.kind == kind:
            others = [*resources[:index], *resources[index + 1 :]]
            noticed = next((each for each in rules if any(runner.at_stack(each, others))), None)
            assert noticed is not None, resource.label
            # Objects of one kind are noticed by the same rule: it looks first.
            rules.sort(key=lambda each: each is not noticed)


def test_a_label_that_is_taken_from_the_namespace_is_noticed() -> None:
    resources = rendered("local")
    index = next(i for i, each in enumerate(resources) if each.kind == "Namespace")
    bare = changed(resources[index], "metadata/labels/pod-security.kubernetes.io~enforce", GONE)
    found = Runner(rules=MINE, agreed=[]).all([*resources[:index], bare, *resources[index + 1 :]])
    assert [each.rule.id for each in found] == ["namespace-pod-security"]
