"""Polls the object storage every minute and keeps what it saw: runs of backups, blocks of metrics, Kafka's archive.

A block of Thanos is a folder with the ULID of its making as name, and its ``meta.json``, which is stored last, says
which time it covers, and by its external labels which server it is of. No block covers a time after its making: so only
those are read that were made after what is known to be covered of the server that is furthest behind.

Keys of the archive say which offsets a segment holds, and sort as offsets do. So a poll asks only for what came after
the last one. What such a poll cannot see is seen when a partition is listed anew, about once an hour: segments that the
archive removed, and a topic that was made again and counts from 0 again. An archive may have millions of segments: a
poll lists partitions anew for some seconds only, and the next poll goes on.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from services.backup import BackupError, manifest
from services.backup.manifest import Manifest
from services.backup_exporter import KINDS, BackupExporterSettings
from services.backup_exporter.signing import Signer, SigningStatus
from services.kafka_archive import segments
from services.runtime.s3 import Bucket, NotStoredError, Object, Poller

_PARTS = 3
META = "meta.json"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_DIGITS = 10
_MOST_META = 16 * 2**20
_MS = 1000.0
ANEW_S = 3600.0
LISTING_S = 20.0
"""How long a poll goes on with listing further partitions anew."""
_MOST_AT_ONCE = 1000
"""Segments of a partition that a poll reads which does not list all: one page."""


@dataclass(frozen=True, kw_only=True)
class KindStatus:
    """What there is of one kind.

    Attributes:
        runs: Runs with a manifest.
        newest: The newest run that is whole; None where there is none.
        damaged: Newer runs whose manifest cannot be read, or names an object that is missing or of another size.
        since: When the oldest object was written; None where there is none.
        signing: How far they are signed.
    """

    runs: int = 0
    newest: Manifest | None = None
    damaged: tuple[str, ...] = ()
    since: float | None = None
    signing: SigningStatus = field(default_factory=SigningStatus)


class Runs:
    """Reads each manifest once: what is stored under a key does not change.

    Args:
        bucket: Where they are.
        log: Gets a line for each that is passed over.
        signer: Signs them; None: nobody does.
    """

    def __init__(self, bucket: Bucket, log: Callable[[str], None], signer: Signer | None = None) -> None:
        self._bucket, self._log, self._signer = bucket, log, signer
        self._read: dict[tuple[str, float], Manifest | str] = {}
        self._logged: set[str] = set()

    def poll(self, kind: str) -> KindStatus:
        """What there is of a kind.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        objects = self._bucket.objects(f"{kind}/")
        by_run = _by_run(objects)
        complete = sorted((run for run, files in by_run.items() if manifest.FILE in files), reverse=True)
        self._forget(kind, {(manifest.manifest_key(kind, run), by_run[run][manifest.FILE].written) for run in complete})
        newest, damaged = None, []
        for run in complete:
            read = self._manifest(kind, run, by_run[run][manifest.FILE].written)
            sizes = {file: stored_object.size for file, stored_object in by_run[run].items()}
            problem = read if isinstance(read, str) else manifest.problem(read, kind, run, sizes)
            if not isinstance(read, str) and not problem:
                newest = read
                break
            damaged.append(run)
            self._log_once(f"{kind}/{run} is passed over: {problem}")
        since = min((stored_object.written for stored_object in objects), default=None)
        return KindStatus(
            runs=len(complete),
            newest=newest,
            damaged=tuple(damaged),
            since=since,
            signing=self._signer.poll(kind, by_run) if self._signer else SigningStatus(),
        )

    def _manifest(self, kind: str, run: str, written: float) -> Manifest | str:
        """The manifest, or what is wrong with it."""
        key = manifest.manifest_key(kind, run)
        if (key, written) not in self._read:
            try:
                self._read[key, written] = self._parsed(key)
            except NotStoredError:
                return "its manifest was removed just now"
        return self._read[key, written]

    def _parsed(self, key: str) -> Manifest | str:
        content = self._bucket.open(key)
        if content.size > manifest.MOST_BYTES:
            content.chunks.close()
            return f"its manifest has {content.size} bytes"
        try:
            return manifest.parse(b"".join(content.chunks), key)
        except BackupError as error:
            return str(error)

    def _forget(self, kind: str, known: set[tuple[str, float]]) -> None:
        gone = [key for key in self._read if key[0].startswith(f"{kind}/") and key not in known]
        for key in gone:
            del self._read[key]

    def _log_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            self._log(line)


def _by_run(objects: Iterable[Object]) -> dict[str, dict[str, Object]]:
    by_run: dict[str, dict[str, Object]] = {}
    for stored_object in objects:
        parts = stored_object.key.split("/")
        if len(parts) == _PARTS and _is_run(parts[1]):
            by_run.setdefault(parts[1], {})[parts[2]] = stored_object
    return by_run


def _is_run(name: str) -> bool:
    try:
        manifest.run_time(name)
    except ValueError:
        return False
    return True


def made_ms(ulid: str) -> int:
    """When a block was made, milliseconds since 1970."""
    value = 0
    for digit in ulid[:_TIME_DIGITS]:
        value = value * len(_DIGITS) + _DIGITS.index(digit)
    return value


