"""Settings of traces: who may read which class of them, where, and where people sign in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.telemetry.classification import CLASSES
from stacks import fields
from stacks.section import Entrance, Section


class IdentityDouble(Entrance):
    """A stand-in for an identity provider: users with their groups; passwords are made."""

    users: dict[fields.Name, tuple[fields.Name, ...]] = Field(min_length=1)


class IdentityProvider(Section):
    """An OpenID Connect provider outside: issuer, client, and the networks where it is (port 443).

    The client's password is the secret ``observability:oidcClientSecret``.
    """

    issuer: fields.Url
    client_id: fields.Name
    networks: tuple[fields.Cidr, ...] = Field(min_length=1)


class Identity(Section):
    """Where people sign in: exactly one of both."""

    double: IdentityDouble | None
    provider: IdentityProvider | None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.double is None) == (self.provider is None):
            raise fields.not_allowed("either double or provider, and null for the other")
        return self


class Traces(Section):
    """Who may read which class of traces, and where.

    Attributes:
        groups: Class -> groups cleared for it, and so for the classes before it.
        queries: Class -> entrance.
        identity: Where people sign in.
    """

    groups: dict[str, tuple[fields.Name, ...]]
    queries: dict[str, Entrance]
    identity: Identity

    @model_validator(mode="after")
    def _all_classes(self) -> Self:
        for name, given in (("groups", self.groups), ("queries", self.queries)):
            if set(given) != set(CLASSES):
                raise fields.not_allowed(f"exactly the classes {', '.join(CLASSES)} under {name}")
        if not all(self.groups.values()):
            raise fields.not_allowed("at least one group for every class")
        return self
