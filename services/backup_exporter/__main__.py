"""The program: poll the object storage, sign runs, remove old ones, serve metrics of the backups until asked to stop.

How old, large, whole and signed they are, and when the next one is missing. Runs as
``python3 -m services.backup_exporter --config FILE``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.backup_exporter import BackupExporterSettings
from services.backup_exporter.poller import BackupPoller, Snapshot
from services.backup_exporter.retention import Retention
from services.runtime import serving
from services.runtime.serving import ScrapeCollector, gauge_by, operator_log


class BackupCollector(ScrapeCollector):
    """Reads the poller at each scrape."""

    def __init__(
        self,
        poller: BackupPoller,
        retention: Retention,
        settings: BackupExporterSettings,
        registry: CollectorRegistry,
    ) -> None:
        self._poller, self._retention, self._settings = poller, retention, settings
        super().__init__(registry)

    def collect(self) -> Iterator[Metric]:
        """The metrics of the last poll; nothing about backups before the first one that succeeded."""
        snapshot = self._poller.snapshot
        yield GaugeMetricFamily(
            "backup_last_poll_timestamp_seconds",
            "When the object storage was last read; before the first time: when the backup exporter began",
            value=snapshot.at or self._poller.began,
        )
        yield GaugeMetricFamily(
            "backup_poll_failed", "Whether the last poll of the object storage failed", value=self._poller.failing
        )
        yield CounterMetricFamily(
            "backup_poll_failures", "Polls of the object storage that failed", value=self._poller.failures
        )
        yield from _retention(self._retention)
        if snapshot.at:
            yield from _runs(snapshot, self._settings.ages)
            yield from _archive(snapshot)
            if self._settings.blocks:
                yield from _blocks(snapshot, self._settings.blocks.most_age_s)


def _retention(retention: Retention) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "backup_last_retention_timestamp_seconds",
        "When all that is too old was last removed; before the first time: when the backup exporter began",
        value=retention.last,
    )
    yield CounterMetricFamily(
        "backup_retention_failures", "Attempts to remove what is too old that failed", value=retention.failures
    )
    removed = CounterMetricFamily("backup_removed", "What was removed since it was too old", labels=["what"])
    for what, number in retention.removed.items():
        removed.add_metric([what], number)
    yield removed


def _runs(snapshot: Snapshot, most_age_s: Mapping[str, float]) -> Iterator[Metric]:
    newest = {kind: held.newest for kind, held in snapshot.kinds.items() if held.newest}
    yield gauge_by(
        "kind",
        "backup_last_success_timestamp_seconds",
        "When the newest whole run began: what changed later is not in it",
        {kind: run.started.timestamp() for kind, run in newest.items()},
    )
    yield gauge_by(
        "kind",
        "backup_due_timestamp_seconds",
        "When the next run is missing",
        {kind: snapshot.due(kind, age) for kind, age in most_age_s.items()},
    )
    yield gauge_by(
        "kind",
        "backup_last_bytes",
        "Size of the newest whole run",
        {kind: run.total_bytes for kind, run in newest.items()},
    )
    yield gauge_by(
        "kind",
        "backup_last_objects",
        "Objects of the newest whole run",
        {kind: len(run.objects) for kind, run in newest.items()},
    )
    yield gauge_by(
        "kind",
        "backup_last_duration_seconds",
        "How long the newest whole run took",
        {kind: run.duration_s for kind, run in newest.items()},
    )
    yield gauge_by(
        "kind", "backup_runs", "Runs with a manifest", {kind: held.runs for kind, held in snapshot.kinds.items()}
    )
    yield gauge_by(
        "kind",
        "backup_damaged_runs",
        "Runs newer than the newest whole one, of which something is missing",
        {kind: len(held.damaged) for kind, held in snapshot.kinds.items()},
    )
    yield gauge_by(
        "kind",
        "backup_signed_runs",
        "Runs whose signature is that of their manifest",
        {kind: held.signing.signed for kind, held in snapshot.kinds.items()},
    )
    yield gauge_by(
        "kind",
        "backup_refused_runs",
        "Runs that are not signed, since no job of this platform made them as they are",
        {kind: len(held.signing.refused) for kind, held in snapshot.kinds.items()},
    )
    yield gauge_by(
        "kind",
        "backup_signed_until_timestamp_seconds",
        "When the oldest run was stored that waits for its signature; where none does, when the storage was last read",
        {
            kind: snapshot.at if held.signing.waiting is None else held.signing.waiting
            for kind, held in snapshot.kinds.items()
        },
    )


def _archive(snapshot: Snapshot) -> Iterator[Metric]:
    yield gauge_by(
        "topic",
        "backup_archive_last_timestamp_seconds",
        "When the newest segment of a topic's archive was stored",
        {topic: reach.written for topic, reach in snapshot.archive.items() if reach.segments},
    )
    yield gauge_by(
        "topic",
        "backup_archive_bytes",
        "Size of a topic's archive; what was removed counts up to an hour more",
        {topic: reach.bytes for topic, reach in snapshot.archive.items()},
    )
    yield gauge_by(
        "topic",
        "backup_archive_segments",
        "Segments of a topic's archive; what was removed counts up to an hour more",
        {topic: reach.segments for topic, reach in snapshot.archive.items()},
    )
    yield gauge_by(
        "topic",
        "backup_archive_missing_records",
        "Offsets between the first and the last of a topic's archive that no segment holds",
        {topic: reach.missing for topic, reach in snapshot.archive.items()},
    )


def _blocks(snapshot: Snapshot, most_age_s: float) -> Iterator[Metric]:
    yield gauge_by(
        "server",
        "backup_metrics_last_block_timestamp_seconds",
        "Up to when the stored blocks of metrics of a server reach",
        {server: end for server, end in snapshot.blocks.items() if end is not None},
    )
    yield gauge_by(
        "server",
        "backup_metrics_due_timestamp_seconds",
        "When the next block of metrics of a server is missing",
        snapshot.blocks_due(most_age_s),
    )


log = operator_log("backup-exporter")


class Service(serving.Service):
    """Polls, metrics and probes behind one port."""

    def __init__(self, settings: BackupExporterSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        self._poller = BackupPoller(settings, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._retention = Retention(settings, log)
        BackupCollector(self._poller, self._retention, settings, registry)
        self.server = serving.https_server(
            settings, registry, self._poller.alive, self._poller.polled, program="backup-exporter"
        )

    def begin(self, stop: threading.Event) -> None:
        """Poll the storage, and remove what is too old there."""
        for thread in (self._poller.run, self._retention.run):
            threading.Thread(target=thread, args=(stop,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="backup-exporter",
        description="Age, size and wholeness of backups, and their signatures.",
        make=lambda file: Service(BackupExporterSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
