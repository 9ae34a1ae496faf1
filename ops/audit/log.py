"""Records of the audit log, read with the login of its readers, which may read nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import TopicPartition

from components.audit import READER
from components.telemetry.topics import AUDIT_TOPIC
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, client_settings, consumer, errors, watermarks
from ops.core.platform import Platform
from services.audit.journal import PARTITION
from services.audit.records import BEGINNING, AuditRecord, BrokenLink, broken_links, parsed

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
        wanted = [TopicPartition(TOPIC, PARTITION, int(start.timestamp() * 1000))]
        [first] = reader.offsets_for_times(wanted, timeout=TIMEOUT_SECONDS)
        at = first.offset if first.offset >= 0 else high
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
