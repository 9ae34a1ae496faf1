"""What is compared of a signal: the load, what the peer consists of, and the name of the evidence; and what holds of it
on either side: here, and with the stock settings.
"""

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


Pairs = Mapping[str, tuple[str, str]]
"""Case -> what holds here, and with the stock settings."""

_ALL: Pairs = {
    "acknowledged means": ("in Kafka; while Kafka is away, on the gateway's disk, synced", "in the gateway's memory"),
    "in Kafka": ("acks=all: in at least two of three brokers", "acks=1: in the leader's memory"),
    "a gateway is killed": ("nothing is lost: what it has in memory, no client was told of", "its queue is lost"),
    "Kafka is away": ("the queue on disk takes it", "lost when the queue in memory is full, or after 5 min"),
    "a batch above 1 MB": ("divided into records that Kafka takes", "lost: it is one message, which is refused"),
    "clients": ("TLS, a password for each layer, layers checked", "plaintext, anybody"),
    "personal data": ("ids hashed, masked", "as it was sent"),
}
_READ_ONCE = "lost what it has read and not written: offsets are committed when it reads"

GUARANTEES: Mapping[Signal, Pairs] = {
    Signal.METRICS: {
        **_ALL,
        "a consumer is killed": ("it reads again what Prometheus has not taken", _READ_ONCE),
        "Prometheus is away": ("the consumer waits, Kafka keeps it", "lost after 5 min of retries"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "copies that can be read": ("two consumer groups, two Prometheus", "one of each"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
    Signal.TRACES: {
        **_ALL,
        "what is stored": ("every failed and every slow trace, of the others a tenth, less under load", "every span"),
        "the sampler is killed": ("lost the traces that waited for their decision", "there is none"),
        "Jaeger is killed": ("lost at most a bulk of each class", _READ_ONCE),
        "the search cluster is away": (
            "samplers wait, Kafka keeps it",
            "Jaeger waits, Kafka keeps what it has not read",
        ),
        "who reads what": ("spans of each class in indices of their own, read by clearance", "one index for all"),
        "old spans": ("removed after their days by the index manager", "kept: removing is left to another program"),
        "between the parts": (
            "TLS and a login everywhere",
            "TLS and a login at Kafka and the search cluster only",
        ),
    },
    Signal.LOGS: {
        **_ALL,
        "the reader is killed": ("it reads again what the store has not taken", _READ_ONCE),
        "the store is away": ("the indexer waits, Kafka keeps it", "lost after 5 min of retries"),
        "a record is read twice": ("stored once: its id follows from what it is", "stored twice"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "the store": ("a search cluster of three nodes, two copies", "one VictoriaLogs, one copy"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
}
