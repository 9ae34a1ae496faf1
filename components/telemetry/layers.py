"""The five layers of the observed system and the signals each may send (requirements L1..L5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.telemetry.file import explaining, registry_content


class Signal(StrEnum):
    """Kinds of telemetry, spelled as the collector spells its pipelines."""

    METRICS = "metrics"
    TRACES = "traces"
    LOGS = "logs"


TOPIC_OF_SIGNAL: dict[Signal, str] = {signal: f"telemetry-{signal.value}" for signal in Signal}
"""Kafka topic that carries each signal; one topic per signal, whatever the layer."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a layer may create within half an hour.

    Attributes:
        series: Time series of the layer.
        client_series: Time series of one resource: a device, a process.
        span_names: Different names of spans; 0 where there are no traces.
    """

    series: int
    client_series: int
    span_names: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the observed system.

    Attributes:
        name: Value of the resource attribute ``layer``; also the user name at the gateway.
        source: Requirement id, ``L1`` .. ``L5``.
        description: What runs in the layer.
        signals: Signals the layer may send; any other is refused at the gateway and counted.
        budget: Series and names of spans that it may create.
        shares: Signal -> its part of the platform's peak (``gateway.peak`` of a stack).
    """

    name: str
    source: str
    description: str
    signals: frozenset[Signal]
    budget: Budget
    shares: Mapping[Signal, float]

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


with explaining():
    LAYERS: tuple[Layer, ...] = tuple(
        Layer(
            name=row["name"],
            source=row["source"],
            description=row["description"],
            signals=frozenset(map(Signal, row["signals"])),
            budget=Budget(**row["budget"]),
            shares={Signal(signal): share for signal, share in row["shares"].items()},
        )
        for row in registry_content("layers")["layers"]
    )
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


DEVICE, STREAMING, BUSINESS, DATA, ANALYTICS = map(layer, ("device", "streaming", "business", "data", "analytics"))


def layers_sending(signal: Signal) -> tuple[Layer, ...]:
    """Layers whose ``signal`` the gateway accepts."""
    return tuple(candidate for candidate in LAYERS if candidate.may_send(signal))
