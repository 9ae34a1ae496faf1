"""What a record of the audit log is, the chain of hashes that shows when one is missing or was changed, what the
functions that read lines of servers share, and commands of operators: ``ops`` tells each of them as an Event of
Kubernetes in the platform's namespace.

A record holds the hash of the one before it in its region; numbers begin anew each day. Whoever has all records of a
day, and the last one of the day before, can prove that none is missing in between (`broken_links`).

There is one function for each source, which knows what the real program writes. A line that is about no access gives
nothing. Texts that a client chose itself (paths, names) are taken only in the form that they have when they are what
they seem to be.

An Event needs no server of the platform, so that a command is told of while Kafka is down. Kubernetes keeps it for an
hour; the audit log takes it from there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from services.audit import Source
from services.runtime.settings import Moment

VERSION: Literal[1] = 1
BEGINNING = "0" * 64
"""Stands for the hash before the first record of a region."""
UNKNOWN = "-"
"""Stands where a source does not tell who it was, or from where."""
CHECKPOINT, GAP, START = "checkpoint", "gap", "start"
"""Actions of the audit log itself."""
REPEATED = "repeated"
"""Detail of a record that stands for several equal ones: how many more there were."""
REFUSALS: Final = frozenset({401, 403})
"""HTTP statuses of a refused access."""
_ERRORS_FROM, _NOT_FOUND = 400, 404


class Outcome(StrEnum):
    """What came of an access."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"
    NOTED = "noted"
    """Nothing was asked for: the audit log tells about itself."""


def outcome_of(status: int) -> Outcome:
    """What an HTTP status says came of an access; what is not there was looked for by somebody who may."""
    if status in REFUSALS:
        return Outcome.REFUSED
    return Outcome.FAILED if status >= _ERRORS_FROM and status != _NOT_FOUND else Outcome.ALLOWED


class Access(BaseModel):
    """Who reached for what, from where, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Moment = Field(description="When, as the source says.")
    who: str = Field(description="Name at the source; `-` where the source does not tell.")
    origin: str = Field(description="Address or machine that it came from; `-` where the source does not tell.")
    action: str = Field(description="What was done or tried, in words of the source.")
    target: str = Field(description="What it was about, `kind:name`.")
    outcome: Outcome = Field(description="Whether it was let in.")
    detail: Mapping[str, str] = Field(default={}, description="What else the source tells.")


class AuditRecord(Access):
    """An access with its place: where it was read, and where it stands in the chain."""

    schema_version: Literal[1] = Field(default=VERSION, description="Version of this schema.")
    region: str = Field(description="Region whose audit log wrote it.")
    source: Source = Field(description="Where it was read.")
    part: str = Field(description="Pod that told of it; `-` for commands of operators.")
    recorded_at: Moment = Field(description="When it was put into the chain.")
    positions: Mapping[str, str] = Field(
        default={}, description="How far a source was read with it; in a checkpoint: all of them."
    )
    day: date = Field(description="Day (UTC) whose chain it belongs to.")
    sequence: int = Field(ge=1, description="Its number in that day.")
    previous: str = Field(pattern="^[0-9a-f]{64}$", description="Hash of the record before it.")
    hash: str = Field(default="", description="SHA-256 of all of this without the hash, as JSON with sorted keys.")


def note(action: str, target: str, now: datetime, **detail: str) -> Access:
    """What the audit log tells about itself."""
    return Access(
        time=now, who="audit", origin=UNKNOWN, action=action, target=target, outcome=Outcome.NOTED, detail=detail
    )


@dataclass(frozen=True, kw_only=True)
class Link:
    """The newest record of a chain."""

    day: date
    sequence: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An access that is not in the chain yet.

    Attributes:
        access: The access.
        source: Where it was read.
        part: Pod that told of it.
        positions: How far the source was read with it.
    """

    access: Access
    source: Source
    part: str = UNKNOWN
    positions: Mapping[str, str] = field(default_factory=dict)


def linked(entry: Entry, region: str, newest: Link | None, now: datetime) -> AuditRecord:
    """The record of an entry, as the next one of its region.

    Args:
        entry: The access.
        region: The region.
        newest: The record before it; None: there is none.
        now: The time; a clock that was set back does not begin an older day again.
    """
    day = max(now.astimezone(UTC).date(), newest.day) if newest else now.astimezone(UTC).date()
    record = AuditRecord(
        **entry.access.model_dump(),
        region=region,
        source=entry.source,
        part=entry.part,
        recorded_at=now,
        positions=dict(entry.positions),
        day=day,
        sequence=newest.sequence + 1 if newest and newest.day == day else 1,
        previous=newest.hash if newest else BEGINNING,
    )
    return record.model_copy(update={"hash": hash_of(record.model_dump(mode="json"))})


def link_of(record: AuditRecord) -> Link:
    """What the next record needs of this one."""
    return Link(day=record.day, sequence=record.sequence, hash=record.hash)


