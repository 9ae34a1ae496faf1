"""Who may send to the gateway, and the key with which it hashes ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.collector.passwords import htpasswd
from components.contracts import Credential
from components.gateway.config import AGENT
from components.k8s import credential
from components.telemetry.layers import LAYER_NAMES, LAYERS

IDS = "ids"
"""Name of the key of hashed ids among passwords."""
_GATEWAY = "gateway"


@dataclass(frozen=True, kw_only=True)
class GatewayLogins:
    """Passwords of the gateway.

    Attributes:
        layers: Layer -> its user.
        agent: The node agents' user: it may send for every layer, since agents check who sends to them.
        hash_key: With which ids are hashed, see `components.masking.pseudonyms`; secret.
    """

    layers: Mapping[str, Credential]
    agent: Credential
    hash_key: pulumi.Output[str]


def gateway_logins(parent: pulumi.Resource, given: Mapping[str, pulumi.Output[str]]) -> GatewayLogins:
    """Every password; what is not given is made.

    Args:
        parent: Component that owns the passwords.
        given: Layer -> password, and ``IDS`` -> key of the hashes, from another stack; empty: all are made.
    """
    return GatewayLogins(
        layers={
            layer.name: _given(layer.user, given[layer.name])
            if layer.name in given
            else credential(parent, name=f"{_GATEWAY}-{layer.name}", username=layer.user)
            for layer in LAYERS
        },
        agent=credential(parent, name=f"{_GATEWAY}-{AGENT}", username=AGENT),
        hash_key=given.get(IDS) or credential(parent, name=f"{_GATEWAY}-hash-key", username=IDS).password,
    )


def speakers() -> dict[str, tuple[str, ...]]:
    """User -> layers that it may speak for: each layer's own user, and the agents' for all."""
    return {**{layer.user: (layer.name,) for layer in LAYERS}, AGENT: LAYER_NAMES}


def _given(user: str, password: pulumi.Output[str]) -> Credential:
    """A user whose password was made elsewhere."""
    hashed = password.apply(lambda known: htpasswd({user: known}).rstrip("\n").partition(":")[2])
    return Credential(username=user, password=password, bcrypt=hashed)
