"""The commands ``list``, ``run``, ``verify`` and ``restore``, and what they show: tables for
people, JSON for machines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.alerts.silences import span
from ops.backups import pulumi_state, runs
from ops.backups.command_restore import restore_app
from ops.backups.options import (
    AccessFile,
    AsJson,
    IdentityFile,
    Kind,
    RunName,
    access,
    connected,
    errors,
    identities,
    opened,
    scratch,
    tell,
    working,
)
from ops.backups.runs import Archived, Runs, Shipped
from ops.backups.verify import Proof, archive, prove
from ops.core.access import BackupAccess
from ops.core.errors import OpsError
from services.backup.encryption import Identity
from services.backup.manifest import Manifest
from services.backup.store import Store

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def listing(runs: Sequence[Runs], topics: Sequence[Archived], metrics: Sequence[Shipped]) -> dict[str, Any]:
    """Everything that is stored, for machines."""
    return {
        "runs": [_run(manifest) for kind_runs in runs for manifest in kind_runs.whole],
        "kinds": [
            {
                "kind": kind_runs.kind,
                "runs": kind_runs.total,
                "bytes": kind_runs.bytes,
                "not_whole": list(kind_runs.torn),
                "damaged": dict(kind_runs.damaged),
                "unsigned": list(kind_runs.unsigned),
            }
            for kind_runs in runs
        ],
        "archive": [
            {
                "topic": topic.topic,
                "partitions": topic.partitions,
                "segments": len(topic.segments),
                "bytes": topic.bytes,
                "offsets": topic.offsets,
                "missing": topic.missing,
                "newest_stored_at": topic.newest.isoformat(),
                "topic_ids": list(topic.lives),
            }
            for topic in topics
        ],
        "metrics": [
            {
                "labels": dict(metric.labels),
                "blocks": metric.blocks,
                "bytes": metric.bytes,
                "samples": metric.samples,
                "start": metric.start.isoformat(),
                "end": metric.end.isoformat(),
            }
            for metric in metrics
        ],
    }


def _run(manifest: Manifest) -> dict[str, Any]:
    return {
        "kind": manifest.kind,
        "run": manifest.run,
        "started": manifest.started.isoformat(),
        "seconds": manifest.duration_s,
        "bytes": manifest.total_bytes,
        "objects": len(manifest.objects),
        "program": manifest.program,
        "recipients": list(manifest.recipients),
        "counts": dict(manifest.counts),
    }


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def counts(manifest: Manifest) -> str:
    """What a run holds, in few words."""
    top = [f"{name} {number:,}" for name, number in manifest.counts.items()]
    return ", ".join(top) if len(top) <= 3 else f"{len(top)} counts, {sum(manifest.counts.values()):,} in all"


def runs_table(runs: Sequence[Runs], zone: ZoneInfo, now: datetime) -> Table:
    """Runs by kind, the newest first."""
    table = Table("kind", "run", "age", f"started ({zone.key})", "took", "size", "objects", "made by", "counts")
    for kind_runs in runs:
        for manifest in kind_runs.whole:
            table.add_row(
                manifest.kind,
                manifest.run,
                span(now - manifest.started),
                f"{manifest.started.astimezone(zone):%Y-%m-%d %H:%M}",
                f"{manifest.duration_s:.0f} s",
                size(manifest.total_bytes),
                str(len(manifest.objects)),
                Text(manifest.program),
                Text(counts(manifest)),
            )
        if kind_runs.total > len(kind_runs.whole):
            table.add_row(
                kind_runs.kind,
                f"and {kind_runs.total - len(kind_runs.whole)} more",
                "",
                "",
                "",
                size(kind_runs.bytes) + " in all",
            )
    return table


def archive_table(topics: Sequence[Archived], now: datetime) -> Table:
    """The archive by topic."""
    table = Table("topic", "partitions", "segments", "size", "offsets", "missing", "newest", title="Archive of Kafka")
    for topic in topics:
        table.add_row(
            topic.topic,
            str(topic.partitions),
            str(len(topic.segments)),
            size(topic.bytes),
            f"{topic.offsets:,}",
            Text(str(topic.missing), style="bold red" if topic.missing else ""),
            f"{span(now - topic.newest)} ago",
        )
    return table


def metrics_table(metrics: Sequence[Shipped], zone: ZoneInfo, now: datetime) -> Table:
    """Blocks by Prometheus."""
    table = Table("Prometheus", "blocks", "size", "samples", f"from ({zone.key})", "to", "age", title="Metrics")
    for metric in metrics:
        table.add_row(
            metric.name,
            str(metric.blocks),
            size(metric.bytes),
            f"{metric.samples:,}",
            f"{metric.start.astimezone(zone):%Y-%m-%d %H:%M}",
            f"{metric.end.astimezone(zone):%Y-%m-%d %H:%M}",
            span(now - metric.end),
        )
    return table


def print_proofs(proofs: Sequence[Proof], as_json: bool) -> None:
    """Print proofs to standard output."""
    if as_json:
        rows = [
            {
                "kind": proof.kind,
                "run": proof.run,
                "good": proof.good,
                "opened": proof.opened,
                "objects": proof.objects,
                "bytes": proof.bytes,
                "seen": list(proof.seen),
                "problems": list(proof.problems),
            }
            for proof in proofs
        ]
        typer.echo(json.dumps({"proofs": rows}, indent=2, ensure_ascii=False))
        return
    table = Table("", "kind", "run", "objects", "size", "seen", title="Backups")
    for proof in proofs:
        state = Text("ok", style="green") if proof.good else Text("bad", style="bold red")
        told = "; ".join(proof.problems or proof.seen)
        table.add_row(state, proof.kind, proof.run, str(proof.objects), size(proof.bytes), Text(told))
    Console().print(table)


backup_app = typer.Typer(
    help="Backups: what is stored, a run now, a proof that it can be read, restores.", no_args_is_help=True
)
backup_app.add_typer(restore_app, name="restore")
KindOption = Annotated[Kind | None, typer.Option("--kind", help="Only this kind.")]


@backup_app.command("list")
def list_(
    kind: KindOption = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="Newest runs of each kind.")] = runs.LAST,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """List what is stored: runs, the archive of Kafka by topic, blocks of metrics."""
    reached = access(access_file)
    damaged: list[str] = []
    stored_runs, topics, metrics = _stored(reached, kind, last, damaged.append)
    if as_json:
        document = {**listing(stored_runs, topics, metrics), "damaged_blocks": damaged}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    console, now = Console(), datetime.now(UTC)
    if stored_runs:
        console.print(runs_table(stored_runs, reached.zone, now))
    for kind_runs in stored_runs:
        if not kind_runs.whole:
            console.print(Text(f"{kind_runs.kind}: none is stored", style="bold red"))
        for problem in kind_runs.problems:
            console.print(Text(problem, style="bold red"), soft_wrap=True)
        if kind_runs.unsigned:
            told = f"{kind_runs.kind}: not signed (yet), not restored: {', '.join(kind_runs.unsigned)}"
            console.print(Text(told, style="yellow"), soft_wrap=True)
        if kind_runs.torn:
            console.print(Text(f"{kind_runs.kind}: not whole (yet): {', '.join(kind_runs.torn)}", style="yellow"))
    if kind in (None, Kind.ARCHIVE):
        console.print(archive_table(topics, now))
    if kind in (None, Kind.METRICS):
        console.print(metrics_table(metrics, reached.zone, now))
    for problem in damaged:
        console.print(Text(f"damaged block: {problem}", style="bold red"), soft_wrap=True)


@backup_app.command()
def run(kind: Annotated[Kind, typer.Argument(metavar="KIND", help="What is to be backed up.")]) -> None:
    """Make a backup now: starts the job in the cluster, waits for its end and its signature.

    pulumi-state is made from here.
    """
    if kind in (Kind.ARCHIVE, Kind.METRICS):
        raise OpsError(f"{kind} goes on all the time and has no runs: `ops backup list --kind {kind}`")
    with (
        connected() as (context, reached),
        opened(reached) as store,
        working(f"{kind}: starting") as progress,
    ):
        if kind is Kind.PULUMI_STATE:
            platform, seal_key = context.platform, reached.state_seal_key
            manifest = pulumi_state.run(
                store,
                reached.recipients,
                platform=platform.platform,
                region=platform.region,
                seal_key=seal_key.get_secret_value() if seal_key else None,
            )
            lines = [f"{kind} {manifest.run}: stored, {size(manifest.total_bytes)}, {counts(manifest)}"]
        else:
            lines = runs.run(context.kube, kind.value, lambda text: tell(progress, text))
        if reached.signing_keys:
            tell(progress, f"{kind}: waiting for its signature")
            runs.wait_signed(store, kind.value)
            lines = [*lines, f"{kind}: signed"]
    for line in lines:
        typer.echo(line)


@backup_app.command()
def verify(
    kind: KindOption = None,
    run: RunName = None,
    identity: IdentityFile = None,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Download, compare checksums, decrypt and count the newest run of each kind; exit code 1 when one cannot be used.

    Nothing that is decrypted is printed, and it is removed at the end.
    """
    keys, reached = identities(identity), access(access_file)
    if run and (kind is None or kind in (Kind.ARCHIVE, Kind.METRICS)):
        raise OpsError("--run is a run of one kind: name it with --kind")
    wanted = [kind] if kind else [*_with_runs(reached), Kind.ARCHIVE, Kind.METRICS]
    proofs: list[Proof] = []
    with opened(reached) as store, working("verifying") as progress:
        for wanted_kind in wanted:
            tell(progress, f"verifying {wanted_kind}")
            if wanted_kind is Kind.ARCHIVE:
                archives = runs.archived(store)
                proofs += [archive(store, one, keys) for one in archives] or [_nothing(wanted_kind)]
            elif wanted_kind is Kind.METRICS:
                proofs += _blocks(reached)
            else:
                with scratch() as folder, errors():
                    proofs += _runs(store, wanted_kind, run, keys, folder)
    print_proofs(proofs, as_json)
    raise typer.Exit(int(not all(proof.good for proof in proofs)))


