"""Settings of traces: who may read which class of them, where, and where people sign in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.telemetry.classification import CLASSES
from stacks import field_types
from stacks.base_model import ExternalEndpoint, SettingsModel


class EmbeddedIdentity(ExternalEndpoint):
    """A stand-in for an identity provider: users with their groups; passwords are made."""

    users: dict[field_types.Name, tuple[field_types.Name, ...]] = Field(min_length=1)


class ExternalIdentity(SettingsModel):
    """An OpenID Connect provider outside: issuer, client, and the networks where it is (port 443).

    The client's password is the secret ``observability:oidcClientSecret``.
    """

    issuer: field_types.Url
    client_id: field_types.Name
    networks: tuple[field_types.Cidr, ...] = Field(min_length=1)


class Identity(SettingsModel):
    """Where people sign in: exactly one of both."""

    embedded: EmbeddedIdentity | None
    external: ExternalIdentity | None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.embedded is None) == (self.external is None):
            raise field_types.not_allowed("either embedded or external, and null for the other")
        return self


class Traces(SettingsModel):
    """Who may read which class of traces, and where.

    Attributes:
        groups: Class -> groups cleared for it, and so for the classes before it.
        queries: Class -> endpoint.
        identity: Where people sign in.
    """

    groups: dict[str, tuple[field_types.Name, ...]]
    queries: dict[str, ExternalEndpoint]
    identity: Identity

    @model_validator(mode="after")
    def _all_classes(self) -> Self:
        for name, given in (("groups", self.groups), ("queries", self.queries)):
            if set(given) != set(CLASSES):
                raise field_types.not_allowed(f"exactly the classes {', '.join(CLASSES)} under {name}")
        if not all(self.groups.values()):
            raise field_types.not_allowed("at least one group for every class")
        return self
