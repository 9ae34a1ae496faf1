"""When a rolling restart is over, as a StatefulSet and as a Deployment say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.kube import DEPLOYMENT, STATEFUL_SET, Kube

WHOLE = {"observed_generation": 4, "ready_replicas": 2, "updated_replicas": 2, "replicas": 2}
SETTLED = {**WHOLE, "update_revision": "b", "current_revision": "b"}


def kube(kind: str, status: dict[str, Any]) -> Kube:
    resource = SimpleNamespace(
        metadata=SimpleNamespace(generation=4), spec=SimpleNamespace(replicas=2), status=SimpleNamespace(**status)
    )
    fake_kube = Kube.__new__(Kube)
    fake_kube.namespace = "obs"
    read = "read_namespaced_stateful_set" if kind == STATEFUL_SET else "read_namespaced_deployment"
    fake_kube.apps = SimpleNamespace(**{read: lambda name, namespace, **_: resource})
    return fake_kube


@pytest.mark.parametrize(("kind", "whole"), [(STATEFUL_SET, SETTLED), (DEPLOYMENT, WHOLE)])
def test_it_is_over_when_every_pod_is_ready_and_new(kind: str, whole: dict[str, Any]) -> None:
    assert kube(kind, whole).rolled("x", kind)
    assert not kube(kind, {**whole, "observed_generation": 3}).rolled("x", kind)
    assert not kube(kind, {**whole, "ready_replicas": 1}).rolled("x", kind)
    assert not kube(kind, {**whole, "ready_replicas": None}).rolled("x", kind)
    assert not kube(kind, {**whole, "updated_replicas": 1}).rolled("x", kind)


def test_a_stateful_set_says_by_its_revision_that_it_is_under_way() -> None:
    assert not kube(STATEFUL_SET, {**SETTLED, "current_revision": "a"}).rolled("x")


def test_a_deployment_still_has_the_old_pod_while_it_is_under_way() -> None:
    assert not kube(DEPLOYMENT, {**WHOLE, "replicas": 3}).rolled("x", DEPLOYMENT)


def test_pods_that_run_say_their_node_and_whether_they_end() -> None:
    def pod(name: str, phase: str, node: str | None, ends: bool) -> Any:
        return SimpleNamespace(
            metadata=SimpleNamespace(name=name, uid=name, labels=None, deletion_timestamp=object() if ends else None),
            spec=SimpleNamespace(node_name=node, containers=[]),
            status=SimpleNamespace(phase=phase, start_time=None, pod_ip=None, conditions=None, container_statuses=None),
        )

    pods = [
        pod("c", "Failed", "node-c", ends=False),
        pod("b", "Running", "node-b", ends=True),
        pod("a", "Pending", None, ends=False),
    ]
    fake_kube = Kube.__new__(Kube)
    fake_kube.namespace = "obs"
    fake_kube.core = SimpleNamespace(list_namespaced_pod=lambda *_, **__: SimpleNamespace(items=pods))
    assert [(seen.name, seen.node, seen.ending) for seen in fake_kube.pods()] == [
        ("a", "", False),
        ("b", "node-b", True),
    ]
