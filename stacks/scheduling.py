"""Where the pods of each stage run, how urgent they are, and who they are to a cloud; what is scaled by its use, and
whether sizes are recommended (requirement S1): data of the stack file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.k8s import Autoscale, Placement
from components.k8s import Toleration as PodToleration
from components.telemetry.fields import not_allowed
from stacks import field_types
from stacks.field_types import SettingsModel
from stacks.sizing import Sizing, TraceSizing, VisualizationSizing

_FIELDS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {
        "gateway": (Sizing, "gateway_autoscale"),
        "jaeger-collector": (TraceSizing, "collector_autoscale"),
        "jaeger-query": (TraceSizing, "query_autoscale"),
        "grafana": (VisualizationSizing, "grafana_autoscale"),
    }
)
"""Workload -> what holds its bounds. The others have an identity: partitions, a place in a group, a volume of state."""

SCALED = tuple(_FIELDS)


class Bounds(SettingsModel):
    """Bounds of an autoscaler.

    Attributes:
        minimum: Fewest pods.
        maximum: Most pods; the same as minimum: their use is watched, and nothing is scaled.
        cpu_percent: Use that it aims at, in percent of what a pod requests.
    """

    minimum: Annotated[int, Field(ge=2, le=1000)]
    maximum: Annotated[int, Field(ge=2, le=1000)]
    cpu_percent: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.maximum < self.minimum:
            raise not_allowed(f"a maximum of at least minimum ({self.minimum})")
        return self


class Autoscaling(SettingsModel):
    """What is scaled by use.

    Attributes:
        horizontal: Workload -> its bounds, or null for a fixed number of pods; what is left out is as the profile says.
        recommendations: Whether a vertical autoscaler recommends a size for every workload, which it leaves as it is.
            The cluster must have its resource definitions, and its recommender.
    """

    horizontal: dict[str, Bounds | None]
    recommendations: bool = False

    @field_validator("horizontal")
    @classmethod
    def _workloads_that_scale(cls, horizontal: dict[str, Bounds | None]) -> dict[str, Bounds | None]:
        if unknown := sorted(set(horizontal) - set(SCALED)):
            raise not_allowed(f"only the workloads {', '.join(SCALED)}; remove {', '.join(unknown)}")
        return horizontal


def scaled(sizing: Sizing, autoscaling: Autoscaling) -> Sizing:
    """A profile's sizes with the bounds that a stack file says."""
    changes: dict[type, dict[str, Autoscale | None]] = {}
    for workload, bounds in autoscaling.horizontal.items():
        part, name = _FIELDS[workload]
        changes.setdefault(part, {})[name] = Autoscale(**bounds.model_dump()) if bounds else None
    sizing = replace(sizing, **changes.get(Sizing, {}))  # type: ignore[arg-type]
    return replace(
        sizing,
        traces=replace(sizing.traces, **changes.get(TraceSizing, {})),  # type: ignore[arg-type]
        visualization=replace(sizing.visualization, **changes.get(VisualizationSizing, {})),  # type: ignore[arg-type]
    )


def database_connections(sizing: Sizing) -> int:
    """Connections that all Grafanas may have to the database at once."""
    grafana = sizing.visualization
    bounds = grafana.grafana_autoscale
    return (bounds.maximum if bounds else grafana.grafanas) * grafana.grafana_connections


STAGES: Final = (
    "agent",
    "alertevents",
    "alertmanager",
    "audit",
    "backups",
    "clusterstate",
    "consumers",
    "gateway",
    "grafana",
    "jaeger",
    "kafka",
    "logs",
    "mirror",
    "postgres",
    "probes",
    "prometheus",
    "regions",
    "reports",
    "sampler",
    "search",
    "servicegraph",
    "signin",
)
"""The packages of ``components`` that have pods."""
_EVERY_NODE: Final = ("agent",)
"""Stages that are on every node: a node selector that is everybody's would take them away from the others."""


class Toleration(SettingsModel):
    """A taint that pods stand, as in a pod's specification; ``seconds`` is ``tolerationSeconds`` there."""

    key: field_types.QualifiedName | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: field_types.LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise not_allowed("no value with operator Exists")
        if self.operator == "Equal" and self.key is None:
            raise not_allowed("a key with operator Equal, or operator Exists for every taint")
        if self.seconds is not None and self.effect != "NoExecute":
            raise not_allowed("seconds only with effect NoExecute")
        return self


class Pods(SettingsModel):
    """Where pods run and who they are.

    Attributes:
        node_selector: Labels of the nodes.
        tolerations: Taints that the pods stand.
        priority_class: Name of a PriorityClass of the cluster, or null.
        storage_class: StorageClass of their volumes, or null for ``storage.storage_class``.
        service_account_annotations: Annotations of their ServiceAccounts, for example the role that they have in a
            cloud.
    """

    node_selector: field_types.NodeLabels = {}
    tolerations: tuple[Toleration, ...] = ()
    priority_class: field_types.ObjectName | None = None
    storage_class: field_types.Host | None = None
    service_account_annotations: field_types.Annotations = {}


class Scheduling(SettingsModel):
    """Where pods run and who they are.

    Attributes:
        default: Of every stage; the agents, which are on every node, take no ``node_selector`` from it.
        stages: Stage -> what differs there: a key that it has replaces that of ``default``.
    """

    default: Pods
    stages: dict[str, Pods]

    @field_validator("stages")
    @classmethod
    def _stages_that_there_are(cls, stages: dict[str, Pods]) -> dict[str, Pods]:
        unknown = sorted(set(stages) - set(STAGES))
        if unknown:
            raise not_allowed(f"only the stages {', '.join(STAGES)}; remove {', '.join(unknown)}")
        return stages

    @field_validator("default")
    @classmethod
    def _one_place_for_the_class_of_all(cls, default: Pods) -> Pods:
        if default.storage_class is not None:
            raise not_allowed("a storage_class of single stages only; that of all is storage.storage_class")
        return default

    def placements(self) -> dict[str, Placement]:
        """Stage -> where its pods run."""
        return {stage: self._placement(stage) for stage in STAGES}

    def _placement(self, stage: str) -> Placement:
        own = self.stages.get(stage, Pods())
        pods = self.default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
        everywhere = stage in _EVERY_NODE and "node_selector" not in own.model_fields_set
        return Placement(
            node_selector={} if everywhere else pods.node_selector,
            tolerations=[PodToleration(**toleration.model_dump()) for toleration in pods.tolerations],
            priority_class=pods.priority_class,
            storage_class=pods.storage_class,
            service_account_annotations=pods.service_account_annotations,
        )
