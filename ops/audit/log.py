"""Records of the audit log, read with the login of its readers, which may read nothing else; and what they say of a
period: who came, what was refused, who changed rights, who read confidential traces, who went past the rights of
people, what is unusual, what is missing, whose clock is off.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from confluent_kafka import TopicPartition

from components.audit import READER
from components.grafana.component import ADMINISTRATOR
from components.postgres.config import WORKLOAD as POSTGRES
from components.search.config import ADMIN as SEARCH_ADMINISTRATOR
from components.search.config import WORKLOAD as SEARCH
from components.telemetry.topics import AUDIT_TOPIC
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, client_settings, consumer, errors, first_since, watermarks
from ops.core.platform import Platform
from services.audit import Source
from services.audit.journal import LONGEST_S, PARTITION
from services.audit.records import (
    BEGINNING,
    GAP,
    REPEATED,
    START,
    UNKNOWN,
    AuditRecord,
    BrokenLink,
    Outcome,
    broken_links,
    parsed,
)
from services.audit.stores import SUPERUSER

TOPIC: Final = AUDIT_TOPIC.name
DAYS: Final = AUDIT_TOPIC.retention_days
"""How long records are kept."""
_AT_ONCE: Final = 1000
SILENT: Final = timedelta(hours=1)
"""Longest time without a record: there is a checkpoint each quarter of an hour."""
_AWAY: Final = timedelta(days=1)
"""Nobody may have written for so long where reading begins; Kafka itself keeps a record for its whole time."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a topic was read, so that it can be told what is missing at its ends.

    Attributes:
        region: Region that was asked.
        start: From when on.
        now: Until when.
        whole: Whether it holds nothing older.
    """

    region: str
    start: datetime
    now: datetime
    whole: bool


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """What was read.

    Attributes:
        records: With whether the hash is that of the content; in the order of the topic.
        unreadable: Records that are none of a version that this program knows.
        complete: Whether all that was there came in time.
        reading: How it was read; None: its ends are not looked at.
    """

    records: tuple[tuple[AuditRecord, bool], ...]
    unreadable: int = 0
    complete: bool = True
    reading: Reading | None = None

    @property
    def broken(self) -> list[BrokenLink]:
        """Places where a chain does not hold, and where one lacks its begin or its end."""
        ends = self._ends(self.reading) if self.reading and self.complete else ()
        return [*broken_links(self.records), *ends]

    @property
    def problems(self) -> list[str]:
        """Why this does not prove that no record is missing, one line for each reason."""
        lines = [f"chain of {link.region}, {link.day} number {link.sequence}: {link.problem}" for link in self.broken]
        if not self.records:
            lines.append("there is no record: does the audit log run?")
        if not self.complete:
            lines.append("the audit log was not read to its end in time, so its chain is not proved")
        if self.unreadable:
            lines.append(f"{self.unreadable} records have an unknown version")
        return lines

    def _ends(self, reading: Reading) -> Iterator[BrokenLink]:
        """What a hash cannot show: removed oldest records, and an end that is old."""
        oldest: dict[str, AuditRecord] = {}
        newest: AuditRecord | None = None
        for record, _ in self.records:
            first = oldest.setdefault(record.region, record)
            if (record.day, record.sequence) < (first.day, first.sequence):
                oldest[record.region] = record
            if record.region == reading.region and (newest is None or record.recorded_at > newest.recorded_at):
                newest = record
        for region, record in sorted(oldest.items()):
            late = record.recorded_at - reading.start
            if reading.whole and record.previous != BEGINNING and late > _AWAY:
                yield BrokenLink(
                    region=region,
                    day=record.day,
                    sequence=record.sequence,
                    problem="the records before it were removed before their time",
                )
        if newest is not None and reading.now - newest.recorded_at > SILENT:
            yield BrokenLink(
                region=newest.region,
                day=newest.day,
                sequence=newest.sequence,
                problem=f"nothing follows it since {newest.recorded_at:%Y-%m-%d %H:%M} UTC",
            )

    @property
    def accesses(self) -> list[AuditRecord]:
        """Records, each once, by their time."""
        once = {(record.region, record.day, record.sequence, record.hash): record for record, _ in self.records}
        return sorted(once.values(), key=lambda record: record.time)


def read(platform: Platform, start: datetime) -> AuditLog:
    """Records that were written since a moment, up to now.

    Args:
        platform: Outputs of the stack.
        start: The moment.

    Raises:
        OpsError: Kafka does not answer, or the stack has no audit log.
    """
    login = platform.audit_reader
    if login is None:
        raise OpsError("the stack has no output `audit_reader`: run `pulumi up --policy-pack policy` with this version")
    settings = client_settings(platform, login)
    records: list[tuple[AuditRecord, bool]] = []
    unreadable = 0
    with consumer(settings, READER) as reader, errors(f"cannot read {TOPIC}"):
        low, high = watermarks(reader, TOPIC, PARTITION)
        first = first_since(reader, TOPIC, {PARTITION: start})[PARTITION]
        at = high if first is None else first
        whole = at <= low
        reader.assign([TopicPartition(TOPIC, PARTITION, at)])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while at < high and time.monotonic() < deadline:
            for message in reader.consume(_AT_ONCE, timeout=1.0):
                if message.error():
                    continue
                deadline, at = time.monotonic() + TIMEOUT_SECONDS, int(message.offset() or 0) + 1
                known = parsed(message.value() or b"")
                if known is None:
                    unreadable += 1
                else:
                    records.append(known)
    how = Reading(region=platform.region, start=start, now=datetime.now(UTC), whole=whole)
    return AuditLog(records=tuple(records), unreadable=unreadable, complete=at >= high, reading=how)


LEAST_KNOWN: Final = 20
"""Accesses of somebody that have to be known before an hour at which there was none says anything."""
LEAST_DAYS: Final = 5
"""Days on which somebody came that have to be known before the number of a day's accesses says anything."""
MORE_THAN_EVER: Final = 5
"""So many times as many as on any day before is unusual,"""
LEAST_VOLUME: Final = 100
"""from so many accesses a day on."""
_PREFIXES: Final = {4: 24, 6: 64}
_HOURS: Final = 24
_NEAR: Final = 1


