"""Autoscalers of the platform: pods by what they use, as the metrics API tells it; sizes that Kubernetes recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import requests
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from components.k8s.autoscaler import API
from ops.core.kube import NAME_LABEL, Kube, call_errors, workloads

_TIMEOUT_S = 15
_MANAGER = "obs-ops"
_METRICS = ("metrics.k8s.io", "v1beta1")
_WORKS = ("AbleToScale", "ScalingActive")


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler, reduced to what checks and drills read.

    Attributes:
        name: Its name, which is that of its workload.
        minimum: Fewest pods.
        maximum: Most pods.
        pods: How many there are.
        wanted: How many it wants.
        percent: Use in percent of the request, or None where it does not know.
        target: Use that it aims at.
        problem: Why it does not scale; empty where it does.
    """

    name: str
    minimum: int
    maximum: int
    pods: int
    wanted: int
    percent: int | None
    target: int | None
    problem: str


def autoscaler_of(item: Any) -> Autoscaler:
    """Reduce an autoscaler of the Kubernetes client."""
    status = item.status
    conditions = {condition.type: condition for condition in status.conditions or []} if status else {}
    problems = [
        f"{conditions[name].reason}: {conditions[name].message}"
        for name in _WORKS
        if name in conditions and conditions[name].status != "True"
    ]
    if not problems and not set(_WORKS) <= set(conditions):
        problems = ["it has not looked at its pods yet"]
    used = [metric.resource.current.average_utilization for metric in status.current_metrics or [] if metric.resource]
    wanted = [metric.resource.target.average_utilization for metric in item.spec.metrics or [] if metric.resource]
    return Autoscaler(
        name=item.metadata.name,
        minimum=item.spec.min_replicas or 1,
        maximum=item.spec.max_replicas,
        pods=status.current_replicas or 0,
        wanted=status.desired_replicas or 0,
        percent=used[0] if used else None,
        target=wanted[0] if wanted else None,
        problem="; ".join(problems),
    )


class Autoscalers:
    """Calls about the autoscalers of one namespace."""

    def __init__(self, kube: Kube) -> None:
        self._namespace = kube.namespace
        self._api: Any = kube.core.api_client
        self._scaling: Any = client.AutoscalingV2Api(self._api)
        self._custom: Any = client.CustomObjectsApi(self._api)

    def all(self) -> list[Autoscaler]:
        """Every autoscaler, by name."""
        with call_errors("cannot list the autoscalers"):
            listing = self._scaling.list_namespaced_horizontal_pod_autoscaler(
                self._namespace, _request_timeout=_TIMEOUT_S
            )
        return sorted((autoscaler_of(item) for item in listing.items), key=lambda scaler: scaler.name)

    def one(self, name: str) -> Autoscaler | None:
        """An autoscaler, or None where there is none of that name."""
        return next((scaler for scaler in self.all() if scaler.name == name), None)

    def spec(self, name: str) -> dict[str, Any]:
        """What an autoscaler is told, as the API has it."""
        with call_errors(f"cannot read the autoscaler {name}"):
            item = self._scaling.read_namespaced_horizontal_pod_autoscaler(
                name, self._namespace, _request_timeout=_TIMEOUT_S
            )
        spec: dict[str, Any] = self._api.sanitize_for_serialization(item)["spec"]
        return spec

    def tell(self, name: str, spec: Mapping[str, Any]) -> None:
        """Tell an autoscaler something else: keys of its specification, whole."""
        with call_errors(f"cannot change the autoscaler {name}"):
            self._scaling.patch_namespaced_horizontal_pod_autoscaler(
                name, self._namespace, {"spec": spec}, field_manager=_MANAGER, _request_timeout=_TIMEOUT_S
            )

    def cores(self, workload: str) -> dict[str, float]:
        """Pod -> cores that it uses, of those that the metrics API knows."""
        with call_errors(f"the metrics API does not tell what {workload} uses"):
            listing = self._custom.list_namespaced_custom_object(
                *_METRICS,
                self._namespace,
                "pods",
                label_selector=f"{NAME_LABEL}={workload}",
                _request_timeout=_TIMEOUT_S,
            )
        return {
            item["metadata"]["name"]: sum(_cores(container["usage"]["cpu"]) for container in item["containers"])
            for item in listing["items"]
        }