def hash_of(content: Mapping[str, Any]) -> str:
    """Hash of a record's content; fields that a later version may add are part of it."""
    body = {name: value for name, value in content.items() if name != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def value_of(record: AuditRecord) -> bytes:
    """The record in Kafka: JSON."""
    return record.model_dump_json().encode()


def parsed(value: bytes) -> tuple[AuditRecord, bool] | None:
    """A record of the topic, and whether its hash is that of its content; None where it is none of this version."""
    try:
        content = json.loads(value)
        known = {name: content[name] for name in AuditRecord.model_fields if name in content}
        return AuditRecord.model_validate(known), content.get("hash") == hash_of(content)
    except (ValueError, ValidationError, AttributeError, TypeError):
        return None


@dataclass(frozen=True, kw_only=True)
class BrokenLink:
    """A place in a chain that does not hold."""

    region: str
    day: date
    sequence: int
    problem: str


def broken_links(records: Iterable[tuple[AuditRecord, bool]]) -> Iterator[BrokenLink]:
    """Places where the chains of records do not hold, the oldest of each region first.

    The first record of a region is taken as it is: what was before it is past retention, or was not asked for. A record
    that is there twice, which a retry or a mirror may cause, is no problem.

    Args:
        records: Each with whether its hash is that of its content.
    """
    regions: dict[str, dict[tuple[date, int, str], tuple[AuditRecord, bool]]] = {}
    for record, whole in records:
        regions.setdefault(record.region, {})[record.day, record.sequence, record.hash] = record, whole
    for region, chain in sorted(regions.items()):
        ordered = [chain[place] for place in sorted(chain)]
        for record, whole in ordered:
            if not whole:
                yield _broken(region, record, "its content was changed: the hash is that of another one")
        for (before, _), (record, _) in pairwise(ordered):
            if problem := _problem(before, record):
                yield _broken(region, record, problem)


def _problem(before: AuditRecord, record: AuditRecord) -> str:
    place = (record.day, record.sequence)
    if place == (before.day, before.sequence):
        return "two different records have this number"
    expected = before.sequence + 1 if record.day == before.day else 1
    if record.sequence != expected:
        return f"number {expected} is missing"
    if record.previous != before.hash:
        return f"the record before it is not the one that it followed ({before.day} number {before.sequence})"
    return ""


def _broken(region: str, record: AuditRecord, problem: str) -> BrokenLink:
    return BrokenLink(region=region, day=record.day, sequence=record.sequence, problem=problem)


LONGEST: Final = 200
"""Characters of a text that a client chose, at most."""
UNREADABLE: Final = "unreadable"
"""Stands for a name that has not the form of one."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/ -]{0,62}")


class UnreadableLineError(Exception):
    """A line that must be an access is none; the message does not quote it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a container.

    Attributes:
        time: When the container wrote it.
        workload: Workload of the pod.
        text: The line.
    """

    time: datetime
    workload: str
    text: str


Parser = Callable[[Line], Access | None]


def plain(name: str, form: re.Pattern[str] = _PLAIN) -> str:
    """A name that a client chose, where it has the form of one."""
    return name if form.fullmatch(name) else UNREADABLE


REASON: Final = "OpsCommand"
"""Reason of the Events."""
COMPONENT: Final = "obs-ops"
"""Component that reports them."""
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_OUTCOMES: Final = {"started": Outcome.ALLOWED, "done": Outcome.ALLOWED, "failed": Outcome.FAILED}


class CommandEvent(BaseModel):
    """What is told of a command, twice: when it gets the platform's passwords, and at its end.

    Attributes:
        run: Of both of them.
        account: Name by which the API server knows the operator.
        user: User of the operating system.
        machine: Where.
        command: Words of the command.
        arguments: The others, without values that may be about people.
        state: Where it stands.
        code: Its exit code at the end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: Short
    account: Short
    user: Short
    machine: Short
    command: Short
    arguments: Annotated[str, StringConstraints(max_length=600)] = ""
    state: Literal["started", "done", "failed"]
    code: int | None = None


def event(command: CommandEvent, namespace: str, now: datetime) -> dict[str, Any]:
    """The Event (core/v1), whose own name is unique."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "ops-command-", "namespace": namespace},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "audit", "namespace": namespace},
        "type": "Warning" if command.state == "failed" else "Normal",
        "reason": REASON,
        "action": command.state,
        "message": command.model_dump_json(exclude_none=True),
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingComponent": COMPONENT,
        "reportingInstance": command.machine,
    }


def access(item: Mapping[str, Any]) -> Access | None:
    """The access that an Event tells of; None where it is none of ours."""
    if item.get("reason") != REASON:
        return None
    try:
        command = CommandEvent.model_validate(json.loads(item["message"]))
        time = datetime.fromisoformat(item["eventTime"])
    except (ValueError, ValidationError, KeyError, TypeError):
        return None
    detail = {"run": command.run, "state": command.state, "user": command.user, "arguments": command.arguments}
    return Access(
        time=time,
        who=command.account,
        origin=command.machine or UNKNOWN,
        action=f"ops {command.command}",
        target="platform:passwords",
        outcome=_OUTCOMES[command.state],
        detail={**detail, **({} if command.code is None else {"code": str(command.code)})},
    )


_EVENT_KEY: Final = "event/"


def event_key(name: str) -> str:
    """Key of the position of an Event: who has it was written."""
    return f"{_EVENT_KEY}{name}"


def event_of(key: str) -> str:
    """Name of the Event of a position; empty where it is no Event's."""
    return key.removeprefix(_EVENT_KEY) if key.startswith(_EVENT_KEY) else ""
