"""Autoscalers as `ops` reads and tells them, against a real API server; there are no controllers, so nothing scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.checks.ingest import s1
from ops.core.autoscalers import Autoscalers
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.drills.procedures.autoscale import SETTLE_S, WORKLOAD, bounds, temporary_bounds
from tests.config.kube_api import KubeApi, kube_api
from tests.support import engine

NAMESPACE = "obs-local"
PATH = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
USE = {"name": "cpu", "current": {"averageUtilization": 37, "averageValue": "18m"}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with kube_api(tmp_path_factory.mktemp("autoscalers")) as server:
        server.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        scaler = engine.recorded("local").applicable("HorizontalPodAutoscaler", WORKLOAD)
        server.create(PATH, {**scaler, "metadata": {"name": WORKLOAD, "namespace": NAMESPACE}})
        yield server


@pytest.fixture
def kube(api: KubeApi) -> Iterator[Kube]:
    connected = Kube.connect(NAMESPACE, api.kubeconfig)
    yield connected
    connected.close()


def _status(kube: Kube, *, pods: int, active: str = "True") -> None:
    """What the controller would write."""
    conditions = [
        {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale", "message": "ready"},
        {"type": "ScalingActive", "status": active, "reason": "FailedGetResourceMetric", "message": "no metrics"},
    ]
    status = {
        "currentReplicas": pods,
        "desiredReplicas": pods,
        "conditions": conditions,
        "currentMetrics": [{"type": "Resource", "resource": USE}],
    }
    Autoscalers(kube)._scaling.patch_namespaced_horizontal_pod_autoscaler_status(
        WORKLOAD, NAMESPACE, {"status": status}
    )


def _checked(kube: Kube) -> Any:
    return s1(cast(Context, SimpleNamespace(kube=kube)))


def test_an_autoscaler_that_has_not_looked_yet_is_a_problem(kube: Kube) -> None:
    assert [scaler.problem for scaler in Autoscalers(kube).all()] == ["it has not looked at its pods yet"]


def test_use_bounds_and_problems_are_read(kube: Kube) -> None:
    _status(kube, pods=2)
    scaler = Autoscalers(kube).one(WORKLOAD)
    assert scaler is not None
    assert (scaler.pods, scaler.wanted, scaler.percent, scaler.target, scaler.problem) == (2, 2, 37, 400, "")
    finding = _checked(kube)
    assert finding.wrong == []
    assert finding.figures == ["gateway: 2 of 2 to 2 pods, 37 % of the request used, target 400 %"]


def test_one_that_does_not_know_its_use_or_has_other_pods_fails_the_row(kube: Kube) -> None:
    _status(kube, pods=5, active="False")
    assert _checked(kube).wrong == [
        "the autoscaler of gateway does not work: FailedGetResourceMetric: no metrics",
        "gateway has 5 pods, its autoscaler allows 2 to 2",
    ]


def _changed_for_a_drill(scalers: Autoscalers, before: Mapping[str, Any]) -> None:
    with temporary_bounds(scalers, bounds(before, 2, 0.0342)):
        during = scalers.spec(WORKLOAD)
        assert (during["minReplicas"], during["maxReplicas"]) == (2, 3)
        assert during["metrics"][0]["resource"]["target"] == {"type": "AverageValue", "averageValue": "34m"}
        assert during["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == SETTLE_S
        assert during["behavior"]["scaleDown"]["policies"] == before["behavior"]["scaleDown"]["policies"]
        assert during["behavior"]["scaleUp"] == before["behavior"]["scaleUp"]
        raise OpsError("something else")


def test_the_bounds_of_a_drill_are_taken_back_whatever_happens(kube: Kube) -> None:
    scalers = Autoscalers(kube)
    before = scalers.spec(WORKLOAD)
    with pytest.raises(OpsError, match="something else"):
        _changed_for_a_drill(scalers, before)
    assert scalers.spec(WORKLOAD) == before


def test_where_there_is_no_metrics_api_it_is_told(kube: Kube) -> None:
    with pytest.raises(OpsError, match="the metrics API does not tell what gateway uses: HTTP 404"):
        Autoscalers(kube).cores(WORKLOAD)


def test_without_autoscalers_the_row_is_not_set_up(kube: Kube) -> None:
    kube.namespace = "default"
    finding = _checked(kube)
    assert [setup.what for setup in finding.setups] == [
        "no workload has an autoscaler",
        "no sizes are recommended",
    ]