def first_ulid(milliseconds: int) -> str:
    """What the ULIDs of blocks that were made at a time begin with."""
    digits = ""
    for _ in range(_TIME_DIGITS):
        milliseconds, digit = divmod(milliseconds, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


_Block = tuple[str | None, int]
"""Server of a block, None where it is none of those that are looked at, and its end in milliseconds."""


class Blocks:
    """The polls at the blocks.

    Args:
        bucket: Its prefix is that of the blocks.
        servers: Server -> external labels of its blocks.
        beat: Called before each block that is read.
    """

    def __init__(self, bucket: Bucket, servers: Mapping[str, Mapping[str, str]], beat: Callable[[], None]) -> None:
        self._bucket, self._servers, self._beat = bucket, servers, beat
        self._blocks: dict[str, _Block | None] = {}
        self._reach_ms = dict.fromkeys(servers, 0)

    def poll(self) -> dict[str, float | None]:
        """Server -> end of its newest block, seconds since 1970; None where it has no whole block.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        least = min(self._reach_ms.values())
        reach = self._reach(self._bucket.folders(after=first_ulid(least))) if least else {}
        if any(reach.get(server, 0) < known for server, known in self._reach_ms.items()) or not least:
            # What was known is gone.
            reach = self._reach(self._bucket.folders())
        self._reach_ms = reach
        return {server: end / _MS if end else None for server, end in reach.items()}

    def _reach(self, folders: list[str]) -> dict[str, int]:
        reach, kept = dict.fromkeys(self._servers, 0), dict[str, _Block | None]()
        for ulid in sorted((folder for folder in folders if _ULID.fullmatch(folder)), reverse=True):
            if made_ms(ulid) < min(reach.values()):
                break
            block = kept[ulid] = self._blocks.get(ulid) or self._block(ulid)
            if block and block[0]:
                reach[block[0]] = max(reach[block[0]], block[1])
        self._blocks = kept
        return reach

    def _block(self, ulid: str) -> _Block | None:
        """A block; None while it is not whole, or where its description is none."""
        self._beat()
        try:
            content = self._bucket.open(f"{ulid}/{META}")
        except NotStoredError:
            return None
        if content.size > _MOST_META:
            content.chunks.close()
            return None
        try:
            meta = json.loads(b"".join(content.chunks))
            end, labels = meta["maxTime"], meta.get("thanos", {}).get("labels") or {}
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if not isinstance(end, int) or end <= 0:
            return None
        server = next((server for server, wanted in self._servers.items() if labels == wanted), None)
        # A sample from a clock that is ahead does not make a block reach into the future.
        return server, min(end, made_ms(ulid))


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

    def followed(self, name: segments.Name, stored_object: Object) -> _Line:
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
            name = segments.parse(stored_object.key)
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
            topic: [f"{segments.folder(topic)}{folder}/" for folder in self._bucket.folders(segments.folder(topic))]
            for topic in self._bucket.folders(segments.FOLDER)
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


class BackupBucket(Bucket):
    """Backups below the prefix."""

    things = "the backups"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was there at the last poll that succeeded.

    Attributes:
        at: When that was, seconds since 1970; 0 before the first.
        since: When the oldest run was written, else when the backup exporter began.
        kinds: Kind -> its runs.
        archive: Topic -> how far its archive reaches.
        began: When the backup exporter began, seconds since 1970.
        blocks: Server -> end of its newest block of metrics, seconds since 1970; None where it has none.
    """

    at: float
    since: float
    kinds: Mapping[str, KindStatus] = field(default_factory=dict)
    archive: Mapping[str, ArchiveCoverage] = field(default_factory=dict)
    began: float = 0.0
    blocks: Mapping[str, float | None] = field(default_factory=dict)

    def due(self, kind: str, most_age_s: float) -> float:
        """When the next run of a kind is missing, seconds since 1970.

        It counts from the start of the newest one, since what changed later is not in it; of a kind that has none yet,
        from the oldest run of any kind.
        """
        newest = self.kinds.get(kind, KindStatus()).newest
        return (newest.started.timestamp() if newest else self.since) + most_age_s

    def blocks_due(self, most_age_s: float) -> dict[str, float]:
        """Server -> when its next block of metrics is missing, seconds since 1970.

        Of a server that has none yet, such as a shard that was added, it counts from when the backup exporter began.
        """
        return {server: (self.began if end is None else end) + most_age_s for server, end in self.blocks.items()}


class BackupPoller(Poller[Snapshot]):
    """Polls in a thread of its own."""

    def __init__(self, settings: BackupExporterSettings, log: Callable[[str], None]) -> None:
        super().__init__(log)
        bucket = BackupBucket(settings.storage.place)
        self._runs = Runs(bucket, log, Signer(settings.storage.place, bucket, settings.signing, log))
        self._archive = Archive(bucket, self.beat)
        self._blocks: Blocks | None = None
        if settings.blocks:
            place = replace(settings.storage.place, prefix=settings.blocks.prefix)
            self._blocks = Blocks(BackupBucket(place), settings.blocks.servers, self.beat)
        self.snapshot = Snapshot(at=0.0, since=self._began)

    def _poll(self) -> Snapshot:
        now = time.time()
        kinds = {kind: self._runs.poll(kind) for kind in KINDS}
        self.beat()
        oldest = [held.since for held in kinds.values() if held.since is not None]
        return Snapshot(
            at=now,
            since=min(oldest, default=self._began),
            kinds=kinds,
            archive=self._archive.poll(),
            began=self._began,
            blocks=self._blocks.poll() if self._blocks else {},
        )
