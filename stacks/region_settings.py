"""Settings of the pair of regions: who the other one is, and where both look who tells people."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stacks import fields
from stacks.reading_settings import Storage
from stacks.section import Section

DNS_NAMES = ("otlp",)
"""What moves from region to region by name: where the layers send their telemetry."""


class Peer(Section):
    """The other region.

    Attributes:
        stack: Its stack, by its full name: passwords and certificates come from its outputs.
        region: Its name.
        bootstrap: ``host:port`` of every broker's external listener there.
        networks: Where these are.
    """

    stack: fields.Stack
    region: fields.Name
    bootstrap: Annotated[tuple[fields.HostPort, ...], Field(min_length=1)]
    networks: Annotated[tuple[fields.Cidr, ...], Field(min_length=1)]


class Dns(Section):
    """Names in Route 53 that a failover changes.

    Attributes:
        zone: The hosted zone.
        names: What moves -> its name; part of the certificates in both regions.
        ttl_s: How long others may keep an answer.
        endpoint: Address of the API, or null for AWS' own.
    """

    zone: fields.Host
    names: dict[str, fields.Host]
    ttl_s: fields.Count
    endpoint: fields.Url | None

    @model_validator(mode="after")
    def _all_names(self) -> Self:
        if set(self.names) != set(DNS_NAMES):
            raise fields.not_allowed(f"exactly {', '.join(DNS_NAMES)} under names")
        return self


class Regions(Section):
    """The pair of regions.

    Attributes:
        peer: The other region, or null where there is none.
        witness: A bucket in neither region: there both find who tells people. Keys: secret ``witnessSecrets``.
        dns: Names that move, or null.
        logins: Stack that the layers' passwords come from, so that one set is good in both regions; null: they are
            made here.
        groups: Consumer groups of others whose place in Kafka is kept in step too.
    """

    peer: Peer | None
    witness: Storage
    dns: Dns | None
    logins: fields.Stack | None
    groups: tuple[fields.Name, ...]
