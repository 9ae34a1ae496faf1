"""The witness bucket, in neither region: what two regions write into it for each other, and how it is read and written.

Lease, heartbeats and journals are versioned. The two regions may run different revisions of the program: a field that
only the writer knows is passed over, another version is refused. Every call has a time limit, an error is one line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from services.regions import REGION, TAKEN
from services.runtime import s3
from services.runtime.settings import Moment, Storage

VERSION: Literal[1] = 1
FOLDER = "regions/"
LEASE_KEY = f"{FOLDER}lease.json"
OPERATIONS = f"{FOLDER}operations/"
"""Where journals of failovers and failbacks are."""
_MOST_SHOWN_OF_FIELD = 160
_CONFIG = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)
_CONNECT_S, _READ_S = 3, 5
_ATTEMPTS = 3
_SETTLE_S = 1.0
"""How long after writing the lease it is read again: a storage that checks the condition and then writes lets two pass
that come within milliseconds, and the later one counts."""
_MOST_BYTES = 4 * 1024 * 1024
_CONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class RegionError(Exception):
    """What is wrong with what the regions share, in one line without secrets."""


class UnreadableError(RegionError):
    """What is there is no record of that kind and version."""


def now() -> datetime:
    """This moment, as exactly as records keep it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _no_lease(name: str) -> str:
    if name == TAKEN:
        raise ValueError(f"no region may be called {TAKEN}")
    return name


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
        """Seconds since it was said, where ``now`` is of the same clock; not below 0 when clocks differ."""
        return max(0.0, (now - self.at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A heartbeat, and how old it is by the clock of the object storage alone.

    Attributes:
        heartbeat: What the region said.
        age_s: Seconds since it was written; None where the object storage does not say.
        unknown: Fields that the region wrote and this revision does not know.
    """

    heartbeat: Heartbeat
    age_s: float | None
    unknown: tuple[str, ...] = ()


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
        UnreadableError: It is no record of that kind and version.
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
        UnreadableError: With the place and what is wrong there.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "its content"
        raise UnreadableError(f"{where}: {field}: {' '.join(first['msg'].split())[:_MOST_SHOWN_OF_FIELD]}") from None


def region_key(region: str) -> str:
    """Key of a region's heartbeat.

    Raises:
        RegionError: No region may be called that.
    """
    with errors(f"region {region!r}"):
        return f"{FOLDER}{_REGION_ADAPTER.validate_python(region)}.json"


_REGION_ADAPTER: TypeAdapter[str] = TypeAdapter(Region)


class WitnessError(RegionError):
    """The witness does not answer, or refuses; the message has no credentials."""


class LeaseChangedError(RegionError):
    """Somebody else has written the lease in the meantime."""


class ObjectChangedError(RegionError):
    """Another object, or none, is there instead of the one that was read."""


class _ConditionError(Exception):
    pass


class _Stored(NamedTuple):
    """An object, its ETag, and seconds since it was written by the storage's own clock."""

    content: bytes
    etag: str
    age_s: float | None


class Witness:
    """What the regions share.

    Args:
        storage: The bucket.
        login: Access key id and secret; if not given they are in the storage's files, read again when they change.
        wait: Waits for so many seconds.
    """

    def __init__(
        self, storage: Storage, login: tuple[str, str] | None = None, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._storage, self._login, self._wait = storage, login, wait
        self._made: tuple[tuple[str, str], Any] | None = None

    def lease(self) -> tuple[Lease, str] | None:
        """The lease and its ETag; None when none was ever written.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            UnreadableError: What is there is no lease.
        """
        stored_object = self._get(LEASE_KEY)
        if stored_object is None:
            return None
        return parse(Lease, stored_object.content, LEASE_KEY), stored_object.etag

    def take(self, lease: Lease, etag: str | None) -> str:
        """Write the lease in the place of the one with that ETag, or as the first; the ETag that it has now.

        Raises:
            LeaseChangedError: Another one is there.
            WitnessError: The witness does not answer, or refuses. If it does not tell afterwards what is there, the
                lease may have been written: the next who reads it knows.
        """
        wanted = dump(lease)
        unanswered: WitnessError | None = None
        try:
            with _errors("cannot write the lease"):
                self._put(LEASE_KEY, wanted, **_replacing(etag))
                self._wait(_SETTLE_S)
        except _ConditionError:
            # Ours, if the answer to the first attempt was lost and the second one found its work done.
            pass
        except WitnessError as error:
            unanswered = error
        stored_object = self._get(LEASE_KEY)
        if stored_object is not None and stored_object.content == wanted:
            return stored_object.etag
        if unanswered is not None and (stored_object.etag if stored_object else None) == etag:
            raise unanswered
        raise LeaseChangedError(f"somebody else has written the lease since it was read: {_told(stored_object)}")

    def heartbeat(self, region: str) -> Heartbeat | None:
        """The last heartbeat of a region; None when there was none.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            UnreadableError: What is there is no heartbeat.
        """
        sighting = self.sighting(region)
        return sighting.heartbeat if sighting else None

    def sighting(self, region: str) -> Sighting | None:
        """The last heartbeat of a region with its age; None when there was none.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            UnreadableError: What is there is no heartbeat.
        """
        key = region_key(region)
        stored_object = self._get(key)
        if stored_object is None:
            return None
        heartbeat = parse(Heartbeat, stored_object.content, key)
        unknown = sorted(
            json.loads(stored_object.content).keys() - {known.name for known in dataclass_fields(Heartbeat)}
        )
        return Sighting(heartbeat=heartbeat, age_s=stored_object.age_s, unknown=tuple(unknown))

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write the region's heartbeat.

        Raises:
            WitnessError: The witness does not answer, or refuses.
        """
        key = region_key(heartbeat.region)
        with _errors(f"cannot write {key}"):
            self._put(key, dump(heartbeat))

    def read(self, key: str) -> tuple[dict[str, Any], str] | None:
        """A JSON object and its ETag, or None when there is none of that key.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            UnreadableError: What is there is no JSON object.
        """
        stored_object = self._get(key)
        if stored_object is None:
            return None
        try:
            content = json.loads(stored_object.content)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise UnreadableError(f"{key} in the witness bucket is no JSON object")
        return content, stored_object.etag

    def write(self, key: str, content: dict[str, Any], etag: str | None) -> str:
        """Write a JSON object in the place of the one with that ETag, or as the first; the ETag that it has now.

        Raises:
            ObjectChangedError: Another one is there.
            WitnessError: The witness does not answer, or refuses.
        """
        wanted = json.dumps(content, ensure_ascii=False, indent=2).encode()
        try:
            with _errors(f"cannot write {key}"):
                return self._put(key, wanted, **_replacing(etag))
        except _ConditionError:
            # Ours, if the answer to the first attempt was lost and the second one found its work done.
            stored_object = self._get(key)
            if stored_object is not None and stored_object.content == wanted:
                return stored_object.etag
            raise ObjectChangedError(f"somebody else has written {key} since it was read") from None

    def keys(self, below: str) -> list[str]:
        """Keys that begin so, sorted.

        Raises:
            WitnessError: The witness does not answer, or refuses.
        """
        prefix = self._storage.prefix
        with _errors(f"cannot list {below}"):
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._storage.bucket, Prefix=prefix + below)
            )
            return sorted(
                stored_object["Key"][len(prefix) :] for page in pages for stored_object in page.get("Contents", ())
            )

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made[1].close()
            self._made = None

    def _get(self, key: str) -> _Stored | None:
        with _errors(f"cannot read {key}"):
            try:
                answer = self._client().get_object(Bucket=self._storage.bucket, Key=self._storage.prefix + key)
            except ClientError as error:
                if s3.code_of(error) in s3.MISSING:
                    return None
                raise
            with answer["Body"] as body:
                content: bytes = body.read(_MOST_BYTES)
            return _Stored(content, str(answer["ETag"]), _age_s(answer))

    def _put(self, key: str, content: bytes, **condition: str) -> str:
        """Write an object; its ETag."""
        try:
            answer = self._client().put_object(
                Bucket=self._storage.bucket,
                Key=self._storage.prefix + key,
                Body=content,
                ContentType="application/json",
                **condition,
            )
            return str(answer["ETag"])
        except ClientError as error:
            if condition and s3.code_of(error) in _CONDITION:
                raise _ConditionError from None
            raise

    def _client(self) -> Any:
        login = self._login or self._from_files()
        if self._made is None or self._made[0] != login:
            self.close()
            self._made = (
                login,
                s3.client(self._storage, login, connect_s=_CONNECT_S, read_s=_READ_S, attempts=_ATTEMPTS),
            )
        return self._made[1]

    def _from_files(self) -> tuple[str, str]:
        try:
            return (
                self._storage.access_key_id_file.read_text().strip(),
                self._storage.secret_access_key_file.read_text().strip(),
            )
        except OSError as error:
            raise WitnessError(f"{error.filename} cannot be read: {error.strerror}") from None


def _replacing(etag: str | None) -> dict[str, str]:
    """The condition under which an object is written: over the one with that ETag, or as the first."""
    return {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}


def _age_s(answer: Mapping[str, Any]) -> float | None:
    """Seconds between two moments of one clock: when the object was written, and when the storage answered."""
    written = answer.get("LastModified")
    try:
        answered = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return max(0.0, (answered - written).total_seconds()) if isinstance(written, datetime) else None
    except (KeyError, TypeError, ValueError):
        return None


def _told(stored_object: _Stored | None) -> str:
    if stored_object is None:
        return "it is gone"
    try:
        there = parse(Lease, stored_object.content, LEASE_KEY)
    except RegionError as error:
        return str(error)
    return f"{there.holder} holds it, epoch {there.epoch}, by {there.by}: {there.reason}"


def _errors(what: str) -> AbstractContextManager[None]:
    return s3.errors(f"the witness: {what}", WitnessError)
