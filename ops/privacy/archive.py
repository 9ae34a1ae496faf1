"""The archive of Kafka in object storage: read day by day, within bounds, for records that hold the pseudonym."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from ops.core.errors import OpsError
from ops.privacy.record import Holding
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records, topics

MOST_DAYS: Final = 31
WHY: Final = "segments are encrypted, complete and never rewritten: what is in them goes by retention"
NOT_READ: Final = "not read: give --archive-from, --archive-to and your age identity"


@dataclass(frozen=True, kw_only=True)
class Days:
    """Days of UTC, both included.

    Raises:
        OpsError: The last is before the first, or there are more than `MOST_DAYS`.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not timedelta(0) <= self.last - self.first < timedelta(days=MOST_DAYS):
            raise OpsError(
                f"--archive-from {self.first} and --archive-to {self.last}: must be 1 to {MOST_DAYS} days, in order"
            )

    def __iter__(self) -> Iterator[tuple[date, datetime, datetime]]:
        """Each day with its begin and end."""
        for number in range((self.last - self.first).days + 1):
            day = self.first + timedelta(days=number)
            begin = datetime.combine(day, time(), UTC)
            yield day, begin, begin + timedelta(days=1)


def scan(
    store: Store,
    identities: Sequence[Identity],
    pseudonym: str,
    days: Days,
    keep_days: float,
    told: Callable[[str], None],
    prefix: str = "telemetry-",
) -> list[Holding]:
    """Read the days of every archived topic of telemetry.

    Args:
        store: The bucket of the backups.
        identities: Who may open the archive.
        pseudonym: What is looked for; records hold it as plain bytes of OTLP.
        days: By the time of the records.
        keep_days: Days for which a segment is kept.
        told: Told each day of each topic with what was read.
        prefix: What the topics begin with.

    Raises:
        BackupError: The storage refuses, an identity does not fit, or a segment is damaged.
    """
    needle = pseudonym.encode()
    holdings = []
    for topic in topics(store):
        if not topic.startswith(prefix):
            continue
        held, stats, times = catalogue(store, topic), ReadStats(), list[int]()
        for day, begin, end in days:
            read = 0
            for segments in held.segments.values():
                for record in records(store, identities, segments, stats, since=begin, until=end):
                    read += 1
                    if needle in (record.value or b"") or needle in (record.key or b""):
                        times.append(record.timestamp_ms)
            told(f"{topic}, {day}: {read} records read, {len(times)} with it so far")
        newest = datetime.fromtimestamp(max(times) / 1000, UTC) if times else None
        holdings.append(
            Holding(
                store="archive",
                where=f"{topic}, {days.first} to {days.last}",
                matches=len(times),
                oldest=datetime.fromtimestamp(min(times) / 1000, UTC) if times else None,
                newest=newest,
                left=len(times),
                expires=newest + timedelta(days=keep_days) if newest else None,
                why=WHY if times else "",
            )
        )
    return holdings


def unread(now: datetime, keep_days: float) -> Holding:
    """What is said of the archive where nobody reads it."""
    return Holding(
        store="archive",
        where="every topic of telemetry",
        matches=None,
        expires=now + timedelta(days=keep_days),
        why=NOT_READ,
    )
