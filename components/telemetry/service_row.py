"""A further service, or further metrics of a known one, as they stand in ``thresholds.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from components.telemetry.layers import Signal
from components.telemetry.naming import Kind
from components.telemetry.rows import AttributeName, LayerField, Line, MetricName, Name, Row, not_allowed


class Simulated(Row):
    """What the lab's simulator sends for a metric.

    Attributes:
        usual: Value in normal operation; of a counter, its growth per second.
        faulty: The same while the fault of a threshold that reads the metric is on; None: nothing changes.
        attributes: Values of the metric's attributes.
    """

    usual: float
    faulty: float | None = None
    attributes: Mapping[AttributeName, str] = Field(default_factory=dict)


class ServiceMetric(Row):
    """One metric; the attributes are those of `components.telemetry.catalogue.Metric`."""

    name: MetricName
    unit: str = Field(min_length=1)
    kind: Kind
    description: Line
    attributes: tuple[AttributeName, ...] = ()
    buckets: tuple[float, ...] = ()
    simulated: Simulated | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind is Kind.HISTOGRAM) != bool(self.buckets):
            raise not_allowed("buckets for a histogram, and for nothing else")
        if self.simulated is not None and set(self.simulated.attributes) != set(self.attributes):
            raise not_allowed("a simulated value for each of the metric's attributes, and for nothing else")
        return self


class Traces(Row):
    """That a service sends traces.

    Attributes:
        latency_limit_ms: A span of it that lasts longer is slow: its trace is kept, and many of them raise an alert.
    """

    latency_limit_ms: int = Field(ge=1)


class Service(Row):
    """One service.

    Attributes:
        name: ``service.name``.
        layer: Layer that it sends as.
        description: What it does.
        metrics: Metrics that it sends.
        traces: Set when it sends traces.
    """

    name: Name
    layer: LayerField
    description: Line
    metrics: tuple[ServiceMetric, ...] = ()
    traces: Traces | None = None

    @model_validator(mode="after")
    def _sends(self) -> Self:
        if not self.metrics and self.traces is None:
            raise not_allowed("a service with metrics, traces or both")
        if self.traces is not None and not self.layer.may_send(Signal.TRACES):
            raise not_allowed(f"no traces: layer {self.layer.name} may not send any")
        return self
