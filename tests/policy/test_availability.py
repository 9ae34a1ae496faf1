"""Replicas, budgets, spread, autoscalers, updates and volumes."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_kubernetes import (
    GONE,
    LABELS,
    changed,
    config_map,
    container,
    deployment,
    k8s,
    platform,
    pod,
    said,
    stateful_set,
    swapped,
    without,
)

POD = "spec/template/spec"
SPREAD = f"{POD}/topologySpreadConstraints"
RETENTION = "spec/persistentVolumeClaimRetentionPolicy"
CONSUMER = """receivers: {kafkarecords: {}}
exporters: {%s: {}}
service: {pipelines: {metrics: {receivers: [%s], exporters: [%s]}}}
"""


def budget(**spec: Any) -> Resource:
    """The query server's disruption budget."""
    return k8s("policy/v1:PodDisruptionBudget", "query", spec={"selector": {"matchLabels": LABELS}, **spec})


def single(name: str, image: str, *command: str, files: str = "query") -> Resource:
    """A workload of one pod."""
    spec = pod(container(image=f"registry.lab.internal/{image}:1", command=list(command)))
    spec["volumes"][0]["configMap"]["name"] = files
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return k8s("apps/v1:StatefulSet", name, spec={"replicas": 1, "template": template})


@pytest.mark.parametrize(
    ("spec", "where", "limit"),
    [
        ({}, "maxUnavailable", "no limit"),
        ({"maxUnavailable": 2}, "maxUnavailable", "maxUnavailable 2"),
        ({"maxUnavailable": "100%"}, "maxUnavailable", 'maxUnavailable "100%"'),
        ({"minAvailable": 0}, "minAvailable", "minAvailable 0"),
    ],
)
def test_a_budget_that_lets_all_pods_go_is_told(spec: dict[str, Any], where: str, limit: str) -> None:
    assert said("disruption-budget", swapped(platform(), budget(**spec))) == [
        f"PodDisruptionBudget obs/query, spec.{where}: {limit} lets more than 1 of the pods of Deployment obs/query go"
        " at once -> set maxUnavailable to 1"
    ]


@pytest.mark.parametrize(
    "spec", [{"maxUnavailable": 1}, {"maxUnavailable": 0}, {"maxUnavailable": "50%"}, {"minAvailable": 1}]
)
def test_a_budget_of_one_pod_passes(spec: dict[str, Any]) -> None:
    assert said("disruption-budget", swapped(platform(), budget(**spec))) == []


@pytest.mark.parametrize("limit", [2, "100%", GONE])
def test_a_budget_of_a_single_pod_is_held_to_the_same_limit(limit: Any) -> None:
    one = changed(deployment(), "spec/replicas", 1)
    [message] = said(
        "disruption-budget", swapped(platform(), one, budget(**({} if limit is GONE else {"maxUnavailable": limit})))
    )
    assert "lets more than 1 of the pods of Deployment obs/query go at once" in message


@pytest.mark.parametrize(
    "resources",
    [
        without(platform(), "PodDisruptionBudget", "query"),
        swapped(platform(), budget(maxUnavailable=1, selector={"matchLabels": {"app": "other"}})),
        swapped(
            platform(),
            budget(
                maxUnavailable=1,
                selector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["query"]}]},
            ),
        ),
    ],
)
def test_a_workload_without_a_budget_is_told(resources: list[Resource]) -> None:
    assert said("disruption-budget", resources) == [
        "Deployment obs/query, spec.template.metadata.labels: no PodDisruptionBudget selects these pods"
        " -> make one with maxUnavailable 1 and the workload's selector"
    ]


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "app", "operator": "In", "values": ["query"]},
        {"key": "app", "operator": "Exists"},
        {"key": "tier", "operator": "DoesNotExist"},
    ],
)
def test_budgets_may_select_by_expressions(expression: dict[str, Any]) -> None:
    mine = budget(maxUnavailable=1, selector={"matchExpressions": [expression]})
    assert said("disruption-budget", swapped(platform(), mine)) == []


@pytest.mark.parametrize(("value", "state"), [(1, "is 1"), (0, "is 0"), (GONE, "is missing")])
def test_too_few_pods_are_told(value: Any, state: str) -> None:
    assert said("replicas-least", platform()) == []
    assert said("replicas-least", swapped(platform(), changed(deployment(), "spec/replicas", value))) == [
        f"Deployment obs/query, spec.replicas: replicas {state} -> run at least 2 pods"
    ]


def test_a_store_may_be_one_pod_when_there_are_two_stores() -> None:
    one, two = single("a", "prom/prometheus", "/bin/prometheus"), single("b", "prom/prometheus", "/bin/prometheus")
    assert said("replicas-least", [one, two]) == []
    assert said("replicas-least", [one]) == [
        "StatefulSet obs/a, spec.replicas: there are 1 pods of prom/prometheus in all"
        " -> run at least 2, in one workload or several"
    ]


