"""Settings of traces: who may read which class of them, where, and where people sign in."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from components.telemetry.classification import CLASSES
from stacks import field_types
from stacks.base_model import ExternalEndpoint, SettingsModel


class Identity(SettingsModel):
    """The OpenID Connect provider that people and tools sign in at.

    Its passwords are the secret ``observability:identitySecrets``.

    Attributes:
        issuer: Issuer URL; its port is the one that the networks are reached at.
        client_id: Client of the trace queries.
        tool_client_id: Client of the command line tools (client credentials), or null: tools take ``--token-file``.
        networks: Where the provider is.
    """

    issuer: field_types.Url
    client_id: field_types.Name
    tool_client_id: field_types.Name | None
    networks: tuple[field_types.Cidr, ...] = Field(min_length=1)

    @property
    def port(self) -> int:
        """Port of the issuer's address."""
        return urlsplit(self.issuer).port or 443

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        try:
            allowed = self.port > 0
        except ValueError:
            allowed = False
        if not allowed:
            raise field_types.not_allowed("an issuer whose port is 1 to 65535")
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
