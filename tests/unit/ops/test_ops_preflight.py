"""What preflight computes by itself: quantities, what a pod asks for, where it may run, names."""

from __future__ import annotations

from typing import Any

import pytest

from ops.preflight.checks import Line, State, logs_plugin, names
from ops.preflight.command import exit_code
from ops.preflight.demand import Need, Node, demand, pod_need, quantity
from policy.model import Resource
from stacks.settings import parse
from tests.support import engine

GIB = 2.0**30


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (None, 0.0),
        ("2", 2.0),
        ("250m", 0.25),
        ("1.5", 1.5),
        ("512Mi", GIB / 2),
        ("2Gi", 2 * GIB),
        ("8G", 8e9),
        ("3920000Ki", 3920000 * 1024.0),
        ("1e3", 1000.0),
    ],
)
def test_quantities_are_numbers(text: str | None, number: float) -> None:
    assert quantity(text) == number


def _container(cpu: str, memory: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}}


def test_a_pod_asks_for_its_containers_or_for_its_largest_init_container() -> None:
    two = {"containers": [_container("100m", "1Gi"), _container("400m", "1Gi")]}
    assert pod_need(two) == Need(cpu=0.5, memory=2 * GIB)
    first = {**two, "initContainers": [_container("2", "512Mi"), _container("1", "3Gi")]}
    assert pod_need(first) == Need(cpu=2.0, memory=3 * GIB)
    assert pod_need({"containers": [{}]}) == Need()


TAINT = {"key": "dedicated", "value": "obs", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("taints", "spec", "takes"),
    [
        ([], {}, True),
        ([], {"nodeSelector": {"pool": "obs"}}, True),
        ([], {"nodeSelector": {"pool": "other"}}, False),
        ([TAINT], {}, False),
        ([{**TAINT, "effect": "PreferNoSchedule"}], {}, True),
        ([TAINT], {"tolerations": [{"operator": "Exists"}]}, True),
        ([TAINT], {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "obs"}]}, True),
        ([TAINT], {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "other"}]}, False),
        ([TAINT], {"tolerations": [{"key": "other", "operator": "Exists"}]}, False),
        ([TAINT], {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, False),
        ([TAINT, {**TAINT, "key": "gpu"}], {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, False),
    ],
)
def test_labels_and_taints_decide_where_a_pod_may_run(
    taints: list[dict[str, str]], spec: dict[str, Any], takes: bool
) -> None:
    node = Node(name="n", provider="", labels={"pool": "obs"}, taints=taints, capacity=Need(), used=Need())
    assert node.takes(spec) is takes


def test_the_whole_platform_is_counted_with_its_replicas() -> None:
    recording = engine.recorded("prod")
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    wanted = demand("obs", [resource for resource in resources if resource.kubernetes])
    counts = {pods.name: pods.count for pods in wanted.pods}
    assert counts["StatefulSet kafka"] == 3
    daemons = {f"DaemonSet {manifest['metadata']['name']}" for manifest in recording.kinds("DaemonSet")}
    assert {name for name, count in counts.items() if count is None} == daemons
    assert len(daemons) == 1
    assert len(counts) == len(recording.kinds("StatefulSet", "Deployment", "DaemonSet", "CronJob"))
    kafka = next(pods for pods in wanted.pods if pods.name == "StatefulSet kafka")
    requests = recording.one("StatefulSet", "kafka")["spec"]["template"]["spec"]["containers"][0]["resources"][
        "requests"
    ]
    assert kafka.need.cpu >= quantity(requests["cpu"])
    assert (wanted.storage_classes, wanted.autoscaled, len(wanted.balancers)) == ({"fast-ssd"}, True, 10)
    assert ("apps/v1", "StatefulSet") in wanted.kinds
    assert ("v1", "Secret") in wanted.kinds


def test_names_outside_must_have_an_address_and_our_own_may_get_one_later() -> None:
    settings = parse(engine.stack_settings("prod"), "Pulumi.prod.yaml")
    outside, own = names(settings, lambda host: host not in ("ldap.example.com", "otlp.region-a.obs.example.com"))
    assert (outside.state, outside.detail) == (State.FAIL, "no address from here: ldap.example.com")
    assert (own.state, own.detail) == (State.WARN, "no address from here: otlp.region-a.obs.example.com")
    hosts: list[str] = []
    assert [line.state for line in names(settings, lambda host: not hosts.append(host))] == [State.OK, State.OK]
    assert {"smtp.example.com", "login.example.com", "events.pagerduty.com", "kafka-0.region-b.obs.example.com"} < {
        *hosts
    }


def test_addresses_are_not_looked_up() -> None:
    settings = parse(engine.stack_settings("local"), "Pulumi.local.yaml")
    assert [line.state for line in names(settings, lambda host: False)] == [State.OK, State.OK]


def test_only_what_fails_makes_the_exit_code() -> None:
    lines = [Line(check="a", state=State.OK, detail=""), Line(check="b", state=State.WARN, detail="")]
    assert exit_code(lines) == 0
    assert exit_code([*lines, Line(check="c", state=State.FAIL, detail="")]) == 1


@pytest.mark.parametrize(("search", "states"), [("opensearch", [State.WARN]), ("elasticsearch", [])])
def test_logs_in_opensearch_need_a_grafana_with_its_plugin(search: str, states: list[State]) -> None:
    content = engine.stack_settings("local")
    content["search"] = {**content["search"], "engine": search}
    lines = list(logs_plugin(parse(content, "Pulumi.local.yaml")))
    assert [line.state for line in lines] == states
    assert all(line.detail.startswith("grafana-opensearch-datasource reads them") for line in lines)