@pytest.mark.parametrize(
    ("receiver", "exporter", "alone"),
    [("kafkarecords", "otlprecords", True), ("otlp", "otlprecords", False), ("kafkarecords", "otlp", False)],
)
def test_a_collector_may_be_one_pod_only_when_it_writes_one_store_from_kafka(
    receiver: str, exporter: str, alone: bool
) -> None:
    collector = single("c", "obs/otelcol", "/otelcol")
    config = config_map(**{"config.yaml": CONSUMER % (exporter, receiver, exporter)})
    expected = [] if alone else ["StatefulSet obs/c, spec.replicas: replicas is 1 -> run at least 2 pods"]
    assert said("replicas-least", [collector, config]) == expected


def test_a_service_may_be_one_pod_by_its_argument() -> None:
    lag = single("d", "obs/services", "/usr/bin/python3", "-m", "services.kafka_lag")
    other = single("d", "obs/services", "/usr/bin/python3", "-m", "services.other")
    assert said("replicas-least", [lag]) == []
    assert said("replicas-least", [other]) == ["StatefulSet obs/d, spec.replicas: replicas is 1 -> run at least 2 pods"]
    assert said("replicas-least", [other], singletons=[{"image": "obs/services", "together": 1}]) == []


def kafka() -> Resource:
    """A Kafka server."""
    return changed(stateful_set(), f"{POD}/containers/0/command", ["java", "-cp", "/opt/*", "kafka.Kafka", "/etc/k"])


@pytest.mark.parametrize(("value", "state"), [(2, "is 2"), (GONE, "is missing")])
def test_fewer_than_three_kafka_servers_are_told(value: Any, state: str) -> None:
    assert said("kafka-servers-least", kafka()) == []
    assert said("kafka-servers-least", changed(stateful_set(), "spec/replicas", 2)) == []
    assert said("kafka-servers-least", changed(kafka(), "spec/replicas", value)) == [
        f"StatefulSet obs/store, spec.replicas: replicas {state} for a Kafka server -> run at least 3"
    ]


@pytest.mark.parametrize(
    ("path", "value", "topologies"),
    [
        (SPREAD, GONE, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]),
        (f"{SPREAD}/0/topologyKey", "rack", ["kubernetes.io/hostname"]),
        (f"{SPREAD}/1/labelSelector/matchLabels", {"app": "other"}, ["topology.kubernetes.io/zone"]),
    ],
)
def test_pods_that_are_not_spread_are_told(path: str, value: Any, topologies: list[str]) -> None:
    assert said("pod-spread", changed(deployment(), path, value)) == [
        "Deployment obs/query, spec.template.spec.topologySpreadConstraints: no constraint spreads these pods over"
        f" {topology} -> add one for {topology}"
        for topology in topologies
    ]


def test_an_uneven_spread_is_told() -> None:
    assert said("pod-spread", deployment()) == []
    assert said("pod-spread", changed(deployment(), f"{SPREAD}/0/maxSkew", 2)) == [
        "Deployment obs/query, spec.template.spec.topologySpreadConstraints[0].maxSkew: maxSkew is 2 -> set it to 1"
    ]


@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), (1, "is 1")])
def test_an_autoscaler_that_leaves_one_pod_is_told(value: Any, state: str) -> None:
    scaler = k8s("autoscaling/v2:HorizontalPodAutoscaler", "query", spec={"minReplicas": 2, "maxReplicas": 4})
    assert said("autoscaler-least", scaler) == []
    assert said("autoscaler-least", changed(scaler, "spec/minReplicas", value)) == [
        f"HorizontalPodAutoscaler obs/query, spec.minReplicas: minReplicas {state} -> set it to at least 2"
    ]


