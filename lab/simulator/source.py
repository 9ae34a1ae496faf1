"""A source: one resource (a device or a service) with the current values of its metrics, its spans and its logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from components.telemetry.attributes import DEVICE_ID
from components.telemetry.catalogue import SERVICES, Metric, metrics_of
from components.telemetry.layers import Layer
from components.telemetry.naming import Kind

Attributes = tuple[tuple[str, str], ...]
_MAX_WAITING = 2000


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One finished piece of work, to become a span; times are seconds relative to the end of the whole trace."""

    name: str
    duration_s: float
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    error: str = ""
    server: bool = False
    children: tuple[Operation, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event:
    """One structured log record."""

    name: str
    message: str
    severity: str = "INFO"
    attributes: dict[str, str | int | float] = field(default_factory=dict)


class Source:
    """One resource. Values may only be set for metrics that the catalogue lists for the service."""

    def __init__(
        self,
        service: str,
        instance: str,
        *,
        layer: Layer | None = None,
        device_id: str = "",
        extra: dict[str, str] | None = None,
    ) -> None:
        """``layer`` is for services without metrics; the catalogue knows that of the others."""
        self.service = service
        self.layer: Layer = layer or SERVICES[service]
        self.instance = instance
        self.attributes = {DEVICE_ID: device_id} if device_id else {}
        self.attributes |= extra or {}
        self.silent = False
        self.metrics: dict[str, Metric] = {metric.name: metric for metric in metrics_of(service)}
        self.values: dict[str, dict[Attributes, float]] = {}
        self.measurements: deque[tuple[str, Attributes, float]] = deque(maxlen=_MAX_WAITING)
        self.operations: deque[Operation] = deque(maxlen=_MAX_WAITING)
        self.events: deque[Event] = deque(maxlen=_MAX_WAITING)

    def set(self, name: str, value: float, attributes: dict[str, str] | None = None) -> None:
        """Set the current value of a gauge or an up-down counter."""
        self._check(name, Kind.GAUGE, Kind.UP_DOWN_COUNTER)
        self.values.setdefault(name, {})[self._key(name, attributes)] = value

    def add(self, name: str, amount: float, attributes: dict[str, str] | None = None) -> None:
        """Add to a counter; adding 0 makes its series exist."""
        self._check(name, Kind.COUNTER)
        series = self.values.setdefault(name, {})
        key = self._key(name, attributes)
        series[key] = series.get(key, 0.0) + amount

    def measure(self, name: str, value: float, attributes: dict[str, str] | None = None) -> None:
        """Record one value of a histogram."""
        self._check(name, Kind.HISTOGRAM)
        self.measurements.append((name, self._key(name, attributes), value))

    def value(self, name: str) -> float:
        """Sum of a metric's current values over all its attributes."""
        return sum(self.values[name].values())

    def drain_measurements(self) -> Iterator[tuple[str, Attributes, float]]:
        """Take the histogram values that wait."""
        while self.measurements:
            yield self.measurements.popleft()

    def _check(self, name: str, *kinds: Kind) -> None:
        if self.metrics[name].kind not in kinds:
            raise TypeError(f"metric {name} is a {self.metrics[name].kind.value}")

    def _key(self, name: str, attributes: dict[str, str] | None) -> Attributes:
        key = tuple(sorted((attributes or {}).items()))
        if {attribute for attribute, _ in key} != set(self.metrics[name].attributes):
            raise KeyError(f"metric {name} has the attributes {self.metrics[name].attributes}, not {key}")
        return key
