"""Autoscalers of the platform, and what pods use as the metrics API tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from ops.core.kube import NAME_LABEL, Kube, call_errors

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
