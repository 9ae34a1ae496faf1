"""Who may send to the gateway, and the key with which it hashes ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.collector.pods import htpasswd
from components.contracts import Credential
from components.gateway.config import AGENT
from components.k8s import credential
from components.telemetry.layers import LAYER_NAMES, LAYERS

_FIRST = 1
"""Generation of the passwords that a new stack has."""
_GATEWAY = "gateway"


@dataclass(frozen=True, kw_only=True)
class GatewayLogins:
    """Passwords of the gateway.

    Attributes:
        layers: Layer -> its user.
        former: Layer -> its user with the password of before, which is taken as well; empty where there is none.
        agent: The node agents' user, with the password of the oldest generation: they change in the update that ends
            it, before the gateways do. It may send for every layer, since agents check who sends to them.
        next_agent: The same with the newer password, which is taken as well, or None.
        hash_key: With which ids are hashed, see `components.masking`; secret.
    """

    layers: Mapping[str, Credential]
    former: Mapping[str, Credential]
    agent: Credential
    next_agent: Credential | None
    hash_key: pulumi.Output[str]

    @property
    def users(self) -> tuple[Credential, ...]:
        """Everybody, with the password that is to be used."""
        return (*self.layers.values(), self.agent)

    @property
    def others(self) -> tuple[Credential, ...]:
        """Everybody of whom another password is taken as well, with that."""
        return (*self.former.values(), *((self.next_agent,) if self.next_agent else ()))


@dataclass(frozen=True, kw_only=True)
class GivenLogins:
    """Passwords that another stack made.

    Attributes:
        layers: Generation -> layer -> password.
        hash_key: With which ids are hashed.
    """

    layers: Mapping[int, Mapping[str, pulumi.Output[str]]]
    hash_key: pulumi.Output[str]


def gateway_logins(parent: pulumi.Resource, generations: Sequence[int], given: GivenLogins | None) -> GatewayLogins:
    """Every password; what is not given is made.

    Args:
        parent: Component that owns the passwords.
        generations: Of the passwords that are taken; the first one is given to clients, the last one to agents.
        given: What another stack made, or None: all are made.
    """

    def generated(user: str, generation: int) -> Credential:
        suffix = "" if generation == _FIRST else f"-g{generation}"
        return credential(parent, name=f"{_GATEWAY}-{user}{suffix}", username=user)

    def layers(generation: int) -> dict[str, Credential]:
        if given is None:
            return {layer.name: generated(layer.user, generation) for layer in LAYERS}
        return {layer.name: _given(layer.user, given.layers[generation][layer.name]) for layer in LAYERS}

    newest, *rest = generations
    return GatewayLogins(
        layers=layers(newest),
        former=layers(rest[0]) if rest else {},
        agent=generated(AGENT, generations[-1]),
        next_agent=generated(AGENT, newest) if rest else None,
        hash_key=given.hash_key if given else credential(parent, name=f"{_GATEWAY}-hash-key", username="ids").password,
    )


def speakers() -> dict[str, tuple[str, ...]]:
    """User -> layers that it may speak for: each layer's own user, and the agents' for all."""
    return {**{layer.user: (layer.name,) for layer in LAYERS}, AGENT: LAYER_NAMES}


def _given(user: str, password: pulumi.Output[str]) -> Credential:
    """A user whose password was made elsewhere."""
    hashed = password.apply(lambda known: htpasswd({user: known}).rstrip("\n").partition(":")[2])
    return Credential(username=user, password=password, bcrypt=hashed)
