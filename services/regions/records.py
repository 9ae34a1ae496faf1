"""What two regions write for each other into the witness bucket: lease, heartbeats, journals. Closed and versioned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from services.regions.settings import REGION, TAKEN

VERSION: Literal[1] = 1
FOLDER = "regions/"
LEASE_KEY = f"{FOLDER}lease.json"
OPERATIONS = f"{FOLDER}operations/"
"""Where journals of failovers and failbacks are."""

FAILOVER_AGENT = "failover-agent"
"""Who made the silence of a region that does not hold the lease."""
HANDOVER_AUTHOR = "silence-handover"
"""Who made the silence of an alert that the other region has told."""
MATCHER: dict[str, str | bool] = {"name": "layer", "value": ".+", "isRegex": True, "isEqual": True}
"""The one matcher of the failover agent's silence, as Alertmanager's API has it: telemetry alerts carry ``layer``."""

_MOST_SHOWN = 160
_CONFIG = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class RegionError(Exception):
    """What is wrong with what the regions share, in one line without secrets."""


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    """This moment, as exactly as records keep it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _no_lease(name: str) -> str:
    if name == TAKEN:
        raise ValueError(f"no region may be called {TAKEN}")
    return name


Moment = Annotated[AwareDatetime, AfterValidator(_utc), PlainSerializer(_written, when_used="json")]
Region = Annotated[str, Field(pattern=REGION), AfterValidator(_no_lease)]
Epoch = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Which region is active about alerts.

    Attributes:
        holder: Region that does.
        epoch: One more at each change of the holder; 0 where no lease was written yet.
        notify: False while the holder changes: the old one must fall silent, the new one still is.
        since: When it was written.
        by: Which command wrote it.
        reason: Why, and the operation's id.
        version: Version of this record.
    """

    __pydantic_config__ = _CONFIG

    holder: Region
    epoch: Epoch
    notify: bool
    since: Moment
    by: str
    reason: str
    version: Literal[1] = VERSION

    def may_notify(self, region: str) -> bool:
        """Whether this region may notify."""
        return self.notify and self.holder == region


@dataclass(frozen=True, kw_only=True)
class SilenceMatcher:
    """One condition of a silence, as Alertmanager's API has it."""

    __pydantic_config__ = _CONFIG

    name: str
    value: str
    is_regex: Annotated[bool, Field(alias="isRegex")]
    is_equal: Annotated[bool, Field(alias="isEqual")]


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A silence that a person made, an acknowledgement among them."""

    __pydantic_config__ = _CONFIG

    id: str
    matchers: tuple[SilenceMatcher, ...]
    starts_at: Annotated[Moment, Field(alias="startsAt")]
    ends_at: Annotated[Moment, Field(alias="endsAt")]
    created_by: Annotated[str, Field(alias="createdBy")]
    comment: str


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What a region's failover agent says of its region.

    Attributes:
        region, role: Its name, ``primary`` or ``standby``.
        at: When it was said, by the failover agent's clock.
        epoch: Epoch of the lease that it has applied last; 0 if none was there.
        holder: Holder of that lease; None while none could be read yet.
        notifies: Whether its Alertmanagers notify on-call about telemetry's alerts.
        isolated: Whether it reaches neither the witness nor any pager.
        fingerprints: What -> SHA-256 of the rules, dashboards, topics, permissions, thresholds of the region.
        silences: People's silences that have not ended.
        version: Version of this record.
    """

    __pydantic_config__ = _CONFIG

    region: Region
    role: Literal["primary", "standby"]
    at: Moment
    epoch: Epoch
    holder: Region | None
    notifies: bool
    isolated: bool
    fingerprints: dict[str, str]
    silences: tuple[Silence, ...]
    version: Literal[1] = VERSION

    def age(self, now: datetime) -> float:
        """Seconds since it was said; not below 0 when clocks differ."""
        return max(0.0, (now - self.at).total_seconds())


Record = Lease | Heartbeat | Silence
_T = TypeVar("_T", Lease, Heartbeat, Silence)
_ADAPTERS: dict[type[Record], TypeAdapter[Any]] = {
    Lease: TypeAdapter(Lease),
    Heartbeat: TypeAdapter(Heartbeat),
    Silence: TypeAdapter(Silence),
}


def parse(kind: type[_T], text: bytes | str, where: str) -> _T:
    """Read a record.

    Args:
        kind: Which one.
        text: Its JSON.
        where: Where it was, for messages.

    Raises:
        RegionError: It is no record of that kind and version.
    """
    with errors(where):
        record: _T = _ADAPTERS[kind].validate_json(text)
        return record


def dump(record: Record) -> bytes:
    """Write a record as JSON."""
    return json.dumps(fields(record), ensure_ascii=False, sort_keys=True).encode()


def fields(record: Record) -> dict[str, Any]:
    """The same as what JSON is made of."""
    content: dict[str, Any] = _ADAPTERS[type(record)].dump_python(record, mode="json", by_alias=True)
    return content


@contextmanager
def errors(where: str) -> Iterator[None]:
    """Turn errors of the shape into one line.

    Raises:
        RegionError: With the place and what is wrong there.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "its content"
        raise RegionError(f"{where}: {field}: {' '.join(first['msg'].split())[:_MOST_SHOWN]}") from None


def region_key(region: str) -> str:
    """Key of a region's heartbeat.

    Raises:
        RegionError: No region may be called that.
    """
    with errors(f"region {region!r}"):
        return f"{FOLDER}{_REGION_ADAPTER.validate_python(region)}.json"


_REGION_ADAPTER: TypeAdapter[str] = TypeAdapter(Region)
