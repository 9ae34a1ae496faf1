"""What volumes must hold: bytes of the load that a platform is promised to keep (requirement S2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from components.telemetry.layers import Signal

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
