"""What a rendered platform asks of its cluster (pods with their requests, objects, classes, rights), and what a cluster
has, as far as the user of the kubeconfig may see it. Nothing is changed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from components.k8s.autoscaler import KIND as RECOMMENDER
from ops.config import Configuration
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import PROJECT
from policy.model import Resource

PODS: Final = ("StatefulSet", "Deployment", "DaemonSet", "CronJob")
_CONTAINERS: Final = ("initContainers", "containers")
_SUFFIXES: Final = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def quantity(text: object) -> float:
    """A quantity of Kubernetes, ``250m`` or ``2Gi``, as a number: cores or bytes; 0 where nothing is said."""
    value = "0" if text is None else str(text)
    suffix = value.lstrip("0123456789.")
    if suffix and suffix not in _SUFFIXES:
        return float(value)
    return float(value.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1.0)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Cores and bytes of memory that are asked for."""

    cpu: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Need) -> Need:
        return Need(cpu=self.cpu + other.cpu, memory=self.memory + other.memory)

    def __sub__(self, other: Need) -> Need:
        return Need(cpu=self.cpu - other.cpu, memory=self.memory - other.memory)

    def __mul__(self, count: int) -> Need:
        return Need(cpu=self.cpu * count, memory=self.memory * count)

    def fits(self, free: Need) -> bool:
        """Whether both are there."""
        return self.cpu <= free.cpu and self.memory <= free.memory

    def __str__(self) -> str:
        return f"{self.cpu:.1f} cores and {self.memory / 2**30:.1f} GiB"


def pod_need(spec: Mapping[str, Any]) -> Need:
    """What one pod asks for: all containers together, or its largest init container where that is more."""
    together = Need()
    for container in spec.get("containers") or []:
        together += _container(container)
    first = [_container(container) for container in spec.get("initContainers") or []]
    return Need(
        cpu=max([together.cpu, *(need.cpu for need in first)]),
        memory=max([together.memory, *(need.memory for need in first)]),
    )


