"""A further service, or further metrics of a known one, as they stand in ``thresholds.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from components.telemetry.fields import AttributeName, Line, Name, Row, not_allowed
from components.telemetry.layers import Signal
from components.telemetry.registry import Attribute, MetricRow
from components.telemetry.rows import LayerField


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


class ServiceMetric(MetricRow):
    """One metric.

    Attributes:
        simulated: What the lab's simulator sends; None: nothing.
    """

    simulated: Simulated | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
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
        attributes: Attributes that the registry does not have, with their types; they may stand on its metrics, and on
            the spans and logs of its layer.
        metrics: Metrics that it sends.
        traces: Set when it sends traces.
    """

    name: Name
    layer: LayerField
    description: Line
    attributes: tuple[Attribute, ...] = ()
    metrics: tuple[ServiceMetric, ...] = ()
    traces: Traces | None = None

    @model_validator(mode="after")
    def _sends(self) -> Self:
        if not self.metrics and self.traces is None:
            raise not_allowed("a service with metrics, traces or both")
        if self.traces is not None and not self.layer.may_send(Signal.TRACES):
            raise not_allowed(f"no traces: layer {self.layer.name} may not send any")
        return self
