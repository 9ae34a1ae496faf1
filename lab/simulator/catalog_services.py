"""Services that ``components/telemetry/thresholds.yaml`` adds: usual values, and faulty ones during a fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.telemetry.file import content
from components.telemetry.naming import Kind
from lab.simulator.faults import FaultPlan
from lab.simulator.source import Source

_MEASUREMENTS = 10
"""Values of a histogram in one step."""


class CatalogService:
    """One entry under ``services``. Metrics without ``simulated`` are not sent."""

    def __init__(self, entry: Mapping[str, Any], thresholds: list[Mapping[str, Any]]) -> None:
        """``thresholds`` are the entries of the file: their faults are the services' faults."""
        name = entry["name"]
        self.source = Source(name, f"{name}-further", extra={"host.name": f"{name}-further"})
        self._simulated = {
            metric["name"]: metric["simulated"] for metric in entry.get("metrics", ()) if "simulated" in metric
        }
        self._faults = {name: [row["name"] for row in thresholds if name in row["metrics"]] for name in self._simulated}

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds."""
        for name, simulated in self._simulated.items():
            faulty = any(faults.magnitude(kind, now) is not None for kind in self._faults[name])
            value = simulated.get("faulty", simulated["usual"]) if faulty else simulated["usual"]
            self._send(name, value, dict(simulated.get("attributes", {})), dt)

    def _send(self, name: str, value: float, attributes: dict[str, str], dt: float) -> None:
        kind = self.source.metrics[name].kind
        if kind is Kind.COUNTER:
            self.source.add(name, value * dt, attributes)
        elif kind is Kind.HISTOGRAM:
            for _ in range(_MEASUREMENTS):
                self.source.measure(name, value, attributes)
        else:
            self.source.set(name, value, attributes)


def catalog_services() -> list[CatalogService]:
    """All services that the file adds and that send metrics."""
    file = content()
    return [CatalogService(service, file["thresholds"]) for service in file["services"] if service.get("metrics")]
