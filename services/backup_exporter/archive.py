"""The archive of Kafka: how far it reaches, how large it is, and whether anything is missing in between.

Keys say which offsets a segment holds, and sort as offsets do. So a poll asks only for what came after the last one.
What such a poll cannot see is seen when a partition is listed anew, about once an hour: segments that the archive
removed, and a topic that was made again and counts from 0 again. An archive may have millions of segments: a poll lists
partitions anew for some seconds only, and the next poll goes on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from services.kafka_archive import names
from services.runtime.s3 import Bucket, Object

ANEW_S = 3600.0
LISTING_S = 20.0
"""How long a poll goes on with listing further partitions anew."""
_MOST_AT_ONCE = 1000
"""Segments of a partition that a poll reads which does not list all: one page."""


@dataclass(frozen=True, kw_only=True)
class ArchiveCoverage:
    """What there is of one partition, or of all partitions of a topic.

    Attributes:
        segments: How many.
        bytes: Their size.
        written: When the newest one was stored, seconds since 1970.
        missing: Offsets between the first and the last one that no segment holds.
    """

    segments: int = 0
    bytes: int = 0
    written: float = 0.0
    missing: int = 0

    def __add__(self, other: ArchiveCoverage) -> ArchiveCoverage:
        return ArchiveCoverage(
            segments=self.segments + other.segments,
            bytes=self.bytes + other.bytes,
            written=max(self.written, other.written),
            missing=self.missing + other.missing,
        )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Segments of one partition while its topic had one id."""

    key: str
    last: int
    reach: ArchiveCoverage

    def followed(self, name: names.Name, stored_object: Object) -> _Line:
        gap = max(0, name.first - self.last - 1)
        return _Line(key=stored_object.key, last=max(self.last, name.last), reach=self.reach + _one(stored_object, gap))


@dataclass(frozen=True, kw_only=True)
class _Partition:
    lines: Mapping[str, _Line] = field(default_factory=dict)

    @property
    def active(self) -> str | None:
        """Id of the topic that was written last."""
        return max(self.lines, key=lambda name: self.lines[name].reach.written, default=None)

    @property
    def reach(self) -> ArchiveCoverage:
        """All of them together."""
        return sum((line.reach for line in self.lines.values()), ArchiveCoverage())

    def followed(self, objects: Iterable[Object], only: str | None) -> _Partition:
        """With objects whose keys come after the known ones; what is no segment, or of another id, is left out."""
        lines = dict(self.lines)
        for stored_object in objects:
            name = names.parse(stored_object.key)
            if name is None or only not in (None, name.topic_id):
                continue
            known = lines.get(name.topic_id)
            lines[name.topic_id] = (
                known.followed(name, stored_object)
                if known
                else _Line(key=stored_object.key, last=name.last, reach=_one(stored_object, 0))
            )
        return replace(self, lines=lines)


def _one(stored_object: Object, gap: int) -> ArchiveCoverage:
    return ArchiveCoverage(segments=1, bytes=stored_object.size, written=stored_object.written, missing=gap)


class Archive:
    """The polls at the archive."""

    def __init__(self, bucket: Bucket, beat: Callable[[], None], now: Callable[[], float] = time.monotonic) -> None:
        """Get ready.

        Args:
            bucket: Where it is.
            beat: Told now and then that a long poll goes on.
            now: The time.
        """
        self._bucket, self._beat, self._now = bucket, beat, now
        self._partitions: dict[str, _Partition] = {}
        self._listed: dict[str, float] = {}

    def poll(self) -> Mapping[str, ArchiveCoverage]:
        """Topic -> what there is of it; a topic counts once each of its partitions was listed.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        started = self._now()
        topics = {
            topic: [f"{names.folder(topic)}{folder}/" for folder in self._bucket.folders(names.folder(topic))]
            for topic in self._bucket.folders(names.FOLDER)
        }
        folders = [folder for those in topics.values() for folder in those]
        self._partitions = {folder: self._partitions[folder] for folder in folders if folder in self._partitions}
        for folder, known in self._partitions.items():
            self._partitions[folder] = self._further(folder, known)
        self._anew(sorted(folders, key=lambda folder: self._listed.get(folder, -1.0)), started)
        return MappingProxyType(
            {
                topic: sum((self._partitions[folder].reach for folder in those), ArchiveCoverage())
                for topic, those in topics.items()
                if all(folder in self._partitions for folder in those)
            }
        )

    def _anew(self, folders: Sequence[str], started: float) -> None:
        """List partitions anew, those first that were not for the longest time."""
        for folder in folders:
            if self._listed.get(folder, -ANEW_S) + ANEW_S > started:
                break
            self._beat()
            self._partitions[folder] = _Partition().followed(self._beating(self._bucket.walk(folder)), None)
            self._listed[folder] = started
            if self._now() - started >= LISTING_S:
                break

    def _further(self, folder: str, known: _Partition) -> _Partition:
        """What came since the last poll, of the topic as it was then."""
        self._beat()
        active = known.active
        if active is None:
            return known
        later = self._bucket.walk(folder, known.lines[active].key)
        return known.followed(itertools.islice(later, _MOST_AT_ONCE), active)

    def _beating(self, objects: Iterable[Object]) -> Iterable[Object]:
        for number, stored_object in enumerate(objects):
            if number % _MOST_AT_ONCE == 0:
                self._beat()
            yield stored_object
