"""What a rendered platform asks of its cluster: pods with their requests, objects, classes, rights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from components.k8s.autoscaler import KIND as RECOMMENDER
from ops.config.source import Configuration
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from policy.model import Resource

PODS: Final = ("StatefulSet", "Deployment", "DaemonSet", "CronJob")
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
        kinds: API version and kind of every object.
        pods: Its pods; those of jobs are counted as one each.
        storage_classes, priority_classes, pull_secrets: Names that its pods and volumes refer to.
        autoscaled: Whether it has autoscalers of any kind, which read the metrics API.
        sized: Whether it has vertical autoscalers, which recommend sizes.
        balancers: Its load balancers.
    """

    namespace: str
    kinds: frozenset[tuple[str, str]]
    pods: Sequence[Pods]
    storage_classes: frozenset[str]
    priority_classes: frozenset[str]
    pull_secrets: frozenset[str]
    autoscaled: bool
    sized: bool
    balancers: Sequence[Balancer]


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
        kinds=frozenset((_api_version(resource), resource.kind) for resource in objects),
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


def _api_version(resource: Resource) -> str:
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
