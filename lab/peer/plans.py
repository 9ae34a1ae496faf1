"""What is compared of a signal: the load, what the peer consists of, and the name of the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.telemetry.layers import Signal

GATEWAY, CONSUMER = "peer gateway", "peer consumer"
PROMETHEUS, JAEGER, LOG_STORE = "peer Prometheus", "peer Jaeger", "peer VictoriaLogs"
"""Processes of the peer."""
KAFKA, SEARCH = "kafka", "search"
"""Workloads of the platform that the peer uses, too."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A second comparison, of a part of what the signal passes.

    Attributes:
        name: End of the figure of each side.
        ratio: The figure that compares both.
        weights: Beginning of a stage's name -> how much of its costs counts; others count whole.
    """

    name: str
    ratio: str
    weights: Mapping[str, float]

    def weight(self, stage: str) -> float:
        """How much of a stage's costs counts."""
        return next((weight for start, weight in self.weights.items() if stage.startswith(start)), 1.0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a signal is compared.

    Attributes:
        evidence: Name of the evidence.
        rate: Items per second.
        size: Items of one request. A stock batch is one message, and what comes within 200 ms is one batch: larger
            requests than these may exceed the 1,000,000 bytes that the exporter's client takes.
        passes: What the peer's items pass, in this order: its processes, and workloads of the platform.
        part: Compared besides.
    """

    evidence: str
    rate: float
    size: int
    passes: tuple[str, ...]
    part: Part = field(default_factory=lambda: Part(name="", ratio="", weights={}))

    @property
    def processes(self) -> tuple[str, ...]:
        """The peer's own."""
        return tuple(stage for stage in self.passes if stage not in (KAFKA, SEARCH))


PLANS: Mapping[Signal, Plan] = {
    Signal.METRICS: Plan(
        evidence="bench-peer",
        rate=3000,
        size=1000,
        passes=(GATEWAY, KAFKA, CONSUMER, PROMETHEUS),
        part=Part(
            name="one consumer group",
            ratio="the same, for one of our two consumer groups",
            weights={"metrics-consumer-": 0.5, "prometheus-": 0.5},
        ),
    ),
    Signal.TRACES: Plan(
        evidence="bench-peer-traces",
        rate=2000,
        size=200,
        passes=(GATEWAY, KAFKA, JAEGER, SEARCH),
    ),
    Signal.LOGS: Plan(
        evidence="bench-peer-logs",
        rate=1000,
        size=200,
        passes=(GATEWAY, KAFKA, CONSUMER, LOG_STORE),
        part=Part(
            name="without the store",
            ratio="the same, without the stores",
            weights={SEARCH: 0.0, LOG_STORE: 0.0},
        ),
    ),
}
