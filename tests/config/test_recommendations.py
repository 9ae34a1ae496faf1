"""The recommender with its flags and rights against a real API server, and what `ops` reads of it.

There is no kubelet: a pod and what it uses are told to the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from kubernetes import client

from lab.cluster import autoscaling
from lab.toolchain import tools
from lab.toolchain.recipes import VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder
from ops.checks.ingest import s1
from ops.core.autoscalers import Recommendation, recommendations
from ops.core.context import Context
from ops.core.kube import Kube
from ops.core.rows import Finding
from tests.config.kube_api import KubeApi, kube_api
from tests.config.servers import eventually, running
from tests.support import engine
from tests.support.ports import free_port

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
    manifest = engine.recorded("local").applicable(kind, WORKLOAD)
    return {**manifest, "metadata": {"name": WORKLOAD, "namespace": NAMESPACE}}


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
    assert sorted(item["metadata"]["name"] for item in documents) == sorted(autoscaling.RECOMMENDER_DEFINITIONS)
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


def test_the_recommender_may_change_its_own_objects_events_and_leases_and_no_pod(api: KubeApi) -> None:
    items = autoscaling.recommender_rights(_upstream() / "vpa-rbac.yaml")
    changed = {
        resource
        for item in items
        for rule in item.get("rules", ())
        if CHANGING & set(rule["verbs"])
        for resource in rule["resources"]
    }
    assert changed == {"events", "verticalpodautoscalers/status", "verticalpodautoscalercheckpoints", "leases"}
    for item in items:
        place = "/api/v1" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}"
        inside = f"/namespaces/{item['metadata']['namespace']}" if "namespace" in item["metadata"] else ""
        api.create(f"{place}{inside}/{item['kind'].lower()}s", item)
    assert _may(api, "list", "", "pods")
    assert _may(api, "patch", "autoscaling.k8s.io", "verticalpodautoscalers", "status")
    assert not _may(api, "patch", "", "pods")
    assert not _may(api, "create", "", "pods", "eviction")


def _may(api: KubeApi, verb: str, group: str, resource: str, subresource: str = "") -> bool:
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    user = f"system:serviceaccount:kube-system:{autoscaling.RECOMMENDER}"
    review = api.create(
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {"spec": {"user": user, "resourceAttributes": {**attributes, "namespace": NAMESPACE}}},
    )
    return bool(review["status"]["allowed"])


def _kubeconfig(api: KubeApi) -> Path:
    """One with a token of the recommender's account."""
    token = api.create(
        f"/api/v1/namespaces/kube-system/serviceaccounts/{autoscaling.RECOMMENDER}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    config = yaml.safe_load(api.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token["status"]["token"]}
    path = api.folder / "recommender.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def _used(api: KubeApi, kube: Kube, container: str) -> None:
    """A pod of the workload, and what a metrics API would tell of it."""
    template = _manifest("StatefulSet")["spec"]["template"]
    metadata = {"name": f"{WORKLOAD}-0", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
    containers = [{key: own[key] for key in ("name", "image", "resources")} for own in template["spec"]["containers"]]
    api.create(f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": metadata, "spec": {"containers": containers}})
    kube.core.patch_namespaced_pod_status(metadata["name"], NAMESPACE, {"status": {"phase": "Running"}})
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "pods.metrics.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "metrics.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "PodMetrics", "plural": "pods"},
            "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": schema}],
        },
    }
    api.create(CRDS, definition)
    eventually(lambda: api.get("/apis/metrics.k8s.io/v1beta1/pods").ok, 60, "use of pods is served")
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    use = {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "PodMetrics",
        "metadata": metadata,
        "timestamp": now,
        "window": "30s",
        "containers": [{"name": container, "usage": {"cpu": "600m", "memory": "2Gi"}}],
    }
    api.create(f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods", use)


def test_the_recommender_recommends_what_is_used_and_a_margin(api: KubeApi, kube: Kube) -> None:
    pod = _manifest("StatefulSet")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    _used(api, kube, container["name"])
    port, log = free_port(), api.folder / "recommender.log"
    [program] = autoscaling.recommender_deployment()["spec"]["template"]["spec"]["containers"]
    # The last one of equal flags holds.
    own = [f"--kubeconfig={_kubeconfig(api)}", f"--address=127.0.0.1:{port}", "--recommender-interval=1s"]
    command = [str(tools.path("vpa-recommender")), *program["args"], *own]
    with running(command, log, port):
        eventually(lambda: bool(_only(kube).sizes[0].target), 120, "sizes are recommended")
    assert "forbidden" not in log.read_text()
    size = _only(kube).sizes[0]
    assert size.container == container["name"]
    assert 0.6 <= size.target["cpu"] <= 0.6 * 1.15 * 1.1, "a margin of 15 % and a step of the histogram"
    assert 2.0**31 <= size.target["memory"] <= 2.0**31 * 1.15 * 1.1
    assert size.upper["cpu"] >= size.target["cpu"]
    assert size.request["cpu"] == int(container["resources"]["requests"]["cpu"].removesuffix("m")) / 1000
    assert size.below == ("cpu", "memory")


def test_recommended_sizes_are_in_the_row(kube: Kube) -> None:
    size = _only(kube).sizes[0]
    finding = _checked(kube)
    assert (finding.wrong, finding.waits) == ([], [])
    assert "sizes recommended for 1 of 1 workloads" in finding.figures
    assert finding.seen == [f"requests below the recommendation: {WORKLOAD}/{size.container}"]


def test_what_the_autoscaler_cannot_do_fails_the_row_when_it_had_its_time(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = {"type": "ConfigUnsupported", "status": "True", "message": "no such target"}
    _recommend(kube, {"conditions": [{**problem, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    early = _checked(kube)
    assert (early.wrong, [wait.what for wait in early.waits]) == ([], [f"recommended sizes of {WORKLOAD}"])
    monkeypatch.setattr("ops.checks.ingest.FIRST_SIZES_S", 0.0)
    [late] = _checked(kube).wrong
    assert late.startswith(f"no sizes are recommended for {WORKLOAD}: ConfigUnsupported: no such target (was due at")


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


def test_no_other_program_of_the_autoscaler_has_an_account_or_a_right() -> None:
    items = autoscaling.recommender_rights(_upstream() / "vpa-rbac.yaml")
    accounts = [item["metadata"]["name"] for item in items if item["kind"] == "ServiceAccount"]
    assert accounts == [autoscaling.RECOMMENDER]
    bindings = [item for item in items if item["kind"].endswith("Binding")]
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {autoscaling.RECOMMENDER}
    roles = {(item["kind"], item["metadata"]["name"]) for item in items if item["kind"].endswith("Role")}
    assert roles == {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
