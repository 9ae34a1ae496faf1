"""What each client may send to a gateway or an agent, so that none costs another a refusal (ADR 0045).

A layer's share of the platform's peak is its rate at each gateway: as many as one fewer than there are must carry the
peak. Of what may be in flight, each client has a part that nobody else can use; the rest is everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.collector.config import Data
from components.telemetry.layers import LAYERS, Layer, Signal

BURST_S: Final = 10
"""Seconds of a client's rates that may come at once: what piled up while a client could not send."""
ITEM_BYTES: Final[Mapping[Signal, int]] = {Signal.METRICS: 1024, Signal.TRACES: 4096, Signal.LOGS: 4096}
"""Bytes that rates allow for a point, span or log record: uncompressed, with its part of the resource."""
_RESERVED: Final = 0.8
"""Part of what may be in flight that belongs to single clients."""
_AGENTS: Final = 0.2
"""Of that, the part of the node agents."""
_FLOOR: Final = 0.01
"""Share of signals that a layer may not send: enough that its client is told so."""


def gateway_clients(peak: Mapping[Signal, float], *, gateways: int, agents: str) -> Data:
    """Clients of a gateway.

    Args:
        peak: Items a second of all layers together, for a while.
        gateways: How many there are at least; they carry the peak while one of them is away.
        agents: User of the node agents, which pass on what any layer sends.
    """
    doors = max(1, gateways - 1)
    return {
        **{layer.user: _client(layer, peak, doors, _RESERVED * (1 - _AGENTS)) for layer in LAYERS},
        agents: {
            "share": _RESERVED * _AGENTS,
            "rates": {signal.value: _rate(signal, peak[signal]) for signal in Signal},
        },
    }


def agent_clients(peak: Mapping[Signal, float]) -> Data:
    """Clients of a node agent: the layers, each with its share of the peak.

    Args:
        peak: Items a second of all layers together, for a while.
    """
    return {layer.user: _client(layer, peak, 1, _RESERVED) for layer in LAYERS}


def _client(layer: Layer, peak: Mapping[Signal, float], doors: int, reserved: float) -> Data:
    shares = {signal: layer.shares.get(signal, 0.0) for signal in Signal}
    # Half by what it sends, half as much as any other: also the smallest has several calls at once.
    part = (sum(shares.values()) / len(shares) + 1 / len(LAYERS)) / 2
    return {
        "share": round(reserved * part, 4),
        "rates": {
            signal.value: _rate(signal, max(share, _FLOOR) * peak[signal] / doors) for signal, share in shares.items()
        },
    }


def _rate(signal: Signal, items: float) -> Data:
    return {"items": round(items, 1), "bytes": round(items * ITEM_BYTES[signal])}
