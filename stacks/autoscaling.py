"""What is scaled by its use, and whether sizes are recommended (requirement S1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from components.k8s import Autoscale
from components.telemetry.fields import not_allowed
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