DOWN = "spec/behavior/scaleDown"
WINDOW = f"HorizontalPodAutoscaler obs/query, {DOWN.replace('/', '.')}.stabilizationWindowSeconds: "
AT_ONCE = (
    f"HorizontalPodAutoscaler obs/query, {DOWN.replace('/', '.')}.policies: more than 1 of the pods may go at once -> "
    "allow policies of type Pods with a value of at most 1, and no others"
)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("stabilizationWindowSeconds", 60, [f"{WINDOW}stabilizationWindowSeconds is 60 -> set it to at least 300"]),
        (
            "stabilizationWindowSeconds",
            GONE,
            [f"{WINDOW}stabilizationWindowSeconds is missing -> set it to at least 300"],
        ),
        ("policies", GONE, [AT_ONCE]),
        ("policies/0/value", 2, [AT_ONCE]),
        ("policies/0/type", "Percent", [AT_ONCE]),
        ("selectPolicy", "Disabled", []),
        ("stabilizationWindowSeconds", 600, []),
    ],
)
def test_an_autoscaler_that_takes_pods_in_a_hurry_is_told(path: str, value: Any, expected: list[str]) -> None:
    down = {"stabilizationWindowSeconds": 300, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    scaler = k8s("autoscaling/v2:HorizontalPodAutoscaler", "query", spec={"behavior": {"scaleDown": down}})
    assert said("autoscaler-scale-down", scaler) == []
    assert said("autoscaler-scale-down", changed(scaler, f"{DOWN}/{path}", value)) == expected


VERTICAL = "VerticalPodAutoscaler obs/query, spec."
BOOST = {"cpu": {"type": "Factor", "factor": 2}}
NO_BOOST = (
    'startupBoost is {"cpu": {"type": "Factor", "factor": 2}} -> remove it: pods get it as they start, in every mode'
)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("updatePolicy", GONE, 'updatePolicy.updateMode: updateMode is missing -> set it to "Off"'),
        ("updatePolicy/updateMode", GONE, 'updatePolicy.updateMode: updateMode is missing -> set it to "Off"'),
        *(
            ("updatePolicy/updateMode", mode, f'updatePolicy.updateMode: updateMode is "{mode}" -> set it to "Off"')
            for mode in ("Initial", "Recreate", "InPlaceOrRecreate", "InPlace", "Auto")
        ),
        ("startupBoost", BOOST, f"startupBoost: {NO_BOOST}"),
        (
            "resourcePolicy/containerPolicies/0/startupBoost",
            BOOST,
            f"resourcePolicy.containerPolicies[0].startupBoost: {NO_BOOST}",
        ),
    ],
)
def test_a_vertical_autoscaler_that_changes_pods_is_told(path: str, value: Any, expected: str) -> None:
    scaler = k8s(
        "autoscaling.k8s.io/v1:VerticalPodAutoscaler",
        "query",
        spec={
            "targetRef": {"kind": "Deployment", "name": "query"},
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": [{"containerName": "*"}]},
        },
    )
    assert said("vertical-autoscaler-recommends", scaler) == []
    assert said("vertical-autoscaler-recommends", changed(scaler, f"spec/{path}", value)) == [f"{VERTICAL}{expected}"]


@pytest.mark.parametrize("on", ["whenDeleted", "whenScaled"])
@pytest.mark.parametrize(("value", "state"), [("Delete", 'is "Delete"'), (GONE, "is missing")])
def test_volumes_that_go_with_their_workload_are_told(on: str, value: Any, state: str) -> None:
    assert said("volumes-retained", stateful_set()) == []
    assert said("volumes-retained", changed(stateful_set(), f"{RETENTION}/{on}", value)) == [
        f'StatefulSet obs/store, spec.persistentVolumeClaimRetentionPolicy.{on}: {on} {state} -> set it to "Retain"'
    ]
    without_volumes = changed(stateful_set(), "spec/volumeClaimTemplates", [])
    assert said("volumes-retained", changed(without_volumes, RETENTION, GONE)) == []


@pytest.mark.parametrize(
    ("path", "value", "said_there"),
    [
        ("type", "OnDelete", 'type: the update strategy is "OnDelete" -> set it to "RollingUpdate"'),
        (
            "rollingUpdate",
            {"partition": 1},
            "rollingUpdate.partition: partition is 1, so that some pods keep the old settings -> remove it",
        ),
        ("rollingUpdate", {"maxUnavailable": 2}, "rollingUpdate.maxUnavailable: maxUnavailable is 2 -> set it to 1"),
    ],
)
def test_a_stateful_set_that_does_not_roll_is_told(path: str, value: Any, said_there: str) -> None:
    assert said("stateful-set-rolls", stateful_set()) == []
    assert said("stateful-set-rolls", changed(stateful_set(), f"spec/updateStrategy/{path}", value)) == [
        f"StatefulSet obs/store, spec.updateStrategy.{said_there}"
    ]


@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), ("100%", 'is "100%"'), (1, "is 1")])
def test_a_deployment_that_stops_pods_first_is_told(value: Any, state: str) -> None:
    assert said("deployment-rolls", deployment()) == []
    assert said("deployment-rolls", changed(deployment(), "spec/strategy/rollingUpdate/maxUnavailable", value)) == [
        f"Deployment obs/query, spec.strategy.rollingUpdate.maxUnavailable: maxUnavailable {state} -> set it to 0"
    ]


def test_recreate_is_for_single_pods() -> None:
    recreated = changed(deployment(), "spec/strategy", {"type": "Recreate"})
    assert said("deployment-rolls", recreated) == [
        'Deployment obs/query, spec.strategy.type: the strategy is "Recreate", which stops all 2 pods first'
        " -> use RollingUpdate with maxUnavailable 0"
    ]
    assert said("deployment-rolls", changed(recreated, "spec/replicas", 1)) == []
