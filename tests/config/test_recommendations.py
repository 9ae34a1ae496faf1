"""Recommended sizes as `ops` reads them, against a real API server with upstream's definitions; nothing recommends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from kubernetes import client

from lab.cluster import recommender
from lab.toolchain.recipes import VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder
from ops.checks.scaling import s1
from ops.core.context import Context
from ops.core.kube import Kube
from ops.core.recommendations import Recommendation, recommendations
from ops.core.rows import Finding
from tests.config.kube_api import KubeApi, kube_api
from tests.config.servers import eventually
from tests.support import engine

NAMESPACE, WORKLOAD = "obs-local", "gateway"
GROUP = "/apis/autoscaling.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CHANGING = {"create", "update", "patch", "delete", "*"}


def _upstream() -> Path:
    return module_folder(VERTICAL_AUTOSCALER_MODULE, f"v{VERTICAL_AUTOSCALER}") / "deploy"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with kube_api(tmp_path_factory.mktemp("recommendations")) as server:
        server.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield server


@pytest.fixture
def kube(api: KubeApi) -> Iterator[Kube]:
    connected = Kube.connect(NAMESPACE, api.kubeconfig)
    yield connected
    connected.close()


def _manifest(kind: str) -> dict[str, Any]:
    manifest = engine.recorded("local").one(kind, WORKLOAD)
    # The recording has every number as Pulumi's protocol has it.
    spec = json.loads(json.dumps(manifest["spec"]), parse_float=lambda number: int(float(number)))
    return {**manifest, "spec": spec, "metadata": {"name": WORKLOAD, "namespace": NAMESPACE}}


def _recommend(kube: Kube, status: dict[str, Any]) -> None:
    """What the recommender would write."""
    custom: Any = client.CustomObjectsApi(kube.core.api_client)
    custom.patch_namespaced_custom_object_status(
        "autoscaling.k8s.io", "v1", NAMESPACE, "verticalpodautoscalers", WORKLOAD, {"status": status}
    )


def _only(kube: Kube) -> Recommendation:
    [recommendation] = recommendations(kube)
    return recommendation


def _checked(kube: Kube) -> Finding:
    return s1(cast(Context, SimpleNamespace(kube=kube)))


def test_a_cluster_without_the_kind_recommends_nothing(kube: Kube) -> None:
    assert recommendations(kube) == []
    assert "no sizes are recommended" in [setup.what for setup in _checked(kube).setups]


def test_the_api_server_takes_upstreams_definitions_and_our_objects(api: KubeApi) -> None:
    documents = [item for item in yaml.safe_load_all((_upstream() / "vpa-v1-crd-gen.yaml").read_text()) if item]
    assert sorted(item["metadata"]["name"] for item in documents) == sorted(recommender.DEFINITIONS)
    for item in documents:
        api.create(CRDS, item)
    eventually(lambda: api.get(f"{GROUP}/verticalpodautoscalers").ok, 60, "the kind is served")
    api.create(f"{GROUP}/namespaces/{NAMESPACE}/verticalpodautoscalers", _manifest("VerticalPodAutoscaler"))
    api.create(f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets", _manifest("StatefulSet"))


def test_a_workload_whose_first_size_is_not_due_is_waited_for(kube: Kube) -> None:
    recommendation = _only(kube)
    assert (recommendation.workload, recommendation.mode, recommendation.given) == (WORKLOAD, "Off", False)
    assert _checked(kube).waits == [], "none of its pods is ready"
    kube.apps.patch_namespaced_stateful_set_status(
        WORKLOAD, NAMESPACE, {"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}
    )
    finding = _checked(kube)
    assert [wait.what for wait in finding.waits] == [f"recommended sizes of {WORKLOAD}"]
    assert finding.wrong == []


def test_recommended_sizes_are_read_beside_what_is_requested(kube: Kube) -> None:
    container = _manifest("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    target = {"cpu": "700m", "memory": "2147483648"}
    entry = {"containerName": container["name"], "target": target, "upperBound": {"cpu": "3", "memory": "4Gi"}}
    _recommend(kube, {"recommendation": {"containerRecommendations": [entry]}})
    size = _only(kube).sizes[0]
    assert (size.container, size.target) == (container["name"], {"cpu": 0.7, "memory": 2.0**31})
    assert size.upper == {"cpu": 3.0, "memory": 2.0**32}
    assert size.request["cpu"] == int(container["resources"]["requests"]["cpu"].removesuffix("m")) / 1000
    assert size.below == ("cpu", "memory")
    finding = _checked(kube)
    assert (finding.wrong, finding.waits) == ([], [])
    assert "sizes recommended for 1 of 1 workloads" in finding.figures
    assert finding.seen == [f"request less than is recommended: {WORKLOAD}/{container['name']}"]


def test_what_the_autoscaler_cannot_do_fails_the_row(kube: Kube) -> None:
    problem = {"type": "ConfigUnsupported", "status": "True", "message": "no such target"}
    _recommend(kube, {"conditions": [{**problem, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    assert _checked(kube).wrong == [
        f"no sizes are recommended for {WORKLOAD}: ConfigUnsupported: no such target",
    ]


def test_an_autoscaler_that_changes_pods_fails_the_row(kube: Kube) -> None:
    custom: Any = client.CustomObjectsApi(kube.core.api_client)
    custom.patch_namespaced_custom_object(
        "autoscaling.k8s.io",
        "v1",
        NAMESPACE,
        "verticalpodautoscalers",
        WORKLOAD,
        {"spec": {"updatePolicy": {"updateMode": "Recreate"}}},
    )
    assert f"a vertical autoscaler may change the pods of {WORKLOAD}" in _checked(kube).wrong


def test_the_recommender_may_change_its_own_objects_events_and_leases_and_no_pod(api: KubeApi) -> None:
    items = recommender.rights(_upstream() / "vpa-rbac.yaml")
    changed = {
        resource
        for item in items
        for rule in item.get("rules", ())
        if CHANGING & set(rule["verbs"])
        for resource in rule["resources"]
    }
    assert changed == {"events", "verticalpodautoscalers/status", "verticalpodautoscalercheckpoints", "leases"}
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        for item in (item for item in items if item["kind"] == kind):
            api.create(f"/apis/rbac.authorization.k8s.io/v1/{kind.lower()}s", item)
    assert _may(api, "list", "", "pods")
    assert _may(api, "patch", "autoscaling.k8s.io", "verticalpodautoscalers", "status")
    assert not _may(api, "patch", "", "pods")
    assert not _may(api, "create", "", "pods", "eviction")


def _may(api: KubeApi, verb: str, group: str, resource: str, subresource: str = "") -> bool:
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    user = f"system:serviceaccount:kube-system:{recommender.NAME}"
    review = api.create(
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {"spec": {"user": user, "resourceAttributes": {**attributes, "namespace": NAMESPACE}}},
    )
    return bool(review["status"]["allowed"])


def test_no_other_program_of_the_autoscaler_has_an_account_or_a_right() -> None:
    items = recommender.rights(_upstream() / "vpa-rbac.yaml")
    accounts = [item["metadata"]["name"] for item in items if item["kind"] == "ServiceAccount"]
    assert accounts == [recommender.NAME]
    bindings = [item for item in items if item["kind"].endswith("Binding")]
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {recommender.NAME}
    roles = {(item["kind"], item["metadata"]["name"]) for item in items if item["kind"].endswith("Role")}
    assert roles == {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
