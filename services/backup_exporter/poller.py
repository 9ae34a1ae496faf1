"""Polls the object storage every minute and keeps what it saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from services.backup_exporter.archive import Archive, ArchiveCoverage
from services.backup_exporter.blocks import Blocks
from services.backup_exporter.runs import KindStatus, Runs
from services.backup_exporter.settings import KINDS, BackupExporterSettings
from services.runtime.poller import Poller
from services.runtime.s3 import Bucket


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
        blocks_end: End of the newest block of metrics, seconds since 1970; None where there is none.
    """

    at: float
    since: float
    kinds: Mapping[str, KindStatus] = field(default_factory=dict)
    archive: Mapping[str, ArchiveCoverage] = field(default_factory=dict)
    blocks_end: float | None = None

    def due(self, kind: str, most_age_s: float) -> float:
        """When the next run of a kind is missing, seconds since 1970.

        It counts from the start of the newest one, since what changed later is not in it; of a kind that has none yet,
        from the oldest run of any kind.
        """
        newest = self.kinds.get(kind, KindStatus()).newest
        return (newest.started.timestamp() if newest else self.since) + most_age_s

    def blocks_due(self, most_age_s: float) -> float:
        """When the next block of metrics is missing, seconds since 1970."""
        return (self.since if self.blocks_end is None else self.blocks_end) + most_age_s


class BackupPoller(Poller[Snapshot]):
    """Polls in a thread of its own."""

    def __init__(self, settings: BackupExporterSettings, log: Callable[[str], None]) -> None:
        super().__init__(log)
        bucket = BackupBucket(settings.storage.place)
        self._runs = Runs(bucket, log)
        self._archive = Archive(bucket, self.beat)
        self._blocks: Blocks | None = None
        if settings.blocks:
            self._blocks = Blocks(BackupBucket(replace(settings.storage.place, prefix=settings.blocks.prefix)))
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
            blocks_end=self._blocks.poll() if self._blocks else None,
        )
