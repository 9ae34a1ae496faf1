"""What is stored (runs by kind, the archive of Kafka by topic, blocks of metrics), and a backup's job run now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

from components.backups.component import workload_name
from components.backups.config import Kind
from components.shards import REPLICA_LABEL, SHARD_LABEL, server_name
from ops.core.errors import OpsError
from ops.core.jobs import start, wait
from ops.core.kube import Kube, wait_until
from services.backup import manifest, restore, restore_metrics
from services.backup.manifest import Manifest
from services.backup.signature import SIGNED_WITHIN
from services.backup.store import Store
from services.kafka_archive import segments as names

ARCHIVE, METRICS, PULUMI_STATE = "archive", "metrics", "pulumi-state"
KINDS = ("database", "grafana", "kafka-metadata", "search", PULUMI_STATE)
"""Kinds that consist of runs, in the order in which they are shown."""
LAST = 5


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of one kind.

    Attributes:
        kind: Which.
        whole: The newest whole runs, the newest one first.
        total: How many runs have a manifest.
        bytes: Size of everything of this kind.
        torn: Runs without a manifest that are newer than all that have one: under way, or given up.
        damaged: Run that is passed over -> why: its manifest cannot be read or is not signed, or an object is missing
            or of another size. Only those that are newer than the oldest of ``whole``.
        unsigned: Runs that are not restored and yet no problem: so new that they are signed soon, or of a release that
            signed nothing.
    """

    kind: str
    whole: Sequence[Manifest]
    total: int
    bytes: int
    torn: Sequence[str] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)
    unsigned: Sequence[str] = ()

    @property
    def newest(self) -> Manifest | None:
        """The newest whole run."""
        return self.whole[0] if self.whole else None

    @property
    def problems(self) -> list[str]:
        """A line for each damaged run."""
        return [f"{self.kind} {run} cannot be restored: {problem}" for run, problem in self.damaged.items()]


def runs(store: Store, kind: str, last: int = LAST) -> Runs:
    """The newest runs of a kind; what is damaged does not hide what is whole.

    Raises:
        BackupError: The storage refuses or does not answer.
    """
    all_runs = manifest.runs(store.objects(f"{kind}/"), kind)
    complete = [run for run in all_runs if run.complete]
    whole: list[Manifest] = []
    damaged: dict[str, str] = {}
    signed = {run.name for run in complete} if store.signers is None else restore.signatures(store, kind)
    unsigned = _no_problem([run for run in complete if run.name not in signed], complete, signed)
    for run in reversed(complete):
        if len(whole) == last:
            break
        if run.name in unsigned:
            continue
        seen = restore.look(store, run) if run.name in signed else restore.NOT_SIGNED
        if isinstance(seen, str):
            damaged[run.name] = seen
        else:
            whole.append(seen)
    return Runs(
        kind=kind,
        whole=tuple(whole),
        total=len(complete),
        bytes=sum(run.total_bytes for run in all_runs),
        torn=tuple(
            run.name for run in all_runs if not run.complete and (not complete or run.started > complete[-1].started)
        ),
        damaged=damaged,
        unsigned=unsigned,
    )


def _no_problem(lacking: Sequence[manifest.Run], complete: Sequence[manifest.Run], signed: set[str]) -> tuple[str, ...]:
    """Those of the runs without a signature that are to be signed soon, or of a release that signed nothing."""
    first = next((run.name for run in complete if run.name in signed), None)
    soon = datetime.now(UTC) - SIGNED_WITHIN
    return tuple(
        run.name
        for run in lacking
        if first is None or run.name < first or (run.stored is not None and run.stored > soon)
    )


def wait_signed(store: Store, kind: str) -> None:
    """Wait until the newest run of a kind is signed: before that it is not restored.

    Raises:
        OpsError: The backup exporter did not sign it in time.
    """
    names = [run.name for run in restore.kept(store, kind)]
    if names:
        what = f"the signature of {kind} {names[-1]} (the log of backup-exporter says why it is not signed)"
        wait_until(lambda: names[-1] in restore.signatures(store, kind), SIGNED_WITHIN.total_seconds(), what)


