"""What a stack tells about its region and the other one: the stack output ``regions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

_CONFIG = ConfigDict(frozen=True, hide_input_in_errors=True)


class Peer(BaseModel):
    """The other region: its stack by its full name, and its own name."""

    model_config = _CONFIG

    stack: str
    region: str


class WitnessAccess(BaseModel):
    """The bucket in neither region.

    Attributes:
        endpoint: ``https://host:port`` as this machine reaches it; None for AWS' own.
        region, bucket: Where it is, and its name.
        access_key_id, secret_access_key: May read and write there.
        authority: PEM of who signs the storage's certificate; empty for a public one.
    """

    model_config = _CONFIG

    endpoint: str | None
    region: str
    bucket: str
    access_key_id: SecretStr
    secret_access_key: SecretStr
    authority: str | None = ""


class Dns(BaseModel):
    """Names in Route 53 that move.

    Attributes:
        zone: The hosted zone.
        names: What moves -> its name.
        ttl_s: How long others may keep an answer.
        endpoint: Address of the API, or None for AWS' own.
    """

    model_config = _CONFIG

    zone: str
    names: Mapping[str, str]
    ttl_s: int
    endpoint: str | None


class MirrorAccess(BaseModel):
    """What is copied into this region: from where, which topics, whose places in them."""

    model_config = _CONFIG

    source: str
    topics: tuple[str, ...]
    groups: tuple[str, ...]


class RegionsAccess(BaseModel):
    """The stack output.

    Attributes:
        role: What this region is, by its stack.
        region: Its name.
        peer: The other region; None where there is none.
        witness: Where both read which region is active.
        dns: Names that move; None where none does.
        targets: What moves -> where this region is reached, an address or a host's name.
        fingerprints: What -> SHA-256 of this region's rules, dashboards, topics, permissions, thresholds.
        mirror: What is copied into this region; None in a primary one.
    """

    model_config = _CONFIG

    role: Literal["primary", "standby"]
    region: str
    peer: Peer | None
    witness: WitnessAccess
    dns: Dns | None = None
    targets: Mapping[str, str] = {}
    fingerprints: Mapping[str, str] = {}
    mirror: MirrorAccess | None = None