class Reason(StrEnum):
    """What is unusual about an access."""

    NETWORK = "network"
    HOUR = "hour"
    VOLUME = "volume"


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """An access, and what is unusual about it."""

    record: AuditRecord
    reason: Reason


def network_of(origin: str) -> str:
    """The network of an address (/24, /64), or the machine's name as it is."""
    try:
        address = ipaddress.ip_address(origin)
    except ValueError:
        return origin
    return str(ipaddress.ip_network((address, _PREFIXES[address.version]), strict=False))


def unusual(records: Iterable[AuditRecord], since: datetime, zone: tzinfo) -> list[Unusual]:
    """Accesses since a moment that differ from all of the same person before them; each novelty once.

    Args:
        records: By their time; those before ``since`` are what is known.
        since: Begin of what is looked at.
        zone: Time zone of the hours.
    """
    networks: dict[str, set[str]] = defaultdict(set)
    hours: dict[str, list[int]] = defaultdict(list)
    days: dict[str, _Days] = defaultdict(_Days)
    strange: list[Unusual] = []
    for record in records:
        if record.who == UNKNOWN or record.outcome not in (Outcome.ALLOWED, Outcome.FAILED):
            continue
        at = record.time.astimezone(zone)
        network, hour = network_of(record.origin), at.hour
        much = days[record.who].grew_unusual(at.date(), times(record))
        known_networks, known_hours = networks[record.who], hours[record.who]
        if record.time >= since:
            if known_networks and network not in known_networks:
                strange.append(Unusual(record=record, reason=Reason.NETWORK))
            if len(known_hours) >= LEAST_KNOWN and all(_apart(hour, known) > _NEAR for known in set(known_hours)):
                strange.append(Unusual(record=record, reason=Reason.HOUR))
            if much:
                strange.append(Unusual(record=record, reason=Reason.VOLUME))
        known_networks.add(network)
        known_hours.append(hour)
    return strange


@dataclass
class _Days:
    """How often somebody came: on the current day, and at most on one before it."""

    day: date | None = None
    count: int = 0
    most: int = 0
    known: int = 0

    def grew_unusual(self, day: date, count: int) -> bool:
        """Add accesses; whether with them, and not before, the day has unusually many."""
        if day != self.day:
            self.most, self.known = max(self.most, self.count), self.known + (self.day is not None)
            self.day, self.count = day, 0
        before, self.count = self.count, self.count + count
        bound = max(LEAST_VOLUME - 1, MORE_THAN_EVER * self.most)
        return self.known >= LEAST_DAYS and before <= bound < self.count


