"""Volumes that grow, against a real API server with Kubernetes' own controllers: pods run on, nothing shrinks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lab.cluster.controllers import STORAGE_CLASS, objects
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.storage.claims import Claim, Volumes, Wanted
from ops.storage.command import grow, look
from tests.config.kube_api import ADMIN, KubeApi, kube_api
from tests.config.kube_controllers import Node, controllers
from tests.config.servers import eventually

NAMESPACE = "default"
SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
MANAGER = "pulumi-kubernetes-0000"
_NUMBERS = itertools.count()


@dataclass
class Running:
    """A cluster, and one StatefulSet of three pods with volumes of 1 GiB.

    Attributes:
        api: The API server.
        node: Plays kubelet and storage.
        kube: As ops sees it.
        name: Of the StatefulSet.
        followed: StatefulSets that Pulumi's state was told of.
    """

    api: KubeApi
    node: Node
    kube: Kube
    name: str = ""
    followed: list[str] = field(default_factory=list)

    def apply(self, size: str, *, image: str = "a", storage_class: str = STORAGE_CLASS) -> int:
        """Apply the StatefulSet as Pulumi's provider does; the status code."""
        response = self.api._call(
            "PATCH",
            f"{SETS}/{self.name}?fieldManager={MANAGER}",
            data=json.dumps(_stateful_set(self.name, size, image, storage_class)),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        return int(response.status_code)

    def ready(self) -> None:
        """Wait until every pod is ready and has its volume."""
        eventually(lambda: self.kube.rolled(self.name), 60, f"{self.name} is ready")
        eventually(lambda: "" not in self.capacities(), 60, f"the volumes of {self.name} are there")

    def stateful_set(self) -> dict[str, Any]:
        """The StatefulSet as the API server has it."""
        content: dict[str, Any] = self.api.get(f"{SETS}/{self.name}").json()
        return content

    def pods(self) -> dict[str, tuple[str, str]]:
        """Pod -> its UID and the UID of what owns it."""
        items = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods").json()["items"]
        return {
            pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["metadata"]["ownerReferences"][0]["uid"])
            for pod in items
            if pod["metadata"]["name"].startswith(f"{self.name}-")
        }

    def claims(self) -> list[Claim]:
        """Its volume claims."""
        return [claim for name, claim in Volumes(self.kube).claims().items() if f"-{self.name}-" in name]

    def capacities(self) -> list[str]:
        """Sizes of the volumes."""
        return [claim.capacity for claim in self.claims()]

    def revisions(self) -> int:
        """Revisions of pod templates that were ever made."""
        items = self.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions").json()["items"]
        return sum(item["metadata"]["name"].startswith(f"{self.name}-") for item in items)

    def grow(self, size: str, limit_s: float = 60) -> None:
        """Grow the volumes."""
        grow(self.kube, [self.wanted(size)], self.followed.extend, limit_s)

    def wanted(self, size: str) -> Wanted:
        """What settings with a size want."""
        return Wanted(workload=self.name, template="data", size=size, storage_class=STORAGE_CLASS)


def _stateful_set(name: str, size: str, image: str, storage_class: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }
    mount = {"name": "data", "mountPath": "/data"}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": image, "volumeMounts": [mount]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "annotations": {"owner": "us"}},
        "spec": {
            "serviceName": f"{name}-headless",
            "replicas": 3,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("storage")
    with kube_api(folder) as api, controllers(api), closing(Node(api, folder / "volumes")) as node:
        api.create(CLASSES, next(item for item in objects() if item["kind"] == "StorageClass"))
        fixed = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fixed"}}
        api.create(CLASSES, {**fixed, "provisioner": "example.com/none"})
        with closing(Kube.connect(NAMESPACE, api.kubeconfig, ADMIN)) as kube:
            yield Running(api, node, kube)


@pytest.fixture
def kafka(cluster: Running) -> Running:
    """A StatefulSet of the test's own."""
    own = replace(cluster, name=f"kafka{next(_NUMBERS)}", followed=[])
    assert own.apply("1Gi") == 201
    own.ready()
    return own


def test_the_api_server_changes_no_template_in_place(kafka: Running) -> None:
    """Why the StatefulSet has to be made again at all."""
    assert kafka.apply("2Gi") == 422


def test_volumes_grow_while_the_same_pods_run_on_and_new_pods_get_the_size(kafka: Running) -> None:
    pods, old = kafka.pods(), kafka.stateful_set()
    kafka.grow("2Gi")
    assert kafka.capacities() == ["2Gi"] * 3
    new, now = kafka.stateful_set(), kafka.pods()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert {name: uid for name, (uid, _) in now.items()} == {name: uid for name, (uid, _) in pods.items()}
    assert {owner for _, owner in now.values()} == {new["metadata"]["uid"]}
    assert kafka.revisions() == 1, "a new revision would restart every pod"
    assert new["spec"]["template"] == old["spec"]["template"]
    assert new["metadata"]["annotations"] == {"owner": "us"}
    assert new["spec"]["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "2Gi"}}
    assert kafka.followed == [kafka.name]
    kafka.grow("2Gi")
    assert kafka.stateful_set()["metadata"]["uid"] == new["metadata"]["uid"], "a second time nothing is done"
    assert look(Volumes(kafka.kube), [kafka.wanted("2Gi")]).to_do is False


def test_the_next_update_by_whoever_applied_it_is_no_conflict(kafka: Running) -> None:
    kafka.grow("2Gi")
    assert kafka.apply("2Gi", image="b") == 200
    eventually(lambda: kafka.stateful_set()["status"].get("updatedReplicas") == 3, 60, "the pods follow")
    kafka.ready()
    assert kafka.apply("1Gi", image="c") == 422, "a state that does not know the size is refused, and nothing restarts"


def test_a_smaller_size_is_refused_before_anything_is_changed(kafka: Running) -> None:
    uid = kafka.stateful_set()["metadata"]["uid"]
    with pytest.raises(OpsError, match="the settings want 512Mi, its volumes have 1Gi: volumes only grow, set"):
        kafka.grow("512Mi")
    assert (kafka.stateful_set()["metadata"]["uid"], kafka.capacities()) == (uid, ["1Gi"] * 3)


def test_a_class_that_lets_nothing_grow_is_told_before_anything_is_changed(cluster: Running) -> None:
    """Its claims never get a volume: nobody provides any here."""
    search = replace(cluster, name="search")
    search.apply("1Gi", storage_class="fixed")
    eventually(lambda: len(search.claims()) == 3, 60, "the claims are there")
    with pytest.raises(OpsError, match="search: its volumes are of the storage class fixed, which does not let them"):
        search.grow("2Gi")
    assert {claim.requested for claim in search.claims()} == {"1Gi"}


def test_a_capacity_that_does_not_follow_ends_with_its_reason_and_goes_on_later(kafka: Running) -> None:
    kafka.node.expands = False
    uid = kafka.stateful_set()["metadata"]["uid"]
    try:
        with pytest.raises(OpsError, match=r"data-kafka\d+-0 has 1Gi: see `kubectl describe pvc data-kafka\d+-0`"):
            kafka.grow("2Gi", limit_s=3)
        assert kafka.stateful_set()["metadata"]["uid"] == uid
    finally:
        kafka.node.expands = True
    kafka.grow("2Gi")
    assert (kafka.capacities(), kafka.followed) == (["2Gi"] * 3, [kafka.name])
