"""What a cluster has, as far as the user of the kubeconfig may see it. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ops.core.kube import Kube
from ops.preflight.demand import Need, pod_need, quantity

_TIMEOUT_S: Final = 15
_OK, _FORBIDDEN, _ABSENT = 200, 403, 404
_KEEPS_AWAY: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that takes pods.

    Attributes:
        name: Its name.
        provider: Its cloud, such as ``aws``; empty where the node does not say.
        labels: Its labels.
        taints: Its taints, as Kubernetes has them.
        capacity: What pods may ask for.
        used: What pods that are there ask for, as far as they can be seen.
    """

    name: str
    provider: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    capacity: Need
    used: Need

    @property
    def free(self) -> Need:
        """What is left."""
        return self.capacity - self.used

    def takes(self, spec: Mapping[str, Any]) -> bool:
        """Whether labels and taints let a pod run here, however much it asks for."""
        selector: Mapping[str, str] = spec.get("nodeSelector") or {}
        tolerations = spec.get("tolerations") or []
        return selector.items() <= self.labels.items() and all(
            taint["effect"] not in _KEEPS_AWAY or any(_tolerates(toleration, taint) for toleration in tolerations)
            for taint in self.taints
        )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, taint["effect"]) or toleration.get("key") not in (None, taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A kind that the API server serves."""

    group: str
    resource: str
    namespaced: bool


class Cluster:
    """Questions to the API server; each raises ``ApiException`` where it is refused.

    One object is for one run: several checks read the nodes, which are asked for once.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._api: Any = kube._api
        self._nodes: tuple[list[Node], bool] | None = None

    def uid(self) -> str:
        """UID of ``kube-system``."""
        return self._kube.cluster_id()

    def version(self) -> tuple[int, int]:
        """Major and minor version."""
        code = client.VersionApi(self._api).get_code(_request_timeout=_TIMEOUT_S)
        return int(code.major), int("".join(filter(str.isdigit, code.minor)))

    def served(self, api_version: str) -> dict[str, Served]:
        """Kind -> what is served of an API version; nothing where the server does not know it."""
        group = api_version.rpartition("/")[0]
        try:
            listing = self._get(f"/apis/{api_version}" if group else f"/api/{api_version}")
        except ApiException as error:
            if error.status == _ABSENT:
                return {}
            raise
        return {
            entry["kind"]: Served(group=group, resource=entry["name"], namespaced=entry["namespaced"])
            for entry in listing["resources"]
            if "/" not in entry["name"]
        }

    def names(self, path: str) -> list[str]:
        """Names of the objects at a path of the API."""
        return sorted(item["metadata"]["name"] for item in self._get(path)["items"])

    def exists(self, path: str) -> bool:
        """Whether there is an object at a path."""
        try:
            self._get(path)
        except ApiException as error:
            if error.status == _ABSENT:
                return False
            raise
        return True

    def api_address(self) -> str:
        """Address of the Service by which pods reach the API server."""
        return str(self._get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"])

    def nodes(self) -> tuple[list[Node], bool]:
        """Nodes that are ready and take pods, and whether what runs on them could be seen."""
        if self._nodes is None:
            self._nodes = self._listed()
        return self._nodes

    def _listed(self) -> tuple[list[Node], bool]:
        try:
            pods, seen = self._get("/api/v1/pods")["items"], True
        except ApiException as error:
            if error.status != _FORBIDDEN:
                raise
            pods, seen = [], False
        used: dict[str, Need] = {}
        for pod in pods:
            name = pod["spec"].get("nodeName")
            if name and pod["status"].get("phase") not in ("Succeeded", "Failed"):
                used[name] = used.get(name, Need()) + pod_need(pod["spec"])
        ready = [node for node in self._get("/api/v1/nodes")["items"] if _is_ready(node)]
        return [_node(node, used.get(node["metadata"]["name"], Need())) for node in ready], seen

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str = "") -> bool:
        """Whether the user may do something; an empty namespace: in the whole cluster."""
        attributes = client.V1ResourceAttributes(
            verb=verb, group=group, resource=resource, namespace=namespace, name=name
        )
        review: Any = client.AuthorizationV1Api(self._api).create_self_subject_access_review(
            client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)),
            _request_timeout=_TIMEOUT_S,
        )
        return bool(review.status.allowed)

    def _get(self, path: str) -> Any:
        request = self._api.param_serialize(
            "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
        )
        response = self._api.call_api(*request, _request_timeout=_TIMEOUT_S)
        response.read()
        if response.status != _OK:
            raise ApiException(status=response.status, reason=f"{response.reason} at {path}")
        return json.loads(response.data)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions") or []}
    return conditions.get("Ready") == "True" and not node["spec"].get("unschedulable")


def _node(node: Mapping[str, Any], used: Need) -> Node:
    capacity = node["status"].get("allocatable") or {}
    return Node(
        name=node["metadata"]["name"],
        provider=str(node["spec"].get("providerID") or "").partition(":")[0],
        labels=node["metadata"].get("labels") or {},
        taints=node["spec"].get("taints") or [],
        capacity=Need(cpu=quantity(capacity.get("cpu")), memory=quantity(capacity.get("memory"))),
        used=used,
    )
