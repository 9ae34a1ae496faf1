"""Settings of the pair of regions: who the other one is, and where both read which region is active."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stacks import field_types
from stacks.base_model import SettingsModel
from stacks.visualization_settings import Storage

DNS_NAMES = ("otlp",)
"""What moves from region to region by name: where the layers send their telemetry."""


class Peer(SettingsModel):
    """The other region.

    Attributes:
        stack: Its stack, by its full name: passwords and certificates come from its outputs.
        region: Its name.
        bootstrap: ``host:port`` of every broker's external listener there.
        networks: Where these are.
    """

    stack: field_types.Stack
    region: field_types.Name
    bootstrap: Annotated[tuple[field_types.HostPort, ...], Field(min_length=1)]
    networks: Annotated[tuple[field_types.Cidr, ...], Field(min_length=1)]


class Dns(SettingsModel):
    """Names in Route 53 that a failover changes.

    Attributes:
        zone: The hosted zone.
        names: What moves -> its name; part of the certificates in both regions.
        ttl_s: How long others may keep an answer.
        endpoint: Address of the API, or null for AWS' own.
    """

    zone: field_types.Host
    names: dict[str, field_types.Host]
    ttl_s: field_types.Count
    endpoint: field_types.Url | None

    @model_validator(mode="after")
    def _all_names(self) -> Self:
        if set(self.names) != set(DNS_NAMES):
            raise field_types.not_allowed(f"exactly {', '.join(DNS_NAMES)} under names")
        return self


class Regions(SettingsModel):
    """The pair of regions.

    Attributes:
        peer: The other region, or null where there is none.
        witness: A bucket in neither region: there both read which region is active. Keys: secret ``witnessSecrets``.
        dns: Names that move, or null.
        credentials: Stack that the layers' passwords come from, so that one set is good in both regions; null: they are
            made here.
        groups: Consumer groups of others whose place in Kafka is kept in step too.
    """

    peer: Peer | None
    witness: Storage
    dns: Dns | None
    credentials: field_types.Stack | None
    groups: tuple[field_types.Name, ...]
