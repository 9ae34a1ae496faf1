"""Kafka topics of the platform as data: the defaults of the settings (requirements K2, K4); and what volumes must hold:
bytes of the load that a platform is promised to keep (requirement S2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal

_DAY_MS = 24 * 60 * 60 * 1000
_LEGAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """One topic.

    Attributes:
        name: Name in Kafka.
        partitions: Number of partitions; may only grow.
        retention_days: How long records are kept.
        description: What a record is, and what its key is.

    Raises:
        ValueError: A value that Kafka would refuse.
    """

    name: str
    partitions: int
    retention_days: int
    description: str

    def __post_init__(self) -> None:
        if not _LEGAL_NAME.fullmatch(self.name):
            raise ValueError(f"topic name {self.name!r} is not legal: use letters, digits, '.', '_' or '-'")
        if self.partitions < 1:
            raise ValueError(f"topic {self.name}: partitions is {self.partitions}, must be at least 1")
        if self.retention_days < 1:
            raise ValueError(f"topic {self.name}: retention_days is {self.retention_days}, must be at least 1")

    @property
    def retention_ms(self) -> int:
        """Retention as Kafka's ``retention.ms`` wants it."""
        return self.retention_days * _DAY_MS


METRICS_TOPIC = TopicSpec(
    name=TOPIC_OF_SIGNAL[Signal.METRICS],
    partitions=12,
    retention_days=30,
    description="OTLP metrics (protobuf), keyed by device, else by service",
)
TRACES_TOPIC = TopicSpec(
    name=TOPIC_OF_SIGNAL[Signal.TRACES],
    partitions=8,
    retention_days=7,
    description="OTLP spans (protobuf), keyed by trace id",
)
LOGS_TOPIC = TopicSpec(
    name=TOPIC_OF_SIGNAL[Signal.LOGS],
    partitions=6,
    retention_days=14,
    description="OTLP log records (protobuf), keyed by device, else by service",
)
ALERTS_RAW_TOPIC = TopicSpec(
    name="alerts-raw", partitions=4, retention_days=30, description="alert events as Prometheus raised them"
)
ALERTS_PROCESSED_TOPIC = TopicSpec(
    name="alerts-processed", partitions=2, retention_days=30, description="notifications as Alertmanager sent them"
)
AUDIT_TOPIC = TopicSpec(
    name="audit",
    partitions=1,
    retention_days=400,
    description="who reached for what, chained by hashes (docs/audit.md), keyed by source",
)
"""One partition: the chain is one order."""

TOPICS: tuple[TopicSpec, ...] = (
    METRICS_TOPIC,
    TRACES_TOPIC,
    LOGS_TOPIC,
    ALERTS_RAW_TOPIC,
    ALERTS_PROCESSED_TOPIC,
    AUDIT_TOPIC,
)
"""All topics: those of requirement K2 in its order, then the audit log (M1)."""

TOPIC_NAMES: tuple[str, ...] = tuple(topic.name for topic in TOPICS)


def topic(name: str) -> TopicSpec:
    """Find a topic by name.

    Raises:
        KeyError: There is no such topic; the message lists those there are.
    """
    for candidate in TOPICS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"topic {name!r} does not exist: use one of {', '.join(TOPIC_NAMES)}")


DAY_S: Final = 86_400
KAFKA_BYTES: Final[Mapping[Signal, int]] = MappingProxyType({Signal.METRICS: 20, Signal.TRACES: 110, Signal.LOGS: 80})
"""Bytes of one point, span or log record in one copy of its topic, at most: compressed, with all that goes with it. The
bench measures them, and its evidence fails above (`bytes of an item in Kafka`)."""
SAMPLE_BYTES: Final = 2.0
"""Of one sample in a Prometheus, at most: its makers say 1 to 2."""
USABLE: Final = 0.8
"""Part of a volume that may be in use: alerts begin above, and Kafka needs room for open segments and moves."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Items a second, averaged over the days that they are kept."""

    points: float
    spans: float
    log_records: float

    @property
    def by_signal(self) -> dict[Signal, float]:
        """Items a second of each signal."""
        return {Signal.METRICS: self.points, Signal.TRACES: self.spans, Signal.LOGS: self.log_records}


def topic_bytes(signal: Signal, per_second: float, days: float) -> float:
    """Bytes of one copy of a signal's topic when it is as full as it gets."""
    return KAFKA_BYTES[signal] * per_second * days * DAY_S


def broker_volume(load: Load, days: Mapping[Signal, float], *, brokers: int, copies: int) -> float:
    """Bytes that the volume of each broker must have.

    Args:
        load: What comes in.
        days: Signal -> days that its topic keeps.
        brokers: Brokers, among which the copies are spread evenly.
        copies: Of each record.
    """
    one = sum(topic_bytes(signal, rate, days[signal]) for signal, rate in load.by_signal.items())
    return one * copies / brokers / USABLE


def samples_size(load: Load, days: float) -> float:
    """Bytes of the blocks of one Prometheus that keeps all points for so many days."""
    return SAMPLE_BYTES * load.points * days * DAY_S