def _container(container: Mapping[str, Any]) -> Need:
    requests = (container.get("resources") or {}).get("requests") or {}
    return Need(cpu=quantity(requests.get("cpu")), memory=quantity(requests.get("memory")))


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Equal pods of the platform.

    Attributes:
        name: Kind and name of what makes them.
        count: How many there are at first; None: one on every node.
        spec: Specification of each.
    """

    name: str
    count: int | None
    spec: Mapping[str, Any]

    @property
    def need(self) -> Need:
        """What one of them asks for."""
        return pod_need(self.spec)


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A Service of type LoadBalancer, with what its controller is told."""

    name: str
    load_balancer_class: str | None
    annotations: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a platform asks of its cluster.

    Attributes:
        namespace: Where it is.
        kinds: API version and kind -> names of its objects.
        pods: Its pods; those of jobs are counted as one each.
        storage_classes, priority_classes, pull_secrets: Names that its pods and volumes refer to.
        autoscaled: Whether it has autoscalers of any kind, which read the metrics API.
        sized: Whether it has vertical autoscalers, which recommend sizes.
        balancers: Its load balancers.
    """

    namespace: str
    kinds: Mapping[tuple[str, str], Sequence[str]]
    pods: Sequence[Pods]
    storage_classes: frozenset[str]
    priority_classes: frozenset[str]
    pull_secrets: frozenset[str]
    autoscaled: bool
    sized: bool
    balancers: Sequence[Balancer]

    @property
    def images(self) -> list[str]:
        """References of the images of its pods."""
        containers = [one for pods in self.pods for key in _CONTAINERS for one in pods.spec.get(key) or []]
        return sorted({str(container["image"]) for container in containers if container.get("image")})


def demand(namespace: str, resources: Iterable[Resource]) -> Demand:
    """Read the rendered objects.

    Args:
        namespace: Where the platform is.
        resources: What the program makes.
    """
    objects = [resource for resource in resources if resource.kubernetes]
    pods = [pods for resource in objects if resource.kind in PODS for pods in [_pods(resource)]]
    return Demand(
        namespace=namespace,
        kinds=_kinds(objects),
        pods=pods,
        storage_classes=frozenset(name for resource in objects for name in _classes(resource)),
        priority_classes=frozenset(
            str(pod.spec["priorityClassName"]) for pod in pods if "priorityClassName" in pod.spec
        ),
        pull_secrets=frozenset(
            str(secret["name"]) for pod in pods for secret in pod.spec.get("imagePullSecrets") or []
        ),
        autoscaled=any(resource.kind in ("HorizontalPodAutoscaler", RECOMMENDER) for resource in objects),
        sized=any(resource.kind == RECOMMENDER for resource in objects),
        balancers=[
            Balancer(
                name=resource.object_name,
                load_balancer_class=resource.props["spec"].get("loadBalancerClass"),
                annotations=resource.props["metadata"].get("annotations") or {},
            )
            for resource in objects
            if resource.kind == "Service" and resource.props["spec"].get("type") == "LoadBalancer"
        ],
    )


def _kinds(objects: Iterable[Resource]) -> dict[tuple[str, str], list[str]]:
    kinds: dict[tuple[str, str], list[str]] = {}
    for resource in objects:
        kinds.setdefault((api_version(resource), resource.kind), []).append(resource.object_name)
    return kinds


def api_version(resource: Resource) -> str:
    """``apps/v1`` of ``kubernetes:apps/v1:StatefulSet``; ``v1`` of the core group."""
    return resource.type.split(":")[1].removeprefix("core/")


def _pods(resource: Resource) -> Pods:
    spec = resource.props["spec"]
    count: int | None = 1 if resource.kind == "CronJob" else None
    if resource.kind in ("StatefulSet", "Deployment"):
        count = int(spec.get("replicas", 1))
    template = spec["jobTemplate"]["spec"]["template"] if resource.kind == "CronJob" else spec["template"]
    return Pods(name=f"{resource.kind} {resource.object_name}", count=count, spec=template["spec"])


def _classes(resource: Resource) -> Iterator[str]:
    if resource.kind == "StatefulSet":
        for claim in resource.props["spec"].get("volumeClaimTemplates") or []:
            yield str(claim["spec"]["storageClassName"])


_PROGRAM: Final = ("__main__.py", "Pulumi.yaml", "components", "stacks", "services", "policy")
_PLAIN: Final = ("settings", "role")
"""Keys of the configuration that decide what is rendered; without the others a preview goes on."""


def render(configuration: Configuration, namespace: str) -> Demand:
    """What the program of this checkout asks of a cluster for a stack.

    Raises:
        OpsError: The program is not there, or fails.
    """
    return demand(namespace, rendered(configuration))


def rendered(configuration: Configuration) -> list[Resource]:
    """What the program of this checkout makes for a stack, without any cluster and without secrets.

    Raises:
        OpsError: The program is not there, or fails.
    """
    # Here, since the policies, whose model of resources it shares, are slow to load.
    from ops.review.review import plan

    if not (PROJECT / _PROGRAM[0]).exists():
        raise OpsError(f"there is no program at {PROJECT}: run from a whole checkout of this repository")
    with tempfile.TemporaryDirectory(prefix="obs-preflight-") as folder:
        root = Path(folder)
        for name in _PROGRAM:
            (root / name).symlink_to(PROJECT / name)
        values = {key: value for key, value in configuration.values.items() if key.rpartition(":")[2] in _PLAIN}
        (root / f"Pulumi.{configuration.stack}.yaml").write_text(yaml.safe_dump({"config": values}))
        return plan(root, configuration.stack, "this checkout").resources


_TIMEOUT_S: Final = 15
_OK, FORBIDDEN, _ABSENT = 200, 403, 404
_ENDED: Final = ("Succeeded", "Failed")
_KEEPS_AWAY: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that takes pods.

    Attributes:
        name: Its name.
        provider: Its cloud, such as ``aws``; empty where the node does not say.
        labels: Its labels.
        annotations: Its annotations.
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
    annotations: Mapping[str, str] = field(default_factory=dict)

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

    One object is for one run: several checks read nodes and pods, which are asked for once.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._api: Any = kube._api
        self._nodes: tuple[list[Node], bool] | None = None
        self._pods: tuple[list[Mapping[str, Any]], bool] | None = None

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
        return sorted(item["metadata"]["name"] for item in self.objects(path))

    def objects(self, path: str) -> list[Mapping[str, Any]]:
        """The objects at a path of the API."""
        listed: list[Mapping[str, Any]] = self._get(path)["items"]
        return listed

    def read(self, path: str) -> Mapping[str, Any] | None:
        """The object at a path of the API, or None where there is none."""
        try:
            content: Mapping[str, Any] = self._get(path)
        except ApiException as error:
            if error.status == _ABSENT:
                return None
            raise
        return content

    def exists(self, path: str) -> bool:
        """Whether there is an object at a path."""
        return self.read(path) is not None

    def api_address(self) -> str:
        """Address of the Service by which pods reach the API server."""
        return str(self._get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"])

    def dns_address(self) -> str:
        """Address of the Service that answers DNS questions; empty where there is none, or it may not be read."""
        try:
            return str(self._get("/api/v1/namespaces/kube-system/services/kube-dns")["spec"].get("clusterIP") or "")
        except ApiException as error:
            if error.status not in (FORBIDDEN, _ABSENT):
                raise
            return ""

    def pods(self) -> tuple[list[Mapping[str, Any]], bool]:
        """Pods that have not ended, and whether they could be seen."""
        if self._pods is None:
            try:
                listed, seen = self.objects("/api/v1/pods"), True
            except ApiException as error:
                if error.status != FORBIDDEN:
                    raise
                listed, seen = [], False
            self._pods = [pod for pod in listed if pod["status"].get("phase") not in _ENDED], seen
        return self._pods

    def nodes(self) -> tuple[list[Node], bool]:
        """Nodes that are ready and take pods, and whether what runs on them could be seen."""
        if self._nodes is None:
            self._nodes = self._listed()
        return self._nodes

    def _listed(self) -> tuple[list[Node], bool]:
        pods, seen = self.pods()
        used: dict[str, Need] = {}
        for pod in pods:
            if name := pod["spec"].get("nodeName"):
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
        annotations=node["metadata"].get("annotations") or {},
        taints=node["spec"].get("taints") or [],
        capacity=Need(cpu=quantity(capacity.get("cpu")), memory=quantity(capacity.get("memory"))),
        used=used,
    )
