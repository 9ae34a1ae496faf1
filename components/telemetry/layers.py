"""The five layers of the observed system and the signals each may send (requirements L1..L5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """Kinds of telemetry, spelled as the collector spells its pipelines."""

    METRICS = "metrics"
    TRACES = "traces"
    LOGS = "logs"


TOPIC_OF_SIGNAL: dict[Signal, str] = {signal: f"telemetry-{signal.value}" for signal in Signal}
"""Kafka topic that carries each signal; one topic per signal, whatever the layer."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the observed system.

    Attributes:
        name: Value of the resource attribute ``layer``; also the user name at the gateway.
        source: Requirement id, ``L1`` .. ``L5``.
        description: What runs in the layer.
        signals: Signals the layer may send; any other is dropped at the gateway and counted.
    """

    name: str
    source: str
    description: str
    signals: frozenset[Signal]

    @property
    def user(self) -> str:
        """User name with which the layer's clients sign in at the gateway."""
        return self.name

    def may_send(self, signal: Signal) -> bool:
        """Whether the gateway accepts ``signal`` from this layer."""
        return signal in self.signals

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that the layer's telemetry ends in, in the order of `Signal`."""
        return tuple(TOPIC_OF_SIGNAL[signal] for signal in Signal if signal in self.signals)


_WITHOUT_TRACES = frozenset({Signal.METRICS, Signal.LOGS})
_ALL = frozenset(Signal)

DEVICE = Layer(name="device", source="L1", description="wearable devices", signals=_WITHOUT_TRACES)
STREAMING = Layer(name="streaming", source="L2", description="streaming, recording, storage, transfer", signals=_ALL)
BUSINESS = Layer(name="business", source="L3", description="business services and their database", signals=_ALL)
DATA = Layer(name="data", source="L4", description="ETL, consistency checks, reports", signals=_WITHOUT_TRACES)
ANALYTICS = Layer(name="analytics", source="L5", description="analysis and visualisation", signals=_ALL)

LAYERS: tuple[Layer, ...] = (DEVICE, STREAMING, BUSINESS, DATA, ANALYTICS)
"""All layers, in the order of the requirement ids."""

LAYER_NAMES: tuple[str, ...] = tuple(layer.name for layer in LAYERS)


def layer(name: str) -> Layer:
    """Find a layer by name.

    Raises:
        KeyError: There is no such layer; the message lists those there are.
    """
    for candidate in LAYERS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"layer {name!r} does not exist: use one of {', '.join(LAYER_NAMES)}")


def layers_sending(signal: Signal) -> tuple[Layer, ...]:
    """Layers whose ``signal`` the gateway accepts."""
    return tuple(candidate for candidate in LAYERS if candidate.may_send(signal))