def _runs(store: Store, kind: Kind, run: str | None, keys: Sequence[Identity], folder: Path) -> list[Proof]:
    """Proofs of one run, else of the newest whole one and of those that are newer and damaged."""
    if run:
        return [prove(store, runs.find(store, kind.value, run), keys, folder)]
    held = runs.runs(store, kind.value, last=1)
    damaged = [
        Proof(kind=kind.value, run=name, objects=0, bytes=0, opened=False, problems=(problem,))
        for name, problem in held.damaged.items()
    ]
    return [*damaged, prove(store, held.newest, keys, folder) if held.newest else _nothing(kind)]


def _with_runs(reached: BackupAccess) -> list[Kind]:
    return [Kind(kind) for kind in runs.KINDS if kind != Kind.SEARCH or reached.search == "export"]


def _stored(
    reached: BackupAccess, kind: Kind | None, last: int, damaged: Callable[[str], None]
) -> tuple[list[Runs], list[Archived], list[Shipped]]:
    wanted = [kind] if kind else [*_with_runs(reached), Kind.ARCHIVE, Kind.METRICS]
    with opened(reached) as store:
        stored_runs = [
            runs.runs(store, wanted_kind.value, last) for wanted_kind in wanted if wanted_kind.value in runs.KINDS
        ]
        topics = runs.archived(store) if Kind.ARCHIVE in wanted else []
    return stored_runs, topics, _metrics(reached, damaged) if Kind.METRICS in wanted else []


