"""A gateway's pod that is told to end, as drills follow it and `ops verify` looks at it, on a real API server.

There is no kubelet: what it writes about a pod that ends is written here, and no log can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.gateway.config import DRAIN_LIMIT_S, DRAIN_PORT
from ops.checks.ingest import WORKLOAD, questions
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.drills.procedures import drain
from ops.drills.procedures.drain import Ending
from tests.config.kube_api import KubeApi, kube_api
from tests.support import engine

NAMESPACE = "obs-local"
PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with kube_api(tmp_path_factory.mktemp("ending")) as server:
        server.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield server


@pytest.fixture
def kube(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    monkeypatch.setattr(drain, "_LOG_ENDS_S", 5.0)
    connected = Kube.connect(NAMESPACE, api.kubeconfig)
    yield connected
    connected.close()


def template() -> dict[str, Any]:
    """The pod of the local stack's gateways."""
    pod: dict[str, Any] = engine.recorded("local").applicable("StatefulSet", WORKLOAD)["spec"]["template"]
    spec = pod["spec"]
    spec["volumes"].append({"name": "queue", "emptyDir": {}})
    # Neither classes nor nodes are here.
    spec.pop("priorityClassName", None)
    return pod


def started(api: KubeApi, kube: Kube, name: str, **spec: Any) -> Pod:
    """A gateway's pod on a node."""
    pod = template()
    labels = pod["metadata"]["labels"]
    api.create(
        PATH, {"metadata": {"name": name, "labels": labels}, "spec": {**pod["spec"], "nodeName": "node", **spec}}
    )
    running = kube.pod(name)
    assert running is not None
    return running


def end(kube: Kube, pod: Pod, code: int) -> None:
    """What the kubelet does: it writes how the containers ended, then the pod goes."""
    terminated = [
        {
            "name": name,
            "image": "any",
            "imageID": "any",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": code}},
        }
        for name in pod.containers
    ]
    kube.core.patch_namespaced_pod_status(pod.name, kube.namespace, {"status": {"containerStatuses": terminated}})
    kube.core.delete_namespaced_pod(pod.name, kube.namespace, grace_period_seconds=0)


def test_a_pod_is_followed_from_when_it_is_told_until_it_is_gone(api: KubeApi, kube: Kube) -> None:
    pod = started(api, kube, "gateway-0")
    following = Ending(kube, pod, 30.0)
    assert following.grace_s == DRAIN_LIMIT_S + 60
    following.tell()
    item = kube.core.read_namespaced_pod(pod.name, kube.namespace)
    assert item.metadata.deletion_grace_period_seconds == following.grace_s
    assert not following.ended
    end(kube, pod, 0)
    assert 0 <= following.after() < 30
    assert following.ended
    assert following.exit_codes == dict.fromkeys(pod.containers, 0)
    assert drain.left_behind(following.lines) is None


def test_one_that_is_killed_is_told_from_one_that_ends(api: KubeApi, kube: Kube) -> None:
    pod = started(api, kube, "gateway-1")
    following = Ending(kube, pod, 30.0)
    following.tell()
    end(kube, pod, 137)
    following.after()
    assert set(following.exit_codes.values()) == {137}


def test_one_that_stays_is_waited_for_only_so_long(api: KubeApi, kube: Kube) -> None:
    pod = started(api, kube, "gateway-2", terminationGracePeriodSeconds=1)
    following = Ending(kube, pod, 1.0)
    with pytest.raises(OpsError, match="gateway-2 did not end within 2 s"):
        following.after()
    end(kube, pod, 0)


def test_where_gateways_are_asked_before_they_end_is_read_from_their_pods(api: KubeApi, kube: Kube) -> None:
    containers = [{**container, "lifecycle": None} for container in template()["spec"]["containers"]]
    pods = [started(api, kube, "gateway-3"), started(api, kube, "gateway-4", containers=containers)]
    assert questions(kube) == {"gateway-3": DRAIN_PORT, "gateway-4": None}
    for pod in pods:
        end(kube, pod, 0)