def _cores(text: str) -> float:
    """A quantity of Kubernetes in cores, such as ``12345678n``."""
    return float(parse_quantity(text))  # type: ignore[no-untyped-call]


_PLURAL: Final = "verticalpodautoscalers"
SMALLEST: Final = {"cpu": 0.01, "memory": 1e7}
"""Cores and bytes that the recommender tells apart, the first step of its histograms: less is no difference."""

Amounts = Mapping[str, float]
"""``cpu`` in cores and ``memory`` in bytes; what is not said is not in it."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A container of a workload.

    Attributes:
        workload, container: Their names.
        request, limit: What every pod of it asks for and may use.
        target, upper: What is recommended, and the most that could be right; empty where nothing is recommended yet.
    """

    workload: str
    container: str
    request: Amounts
    limit: Amounts
    target: Amounts
    upper: Amounts

    @property
    def below(self) -> tuple[str, ...]:
        """Resources that it requests less of than is recommended."""
        return tuple(
            name
            for name, smallest in SMALLEST.items()
            if self.target.get(name, 0.0) - self.request.get(name, 0.0) > smallest
        )


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What a vertical autoscaler says about its workload.

    Attributes:
        workload: Its name.
        since: When the object was made.
        mode: Its update mode.
        pods: Pods of the workload that are ready.
        sizes: Its containers.
        problem: What the autoscaler cannot do; empty where it can.
    """

    workload: str
    since: datetime
    mode: str
    pods: int
    sizes: tuple[Size, ...]
    problem: str

    @property
    def given(self) -> bool:
        """Whether there is a target for every container."""
        return all(size.target for size in self.sizes)


def recommendations(kube: Kube) -> list[Recommendation]:
    """One for every workload that has a vertical autoscaler, by name; none where the cluster does not know the kind.

    Raises:
        OpsError: The cluster does not answer.
    """
    group, _, version = API.partition("/")
    custom: Any = client.CustomObjectsApi(kube.core.api_client)
    with call_errors("cannot list the vertical autoscalers"):
        try:
            listing = custom.list_namespaced_custom_object(
                group, version, kube.namespace, _PLURAL, _request_timeout=_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == requests.codes.not_found:
                return []
            raise
    there = {(kind, item.metadata.name): item for kind, item in workloads(kube)} if listing["items"] else {}
    known = (item for item in listing["items"] if _target(item) in there)
    return sorted((_recommendation(item, there[_target(item)]) for item in known), key=lambda one: one.workload)


def _target(item: Any) -> tuple[str, str]:
    """Kind and name of its workload."""
    target = item["spec"]["targetRef"]
    return target["kind"], target["name"]


def _recommendation(item: Any, workload: Any) -> Recommendation:
    kind, name = _target(item)
    status = item.get("status") or {}
    by_container = {
        entry["containerName"]: entry
        for entry in (status.get("recommendation") or {}).get("containerRecommendations", ())
    }
    ready = workload.status.number_ready if kind == "DaemonSet" else workload.status.ready_replicas
    return Recommendation(
        workload=name,
        since=datetime.fromisoformat(item["metadata"]["creationTimestamp"]),
        mode=(item["spec"].get("updatePolicy") or {}).get("updateMode", ""),
        pods=ready or 0,
        sizes=tuple(
            Size(
                workload=name,
                container=container.name,
                request=_amounts(container.resources.requests),
                limit=_amounts(container.resources.limits),
                target=_amounts(by_container.get(container.name, {}).get("target")),
                upper=_amounts(by_container.get(container.name, {}).get("upperBound")),
            )
            for container in workload.spec.template.spec.containers
        ),
        problem="; ".join(
            f"{condition.get('reason') or condition['type']}: {condition.get('message', '')}".removesuffix(": ")
            for condition in status.get("conditions", ())
            if condition["type"] == "ConfigUnsupported" and condition["status"] == "True"
        ),
    )


def _amounts(texts: Mapping[str, str] | None) -> dict[str, float]:
    return {name: float(parse_quantity((texts or {})[name])) for name in SMALLEST if name in (texts or {})}  # type: ignore[no-untyped-call]
