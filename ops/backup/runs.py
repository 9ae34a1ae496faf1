"""What is stored: runs by kind, the archive of Kafka by topic, blocks of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from ops.errors import OpsError
from services.backup import manifest, restore, restore_metrics, retention
from services.backup.manifest import Manifest
from services.backup.store import Store
from services.kafka_archive import names

ARCHIVE, METRICS, PULUMI_STATE = "archive", "metrics", "pulumi-state"
KINDS = ("database", "grafana", "kafka-metadata", "search", PULUMI_STATE)
"""Kinds that consist of runs, in the order in which they are shown."""
LAST = 5


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of one kind.

    Attributes:
        kind: Which.
        whole: The newest runs with a manifest, the newest one first.
        total: How many runs have a manifest.
        bytes: Size of everything of this kind.
        torn: Runs without a manifest that are newer than the newest whole one: under way, or given up.
    """

    kind: str
    whole: Sequence[Manifest]
    total: int
    bytes: int
    torn: Sequence[str] = ()


def runs(store: Store, kind: str, last: int = LAST) -> Runs:
    """The newest runs of a kind.

    Raises:
        BackupError: The storage refuses or does not answer, or a manifest is none.
    """
    found = retention.runs(store.objects(f"{kind}/"), kind)
    whole = [each for each in found if each.complete]
    return Runs(
        kind=kind,
        whole=tuple(restore.find(store, kind, each.name) for each in reversed(whole[-last:])),
        total=len(whole),
        bytes=sum(each.total_bytes for each in found),
        torn=tuple(
            each.name for each in found if not each.complete and (not whole or each.started > whole[-1].started)
        ),
    )


def newest(store: Store, kind: str) -> Manifest | None:
    """The newest whole run of a kind, or nothing.

    Raises:
        BackupError: The storage refuses or does not answer, or a manifest is none.
    """
    found = runs(store, kind, last=1).whole
    return found[0] if found else None


def find(store: Store, kind: str, run: str | None) -> Manifest:
    """A run by its name, or the newest whole one.

    Raises:
        OpsError: There is none; the message says how to make or find one.
        BackupError: The storage refuses or does not answer.
    """
    if run is None:
        found = newest(store, kind)
        if found is None:
            raise OpsError(f"no {kind} backup is stored: `ops backup run {kind}` makes one")
        return found
    try:
        manifest.run_time(run)
    except ValueError:
        raise OpsError(
            f"--run is {run!r}, must be a start in UTC such as 20261125T150405Z: `ops backup list`"
        ) from None
    return restore.find(store, kind, run)


@dataclass(frozen=True, kw_only=True)
class Archived:
    """The archive of one topic.

    Attributes:
        topic: The topic.
        segments: Its segments, by partition and offset.
        bytes: Size of them all.
        newest: When the newest of them was stored.
        lives: Kafka's ids of the topic: more than one when it was made again.
        missing: Records between two segments of one partition that follow each other.
    """

    topic: str
    segments: Sequence[names.Name]
    bytes: int
    newest: datetime
    lives: Sequence[str] = ()
    missing: int = 0

    @property
    def partitions(self) -> int:
        """Number of partitions that have segments."""
        return len({each.partition for each in self.segments})

    @property
    def offsets(self) -> int:
        """Offsets that the segments cover, doubled ones once."""
        return sum(
            _covered([each for each in self.segments if (each.topic_id, each.partition) == place])
            for place in {(each.topic_id, each.partition) for each in self.segments}
        )


def archived(store: Store, topic: str | None = None) -> list[Archived]:
    """The archive by topic, from one listing.

    Raises:
        BackupError: The storage refuses or does not answer.
    """
    below = names.folder(topic) if topic else names.FOLDER
    found = [(name, each) for each in store.objects(below) if (name := names.parse(each.name)) is not None]
    made = []
    for each, group in groupby(sorted(found, key=lambda pair: pair[0]), key=lambda pair: pair[0].topic):
        held = list(group)
        segments = [name for name, _ in held]
        made.append(
            Archived(
                topic=each,
                segments=tuple(segments),
                bytes=sum(stored.bytes for _, stored in held),
                newest=max(stored.written for _, stored in held),
                lives=tuple(sorted({name.topic_id for name in segments})),
                missing=missing(segments),
            )
        )
    return made


def missing(segments: Sequence[names.Name]) -> int:
    """Offsets between segments that no segment covers; those before the first one have been given up by retention."""
    total = 0
    order = sorted(segments, key=lambda each: (each.topic_id, each.partition, each.first))
    for _, group in groupby(order, key=lambda each: (each.topic_id, each.partition)):
        held = list(group)
        total += max(each.last for each in held) + 1 - held[0].first - _covered(held)
    return total


def _covered(held: Sequence[names.Name]) -> int:
    covered, reached = 0, -1
    for each in sorted(held, key=lambda one: one.first):
        if each.last > reached:
            covered += each.last - max(each.first, reached + 1) + 1
            reached = each.last
    return covered


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """Blocks of metrics of one Prometheus.

    Attributes:
        labels: Its external labels.
        blocks: How many blocks of raw samples.
        bytes: Size of them.
        samples: Samples that they hold.
        start, end: Time from the first to the last.
    """

    labels: Mapping[str, str]
    blocks: int
    bytes: int
    samples: int
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """Name of the replica, else all of its labels."""
        return self.labels.get("prometheus_replica") or ",".join(f"{k}={v}" for k, v in sorted(self.labels.items()))


def shipped(store: Store) -> list[Shipped]:
    """Blocks by Prometheus.

    Args:
        store: The bucket, below the prefix of the metrics.

    Raises:
        BackupError: A block is not whole, or the storage refuses or does not answer.
    """
    by_labels: dict[tuple[tuple[str, str], ...], list[restore_metrics.Block]] = {}
    for each in restore_metrics.blocks(store):
        if not each.resolution_ms:
            by_labels.setdefault(tuple(sorted(each.labels.items())), []).append(each)
    return [
        Shipped(
            labels=dict(labels),
            blocks=len(held),
            bytes=sum(each.bytes for each in held),
            samples=sum(each.samples for each in held),
            start=_moment(min(each.start_ms for each in held)),
            end=_moment(max(each.end_ms for each in held)),
        )
        for labels, held in sorted(by_labels.items())
    ]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
