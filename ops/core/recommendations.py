"""Sizes of containers as Kubernetes' vertical autoscaler recommends them, beside what they request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import requests
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from components.k8s.recommendations import API
from ops.core.kube import Kube, call_errors

_TIMEOUT_S = 15
_PLURAL: Final = "verticalpodautoscalers"
_KINDS: Final = {"StatefulSet": "stateful_set", "Deployment": "deployment", "DaemonSet": "daemon_set"}
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
    workloads = _workloads(kube) if listing["items"] else {}
    known = (item for item in listing["items"] if _target(item) in workloads)
    return sorted((_recommendation(item, workloads[_target(item)]) for item in known), key=lambda one: one.workload)


def _target(item: Any) -> tuple[str, str]:
    """Kind and name of its workload."""
    target = item["spec"]["targetRef"]
    return target["kind"], target["name"]


def _workloads(kube: Kube) -> dict[tuple[str, str], Any]:
    workloads: dict[tuple[str, str], Any] = {}
    for kind, name in _KINDS.items():
        with call_errors(f"cannot list the {kind}s"):
            listing = getattr(kube.apps, f"list_namespaced_{name}")(kube.namespace, _request_timeout=_TIMEOUT_S)
        workloads |= {(kind, item.metadata.name): item for item in listing.items}
    return workloads


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
