"""What every group of keys of a stack file is made from, and the kinds of groups that several have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stacks import field_types


class SettingsModel(BaseModel):
    """A group of keys: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ExternalHost(SettingsModel):
    """One address outside the cluster: what clients are told, and what the load balancer is asked for."""

    host: field_types.Host
    address: field_types.Address | None


class ExternalEndpoint(ExternalHost):
    """A load-balanced endpoint outside the cluster, and the networks that may use it."""

    client_cidrs: tuple[field_types.Cidr, ...] = Field(min_length=1)
