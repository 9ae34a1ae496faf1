"""What Pulumi remembers of parts that the lab scaled down."""

from __future__ import annotations

from typing import Any

from lab.stack import declare_replicas

NAMESPACE = "obs-local-dr"


def part(kind: str, name: str, declared: int, seen: int | None, namespace: str = NAMESPACE) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {
        "type": f"kubernetes:apps/v1:{kind}",
        "inputs": {"kind": kind, "metadata": metadata, "spec": {"replicas": declared}},
        "outputs": {"kind": kind, "metadata": metadata, "spec": {} if seen is None else {"replicas": seen}},
    }


def test_parts_are_remembered_as_declared_and_nothing_else_is_touched() -> None:
    resources = [
        {"type": "pulumi:pulumi:Stack"},
        part("StatefulSet", "search", 3, 0),
        part("Deployment", "probes", 2, None),
        part("StatefulSet", "sampler", 2, 2),
        part("StatefulSet", "kafka", 3, 0),
        part("Deployment", "search", 3, 0),
        part("StatefulSet", "search", 3, 0, "obs-local"),
        {
            "inputs": {"kind": "CronJob", "metadata": {"name": "report", "namespace": NAMESPACE}, "spec": {}},
            "outputs": {"spec": {"suspend": False}},
        },
        {"inputs": {"kind": "Secret", "metadata": {"name": "search", "namespace": NAMESPACE}}, "outputs": {}},
    ]
    wanted = ("statefulset/search", "deployment/probes", "statefulset/sampler", "cronjob/report")
    assert declare_replicas({"deployment": {"resources": resources}}, NAMESPACE, wanted) == [
        "statefulset/search",
        "deployment/probes",
    ]
    assert [resource.get("outputs", {}).get("spec", {}).get("replicas") for resource in resources] == [
        *(None, 3, 2, 2, 0, 0, 0),
        *(None, None),
    ]


def test_a_stack_without_resources_has_none() -> None:
    assert declare_replicas({"version": 3, "deployment": {}}, NAMESPACE, ("deployment/probes",)) == []