def _apart(hour: int, other: int) -> int:
    distance = abs(hour - other)
    return min(distance, _HOURS - distance)


_WRITES: Final = re.compile(r"(?:create|update|patch|delete|deletecollection)(?: .+)?")
_OBJECTS_OF_RIGHTS: Final = frozenset(
    {
        "networkpolicies.networking.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "serviceaccounts",
    }
)
_SECRETS_OF_RIGHTS: Final = frozenset({f"secrets/{POSTGRES}-access", f"secrets/{SEARCH}-security"})
"""Roles of the database and of the search cluster, as the pods read them."""
_KUBELET: Final = "system:node:"
_STATEMENTS: Final = re.compile(
    r"(?:create|alter|drop) (?:role|policy)|grant|revoke|alter default|(?:reassign|drop) owned"
)
_ROLE_REFUSED: Final = re.compile(
    r"permission denied to (?:create|alter|drop|grant|revoke) role|.*\badmin option\b", re.I
)
_SECURITY_INDEX: Final = "index:.opendistro_security"
_ACCOUNTS: Final = frozenset(
    f"grafana:{part}" for part in ("access-control", "admin", "org", "orgs", "serviceaccounts", "teams", "users")
)
_COMMANDS: Final = frozenset({"ops gateway rotate-passwords", "ops kafka admin-password", "ops kafka rotate-logins"})


def is_about_rights(record: AuditRecord) -> bool:
    """Whether it is a change of who may do what, or a try of one, whatever came of it."""
    action, target = record.action, record.target
    if record.source is Source.CLUSTER:
        if not _WRITES.fullmatch(action):
            return False
        # Kubelets renew the tokens of pods hourly.
        if action == "create token" and record.who.startswith(_KUBELET):
            return False
        return target.partition("/")[0] in _OBJECTS_OF_RIGHTS or target in _SECRETS_OF_RIGHTS
    if record.source is Source.DATABASE:
        refused = action == "use" and _ROLE_REFUSED.match(record.detail.get("reason", ""))
        return bool(refused or _STATEMENTS.fullmatch(action))
    if record.source is Source.SEARCH:
        return action == "change security" or (action != "read" and target.startswith(_SECURITY_INDEX))
    if record.source is Source.GRAFANA:
        return action == "change" and target in _ACCOUNTS
    if record.source is Source.KAFKA:
        return action == "alter" and target.startswith("cluster:")
    return record.source is Source.OPS and action in _COMMANDS


_MASTERS: Final = "system:masters"
_SESSIONS: Final = frozenset({"exec", "attach"})
_ACCOUNTS_OF_ALL_RIGHTS: Final = {
    Source.DATABASE: SUPERUSER,
    Source.GRAFANA: ADMINISTRATOR,
    Source.SEARCH: SEARCH_ADMINISTRATOR,
}
_PAST_THE_LOGIN: Final = ("open", "--direct")


def is_break_glass(record: AuditRecord) -> bool:
    """Whether somebody went past the rights of people, or tried to.

    Such are: accounts that have every right and are nobody's own; requests that RBAC does not judge; a shell in a pod;
    a page behind its personal login.
    """
    if record.source is Source.CLUSTER:
        return record.detail.get("group") == _MASTERS or record.action in _SESSIONS
    if record.source is Source.OPS:
        command, option = _PAST_THE_LOGIN
        return record.action.split()[:2] == ["ops", command] and option in record.detail.get("arguments", "").split()
    return record.who == _ACCOUNTS_OF_ALL_RIGHTS.get(record.source)


CLOCK_BOUND: Final = timedelta(minutes=5)
"""How far the time of a record may be from its arrival; the API server repeats a post for four minutes."""
_CATCH_UP: Final = timedelta(minutes=15)
"""So long after its start the audit log may still write what came while it was away."""
_COUNTED: Final = timedelta(seconds=LONGEST_S) + CLOCK_BOUND
"""So long after the last of equal accesses their number may be written."""


@dataclass(frozen=True, kw_only=True)
class ClockOff:
    """Records of one part whose own times are far from their arrival, on one side of it.

    Attributes:
        region: Region.
        source: Source.
        part: Pod; of commands the machine.
        offset: The largest difference; positive where the part's clock is ahead.
        records: How many.
        first: Arrival of the first one.
        last: Arrival of the last one.
    """

    region: str
    source: Source
    part: str
    offset: timedelta
    records: int
    first: datetime
    last: datetime


