"""Kubernetes' own controllers beside the API server of a test, and who plays the kubelet and the storage for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.cluster.controllers import Object, provide_volumes
from lab.toolchain import tools
from tests.config.kube_api import LITTLE_GARBAGE, KubeApi
from tests.config.servers import running
from tests.support.ports import free_port

_CONTROLLERS = ("statefulset-controller", "garbage-collector-controller", "persistentvolume-binder-controller")
_MERGE = {"Content-Type": "application/merge-patch+json"}


@contextmanager
def controllers(api: KubeApi) -> Iterator[None]:
    """The controllers of StatefulSets, of volumes, and of what goes when its owner goes."""
    port = free_port()
    command = [
        str(tools.path("kube-controller-manager")),
        f"--kubeconfig={api.kubeconfig}",
        f"--controllers={','.join(_CONTROLLERS)}",
        "--leader-elect=false",
        f"--cert-dir={api.folder}/controllers",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]
    with running(command, api.folder / "controllers.log", port, variables=LITTLE_GARBAGE):
        yield


class Node:
    """Does for pods and claims what kubelet, scheduler and storage would do, until it is closed.

    Attributes:
        expands: Whether it grows file systems of pods that run.
    """

    def __init__(self, api: KubeApi, root: Path) -> None:
        self.expands = True
        self._api, self._root = api, root
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._end.set()
        self._thread.join(60)

    def items(self, path: str) -> list[Object]:
        """List the objects at an API path."""
        return list(self._api.get(path).json()["items"])

    def create(self, path: str, body: Object) -> None:
        """Create an object; one that exists already is fine."""
        self._api._call("POST", path, json=body)

    def patch(self, path: str, body: Object) -> None:
        """Merge-patch an object."""
        self._api._call("PATCH", path, json=body, headers=_MERGE)

    def delete(self, path: str) -> None:
        """Delete an object."""
        self._api._call("DELETE", path)

    def _run(self) -> None:
        while not self._end.wait(0.2):
            provide_volumes(self, self._root)  # type: ignore[arg-type]
            for pod in self.items("/api/v1/pods"):
                self._pod(pod)
            volumes = {volume["metadata"]["name"]: volume for volume in self.items("/api/v1/persistentvolumes")}
            for claim in self.items("/api/v1/persistentvolumeclaims"):
                self._claim(claim, volumes.get(claim["spec"].get("volumeName", "")))

    def _pod(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if metadata.get("deletionTimestamp"):
            self._api._call("DELETE", path, params={"gracePeriodSeconds": 0})
        elif pod["status"].get("phase") != "Running":
            conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")]
            self.patch(f"{path}/status", {"status": {"phase": "Running", "conditions": conditions}})

    def _claim(self, claim: Object, volume: Object | None) -> None:
        if volume is None or claim["status"].get("phase") != "Bound" or not self.expands:
            return
        size: Any = volume["spec"]["capacity"]["storage"]
        if claim["status"].get("capacity", {}).get("storage") != size:
            metadata = claim["metadata"]
            path = f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims/{metadata['name']}/status"
            self.patch(path, {"status": {"capacity": {"storage": size}}})
