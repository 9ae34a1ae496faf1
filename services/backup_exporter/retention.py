"""Removes what is too old: runs of backups, uploads that nobody finished, segments of Kafka's archive.

Here and nowhere else, so that who writes backups needs no right to remove any. Several processes may do the same: what
is gone already is no error. The newest run, and what a partition was given last, is kept for ever.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from services.backup import BackupError, manifest
from services.backup.store import Store
from services.backup_exporter import BackupExporterSettings
from services.backup_exporter.poller import BackupBucket
from services.kafka_archive import segments
from services.runtime.s3 import Bucket, StorageError

RUNS, UPLOADS, SEGMENTS = "runs", "uploads", "segments"
REMOVED = (RUNS, UPLOADS, SEGMENTS)
_DAY_S = 86_400.0
_EVERY_S, _AGAIN_S = 3600.0, 300.0


class Retention:
    """Looks for what is too old, in a thread of its own.

    Attributes:
        last: When everything was last looked for, seconds since 1970; before the first time: when it began.
        failures: How often that failed.
        removed: Each of `REMOVED` -> how many.
    """

    def __init__(self, settings: BackupExporterSettings, log: Callable[[str], None]) -> None:
        self._storage, self._keep, self._log = settings.storage.place, settings.keep_days, log
        self._bucket = BackupBucket(self._storage)
        self._logged = ""
        self.last = time.time()
        self.failures = 0
        self.removed = Counter(dict.fromkeys(REMOVED, 0))

    def run(self, stop: threading.Event) -> None:
        """Look now, and every hour until ``stop``; sooner again after a failure."""
        while not stop.is_set():
            stop.wait(_EVERY_S if self.turn(time.time()) else _AGAIN_S)

    def turn(self, now: float) -> bool:
        """Remove what is too old at ``now`` (seconds since 1970); tells whether all of it is gone."""
        try:
            store = Store(self._storage)
            try:
                for kind, days in self._keep.runs.items():
                    self._runs(store, kind, days, now)
                self._count(SEGMENTS, sweep(self._bucket, store, self._keep.archive, now))
            finally:
                store.close()
        except (BackupError, StorageError) as error:
            self.failures += 1
            if str(error) != self._logged:
                self._logged = str(error)
                self._log(f"retention: {error}; it is tried again every {_AGAIN_S:.0f} s")
            return False
        self._logged, self.last = "", now
        return True

    def _runs(self, store: Store, kind: str, days: int, now: float) -> None:
        gone = manifest.apply(store, kind, days, datetime.fromtimestamp(now, UTC))
        self._count(RUNS, len(gone.runs))
        self._count(UPLOADS, gone.uploads)
        if gone.runs or gone.uploads:
            self._log(f"{kind}: removed {', '.join(gone.runs) or 'no run'} and {gone.uploads} unfinished uploads")

    def _count(self, what: str, number: int) -> None:
        self.removed[what] += number
        if what == SEGMENTS and number:
            self._log(f"removed {number} segments of the archive that were too old")


def sweep(bucket: Bucket, store: Store, keep_days: float, now: float) -> int:
    """Remove segments that are too old, oldest first; returns how many.

    Args:
        bucket: Where they are, to list them one by one: there may be millions.
        store: The same, to remove them.
        keep_days: Days after which a segment is removed, but for the last one of a partition.
        now: Seconds since 1970.

    Raises:
        StorageError, BackupError: The storage refuses, or does not answer.
    """
    removed = 0
    for topic in bucket.folders(segments.FOLDER):
        for partition in bucket.folders(segments.folder(topic)):
            old: list[tuple[float, str]] = []
            newest = (0.0, "")
            for stored in bucket.walk(f"{segments.folder(topic)}{partition}/"):
                if segments.parse(stored.key) is None:
                    continue
                newest = max(newest, (stored.written, stored.key))
                if stored.written < now - keep_days * _DAY_S:
                    old.append((stored.written, stored.key))
            names = [key for written, key in sorted(old) if (written, key) != newest]
            store.delete(names)
            removed += len(names)
    return removed