def clocks_off(records: Iterable[AuditRecord], since: datetime) -> list[ClockOff]:
    """Parts whose records, of those that arrived since a moment, have times further from it than `CLOCK_BOUND`.

    A time that is ahead says that a clock is off. One that is behind may also have been read late: what repeats itself
    is written when it is counted, and what came before a start of the audit log right after it.
    """
    arrived = sorted(records, key=lambda record: record.recorded_at)
    began: dict[str, datetime] = {}
    far: dict[tuple[str, Source, str, bool], list[AuditRecord]] = defaultdict(list)
    for record in arrived:
        if record.source is Source.AUDIT:
            if record.action == START:
                began[record.region] = record.recorded_at
            continue
        offset = record.time - record.recorded_at
        if record.recorded_at >= since and abs(offset) > CLOCK_BOUND and not _is_late(record, began):
            part = record.origin if record.source is Source.OPS else record.part
            far[record.region, record.source, part, offset > timedelta()].append(record)
    return [
        ClockOff(
            region=region,
            source=source,
            part=part,
            offset=max((record.time - record.recorded_at for record in members), key=abs),
            records=len(members),
            first=members[0].recorded_at,
            last=members[-1].recorded_at,
        )
        for (region, source, part, _), members in sorted(far.items())
    ]


def _is_late(record: AuditRecord, began: Mapping[str, datetime]) -> bool:
    """Whether it is known why a record was written after its time."""
    start = began.get(record.region)
    caught_up = start is not None and record.time < start and record.recorded_at - start <= _CATCH_UP
    counted = REPEATED in record.detail and record.recorded_at - record.time <= _COUNTED
    return record.time < record.recorded_at and (caught_up or counted)


CONFIDENTIAL: Final = "confidential"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the audit log says of a period.

    Attributes:
        since: Begin.
        until: End.
        records: Accesses in it, by their time.
        unusual: Those unlike the ones before.
        clocks: Parts whose clocks are off, by what arrived in it.
        broken: Places where a chain does not hold.
        unreadable: Records of another version.
        complete: Whether all that was there came in time.
    """

    since: datetime
    until: datetime
    records: Sequence[AuditRecord]
    unusual: Sequence[Unusual]
    clocks: Sequence[ClockOff]
    broken: Sequence[BrokenLink]
    unreadable: int
    complete: bool

    @property
    def people(self) -> list[AuditRecord]:
        """Accesses of people and programs: without what the audit log tells about itself."""
        return [record for record in self.records if record.source is not Source.AUDIT]

    @property
    def refused(self) -> list[AuditRecord]:
        """What was refused."""
        return [record for record in self.people if record.outcome is Outcome.REFUSED]

    @property
    def rights(self) -> list[AuditRecord]:
        """Changes of who may do what, those that were refused or failed too."""
        return [record for record in self.people if is_about_rights(record)]

    @property
    def break_glass(self) -> list[AuditRecord]:
        """Use of accounts and ways that go past the rights of people, also where it was refused."""
        return [record for record in self.people if is_break_glass(record)]

    @property
    def confidential(self) -> list[AuditRecord]:
        """Reads of confidential traces that were let in."""
        return [
            record
            for record in self.people
            if record.outcome is Outcome.ALLOWED
            and record.detail.get("clearance") == CONFIDENTIAL
            and record.action in ("read trace", "search traces")
        ]

    @property
    def gaps(self) -> list[AuditRecord]:
        """Where the audit log says that lines are missing."""
        return [record for record in self.records if record.source is Source.AUDIT and record.action == GAP]


def findings(log: AuditLog, since: datetime, until: datetime, zone: tzinfo) -> Findings:
    """What records say of a period; earlier ones are what is usual."""
    accesses = log.accesses
    people = [record for record in accesses if record.source is not Source.AUDIT]
    return Findings(
        since=since,
        until=until,
        records=[record for record in accesses if record.time >= since],
        unusual=unusual(people, since, zone),
        clocks=clocks_off(accesses, since),
        broken=log.broken,
        unreadable=log.unreadable,
        complete=log.complete,
    )


def times(record: AuditRecord) -> int:
    """How many accesses a record stands for."""
    return int(record.detail.get(REPEATED, "1"))
