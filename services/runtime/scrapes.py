"""Metrics that are worked out at a scrape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric


class ScrapeCollector(ABC):
    """Reads at each scrape what the program knows then."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register it: its attributes are set before."""
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: names are known only at a scrape."""
        return []

    @abstractmethod
    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""


def gauge_by(label: str, name: str, help_text: str, values: Mapping[str, float | None]) -> Metric:
    """A gauge with one series for each key, its value of ``label``; of what is not known (None) there is none."""
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([key], value)
    return family