def _metrics(reached: BackupAccess, damaged: Callable[[str], None]) -> list[Shipped]:
    with opened(reached, reached.metrics_prefix) as store:
        return runs.shipped(store, damaged)


def _blocks(reached: BackupAccess) -> list[Proof]:
    """Blocks are not ours to open; listing them compares sizes with what each of them says of its files."""
    problems: list[str] = []
    try:
        replicas = _metrics(reached, problems.append)
    except OpsError as error:
        replicas, problems = [], [str(error)]
    bad = [
        Proof(kind="metrics", run="-", objects=0, bytes=0, opened=False, problems=(problem,)) for problem in problems
    ]
    return [*bad, *_shipped(replicas)] or [_nothing(Kind.METRICS)]


def _shipped(replicas: Sequence[Shipped]) -> list[Proof]:
    return [
        Proof(
            kind=f"metrics of {replica.name}",
            run=f"{replica.blocks} blocks",
            objects=replica.blocks,
            bytes=replica.bytes,
            opened=False,
            seen=(
                f"{replica.samples:,} samples from {replica.start:%Y-%m-%dT%H:%MZ} to {replica.end:%Y-%m-%dT%H:%MZ}",
            ),
        )
        for replica in replicas
    ]


def _nothing(kind: Kind) -> Proof:
    return Proof(kind=kind.value, run="-", objects=0, bytes=0, opened=False, problems=("nothing is stored",))