def find(store: Store, kind: str, run: str | None, passed_over: Callable[[str], None] = lambda _: None) -> Manifest:
    """A run by its name, or the newest whole one; ``passed_over`` gets a line for each newer one that is none.

    Raises:
        OpsError: There is none; the message says how to make or find one.
        BackupError: The storage refuses or does not answer.
    """
    if store.signers == ():
        raise OpsError(restore.NO_SIGNER)
    if run is None:
        held = runs(store, kind, last=1)
        for line in held.problems:
            passed_over(line)
        for name in held.unsigned if held.newest else ():
            if held.newest and name > held.newest.run:
                passed_over(f"{kind} {name} is not signed yet")
        if held.newest is None:
            raise OpsError(f"no {kind} backup is stored that can be restored: `ops backup run {kind}` makes one")
        return held.newest
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
        return len({segment.partition for segment in self.segments})

    @property
    def offsets(self) -> int:
        """Offsets that the segments cover, doubled ones once."""
        return sum(
            _covered([segment for segment in self.segments if (segment.topic_id, segment.partition) == place])
            for place in {(segment.topic_id, segment.partition) for segment in self.segments}
        )


def archived(store: Store, topic: str | None = None) -> list[Archived]:
    """The archive by topic, from one listing.

    Raises:
        BackupError: The storage refuses or does not answer.
    """
    below = names.folder(topic) if topic else names.FOLDER
    named_objects = [
        (name, stored_object)
        for stored_object in store.objects(below)
        if (name := names.parse(stored_object.name)) is not None
    ]
    archives = []
    for topic_name, group in groupby(sorted(named_objects, key=lambda pair: pair[0]), key=lambda pair: pair[0].topic):
        held = list(group)
        segments = [name for name, _ in held]
        archives.append(
            Archived(
                topic=topic_name,
                segments=tuple(segments),
                bytes=sum(stored.bytes for _, stored in held),
                newest=max(stored.written for _, stored in held),
                lives=tuple(sorted({name.topic_id for name in segments})),
                missing=missing(segments),
            )
        )
    return archives


def missing(segments: Sequence[names.Name]) -> int:
    """Offsets between segments that no segment covers; those before the first one have been given up by retention."""
    total = 0
    order = sorted(segments, key=lambda segment: (segment.topic_id, segment.partition, segment.first))
    for _, group in groupby(order, key=lambda segment: (segment.topic_id, segment.partition)):
        held = list(group)
        total += max(segment.last for segment in held) + 1 - held[0].first - _covered(held)
    return total


def _covered(held: Sequence[names.Name]) -> int:
    covered, reached = 0, -1
    for segment in sorted(held, key=lambda one: one.first):
        if segment.last > reached:
            covered += segment.last - max(segment.first, reached + 1) + 1
            reached = segment.last
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
        """Name of the server, else all of its labels; of a ruler ``rules of <replica>``."""
        replica, shard = self.labels.get(REPLICA_LABEL), self.labels.get(SHARD_LABEL, "0")
        if not replica:
            return ",".join(f"{k}={v}" for k, v in sorted(self.labels.items()))
        return server_name(replica, int(shard)) if shard.isdecimal() else f"{shard} of {replica}"


def shipped(store: Store, left_out: Callable[[str], None] | None = None) -> list[Shipped]:
    """Blocks by Prometheus.

    Args:
        store: The bucket, below the prefix of the metrics.
        left_out: Gets what is wrong with each damaged block, which is left out; None: the first one is an error.

    Raises:
        BackupError: A block is damaged and nobody is told, or the storage refuses or does not answer.
    """
    by_labels: dict[tuple[tuple[str, str], ...], list[restore_metrics.Block]] = {}
    for block in restore_metrics.blocks(store, left_out):
        if not block.resolution_ms:
            by_labels.setdefault(tuple(sorted(block.labels.items())), []).append(block)
    return [
        Shipped(
            labels=dict(labels),
            blocks=len(held),
            bytes=sum(block.bytes for block in held),
            samples=sum(block.samples for block in held),
            start=_moment(min(block.start_ms for block in held)),
            end=_moment(max(block.end_ms for block in held)),
        )
        for labels, held in sorted(by_labels.items())
    ]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def run(kube: Kube, kind: str, tell: Callable[[str], None]) -> list[str]:
    """Start the job of a kind and wait for its end; the last lines that it wrote.

    Raises:
        OpsError: The stack has no such job, one is under way, it failed, or did not end in the time that it has.
    """
    started = start(kube, workload_name(Kind(kind)), "does the stack make backups?")
    tell(f"{started.name}: started")
    return wait(kube, started, tell)
