"""Removes segments that are too old, once an hour; what a partition was given last is kept for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.backup.errors import BackupError
from services.backup.store import Store
from services.kafka_archive import names
from services.kafka_archive.metrics import Metrics

_DAY_S = 86_400.0
_EVERY_S, _AGAIN_S = 3600.0, 300.0


class Retention:
    """Removes old objects, in a thread of its own. Several processes may do the same: what is gone is no error."""

    def __init__(
        self, bucket: Callable[[], Store], keep_days: float, metrics: Metrics, log: Callable[[str], None]
    ) -> None:
        """Remove what was stored longer than ``keep_days`` days ago."""
        self._bucket, self._keep_s, self._metrics, self._log = bucket, keep_days * _DAY_S, metrics, log

    def start(self, stop: threading.Event) -> None:
        """Run now, and every hour until ``stop``."""
        threading.Thread(target=self._run, args=(stop,), name="retention", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause_s = _EVERY_S
            try:
                removed = self.sweep(time.time())
                if removed:
                    self._log(f"removed {removed} segments that were too old")
            except BackupError as error:
                self._metrics.failures.labels("retention").inc()
                self._log(f"retention: {error}; it is tried again in {_AGAIN_S:.0f} s")
                pause_s = _AGAIN_S
            stop.wait(pause_s)

    def sweep(self, now: float) -> int:
        """Remove what is too old at ``now`` (seconds since 1970), oldest first; returns how many.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        store, removed = self._bucket(), 0
        for topic in store.folders(names.FOLDER):
            for partition in store.folders(names.folder(topic)):
                listed = store.objects(f"{names.folder(topic)}{partition}/")
                held = sorted(
                    (stored_object.written, stored_object.name)
                    for stored_object in listed
                    if names.parse(stored_object.name)
                )
                old = [name for written, name in held[:-1] if written.timestamp() < now - self._keep_s]
                if old:
                    store.delete(old)
                    removed += len(old)
                    self._metrics.removed.inc(len(old))
        self._metrics.last_retention.set(now)
        return removed
