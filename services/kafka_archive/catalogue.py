"""What the archive has of a topic, and its records in order, each once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.backup import BackupError
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.segments import FIRST_MS, FOLDER, LAST_MS, RECORDS, Name, Record, folder, parse, read

_AHEAD = 6
_MOST_BYTES = 1024 * 2**20
_AHEAD_OF_TIME = timedelta(hours=1)
"""Brokers refuse timestamps that are further ahead of their clock (``message.timestamp.after.max.ms``)."""


@dataclass(frozen=True)
class OffsetGap:
    """Offsets of a partition, ``first`` to ``last``, that the archive does not have between others that it has."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What there is of one topic.

    Attributes:
        topic: The topic.
        topic_id: Kafka's id of it.
        segments: Partition -> its segments with the time at which each was stored, by offset.
    """

    topic: str
    topic_id: str
    segments: Mapping[int, Sequence[tuple[Name, datetime]]]


@dataclass
class ReadStats:
    """What was noticed while reading.

    Attributes:
        objects: Segments that were read.
        doubled: Records that were there twice, and passed over once.
        holes: Offsets that are not there.
    """

    objects: int = 0
    doubled: int = 0
    holes: list[OffsetGap] = field(default_factory=list)


def topics(store: Store) -> list[str]:
    """Topics of which there is something.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    return store.folders(FOLDER)


def catalogue(store: Store, topic: str, topic_id: str | None = None) -> Catalogue:
    """What there is of a topic.

    Args:
        store: The bucket.
        topic: The topic.
        topic_id: Which one, where a topic was made again; None: there must be one only.

    Raises:
        BackupError: There is nothing of it or there are several, or the storage does not answer.
    """
    by_topic_id: dict[str, list[tuple[Name, datetime]]] = {}
    for stored_object in store.objects(folder(topic)):
        name = parse(stored_object.name)
        if name is not None and name.topic == topic:
            by_topic_id.setdefault(name.topic_id, []).append((name, stored_object.written))
    if not by_topic_id:
        raise BackupError(f"the archive has nothing of topic {topic}; it has {', '.join(topics(store)) or 'nothing'}")
    if topic_id is None and len(by_topic_id) > 1:
        raise BackupError(
            f"topic {topic} was made again, and the archive has each: choose by topic_id: {_told(by_topic_id)}"
        )
    chosen = topic_id or next(iter(by_topic_id))
    if chosen not in by_topic_id:
        raise BackupError(f"the archive has no topic {topic} with the id {chosen}; it has {_told(by_topic_id)}")
    segments: dict[int, list[tuple[Name, datetime]]] = {}
    for name, written in sorted(
        by_topic_id[chosen], key=lambda entry: (entry[0].partition, entry[0].first, -entry[0].last)
    ):
        segments.setdefault(name.partition, []).append((name, written))
    return Catalogue(topic=topic, topic_id=chosen, segments=segments)


def records(
    store: Store,
    identities: Sequence[Identity],
    segments: Sequence[tuple[Name, datetime]],
    stats: ReadStats,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Record]:
    """Records of one partition by offset, each once, checked against what was stored.

    Args:
        store: The bucket.
        identities: Of those who may open it.
        segments: Of the partition, as in its `Catalogue`.
        stats: Gets what is noticed.
        since: Only records with this timestamp or a later one.
        until: Only records with an earlier timestamp.

    Raises:
        BackupError: A segment is damaged or cannot be opened, or the storage does not answer.
    """
    low, high = _ms(since), _ms(until)
    segment_names = [name for name, written in segments if since is None or written + _AHEAD_OF_TIME >= since]
    expected: int | None = None
    for name, fetched in _fetched(store, segment_names, low, high):
        if expected is not None and name.first > expected:
            stats.holes.append(OffsetGap(name.partition, expected, name.first - 1))
        if fetched is not None and (expected is None or name.last >= expected):
            stats.objects += 1
            for record in read(name, fetched[0], fetched[1], identities):
                if expected is not None and record.offset < expected:
                    stats.doubled += 1
                elif (low is None or record.timestamp_ms >= low) and (high is None or record.timestamp_ms < high):
                    yield record
        elif fetched is not None:
            stats.doubled += int(fetched[1].get(RECORDS, 0))
        expected = name.last + 1 if expected is None else max(expected, name.last + 1)


def _fetched(
    store: Store, segment_names: Sequence[Name], low: int | None, high: int | None
) -> Iterator[tuple[Name, tuple[bytes, Mapping[str, str]] | None]]:
    """Content and metadata of objects in their order, some ahead; None for one without a record in that time."""

    def fetch(name: Name) -> tuple[bytes, Mapping[str, str]] | None:
        metadata = store.head(name.key).metadata
        if _outside(metadata, low, high):
            return None
        return store.get(name.key, _MOST_BYTES), metadata

    with ThreadPoolExecutor(_AHEAD) as threads:
        waiting: deque[tuple[Name, Future[tuple[bytes, Mapping[str, str]] | None]]] = deque()
        left = iter(segment_names)
        try:
            while True:
                while len(waiting) < _AHEAD and (name := next(left, None)) is not None:
                    waiting.append((name, threads.submit(fetch, name)))
                if not waiting:
                    return
                name, future = waiting.popleft()
                yield name, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _outside(metadata: Mapping[str, str], low: int | None, high: int | None) -> bool:
    try:
        first, last = int(metadata[FIRST_MS]), int(metadata[LAST_MS])
    except (KeyError, ValueError):
        return False
    return (low is not None and last < low) or (high is not None and first >= high)


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise BackupError(f"{moment.isoformat()} has no time zone; add one, for example +09:00 or Z")
    return round(moment.timestamp() * 1000)


def _told(by_topic_id: Mapping[str, Sequence[tuple[Name, datetime]]]) -> str:
    """Ids, and when each was stored first and last."""
    parts = []
    for topic_id, names in sorted(by_topic_id.items(), key=lambda item: min(written for _, written in item[1])):
        times = sorted(written.astimezone(UTC) for _, written in names)
        parts.append(f"{topic_id} (stored {times[0]:%Y-%m-%dT%H:%MZ} to {times[-1]:%Y-%m-%dT%H:%MZ})")
    return ", ".join(parts)
