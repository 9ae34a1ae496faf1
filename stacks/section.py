"""What every group of keys of a stack file is made from, and the kinds of groups that several have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stacks import fields


class Section(BaseModel):
    """A group of keys: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Outside(Section):
    """One address outside the cluster: what clients are told, and what the load balancer is asked for."""

    host: fields.Host
    address: fields.Address | None


class Entrance(Outside):
    """A load-balanced entrance and who may use it."""

    client_cidrs: tuple[fields.Cidr, ...] = Field(min_length=1)
