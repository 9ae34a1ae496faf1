"""Every metric that the five layers send of their own, with its names in Prometheus.

Those that the requirements name stand in ``registry/metrics.yaml``, all further ones under ``services`` in
``thresholds.yaml``. What SDKs send besides is in ``registry/conventions.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.telemetry.file import NAME, content, explaining, registry_content, text
from components.telemetry.layers import Layer, layer
from components.telemetry.naming import Kind, prometheus_label, prometheus_name


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: OTLP name.
        unit: UCUM unit.
        kind: Instrument.
        layer: Layer that sends it.
        service: ``service.name`` that sends it.
        description: What one value means, with its range where it has one.
        attributes: Keys of the data points' attributes; values are few and known.
        buckets: Bucket boundaries of a histogram; they include the threshold's limit.
    """

    name: str
    unit: str
    kind: Kind
    layer: Layer
    service: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Name in Prometheus; of a histogram without ``_bucket``, ``_sum`` and ``_count``."""
        return prometheus_name(self.name, self.unit, self.kind)

    @property
    def series(self) -> tuple[str, ...]:
        """All names of series in Prometheus."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.prometheus}_{part}" for part in ("bucket", "sum", "count"))
        return (self.prometheus,)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in Prometheus that come from the data points' attributes."""
        return tuple(prometheus_label(key) for key in self.attributes)


def metrics_in(services: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Metrics of ``services`` in a file.

    Raises:
        KeyError: A key or a layer is missing.
        TypeError: A value is of another kind.
        ValueError: There is no such instrument.
    """
    return tuple(
        Metric(
            name=text(row["name"]),
            unit=text(row["unit"]),
            kind=Kind(row["kind"]),
            layer=layer(service["layer"]),
            service=text(service["name"]),
            description=text(row["description"]),
            attributes=tuple(text(key) for key in row.get("attributes", ())),
            buckets=tuple(float(boundary) for boundary in row.get("buckets", ())),
        )
        for service in services
        for row in service.get("metrics", ())
    )


with explaining():
    REQUIRED_METRICS: tuple[Metric, ...] = metrics_in(registry_content("metrics")["services"])
    METRICS: tuple[Metric, ...] = (*REQUIRED_METRICS, *metrics_in(content()["services"]))
"""Metrics that the requirements name, in the order of the layers; and all."""

SERVICES: dict[str, Layer] = {metric.service: metric.layer for metric in METRICS}
"""Every service that sends metrics, with its layer."""


def metrics_of(service: str) -> tuple[Metric, ...]:
    """Metrics that one service sends."""
    return tuple(metric for metric in METRICS if metric.service == service)


def metric(name: str) -> Metric:
    """Find a metric by its OTLP name.

    Raises:
        KeyError: The catalogue has no such metric.
    """
    for candidate in METRICS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"metric {name!r} is not in the catalogue: add it under `services` in {NAME}")
