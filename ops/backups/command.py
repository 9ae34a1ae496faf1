"""The commands: ``list``, ``run``, ``verify``, and ``restore`` with a command for each kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ops.backups import jobs, pulumi_state, runs, show
from ops.backups.command_restore import restore_app
from ops.backups.options import (
    AccessFile,
    AsJson,
    IdentityFile,
    Kind,
    RunName,
    access,
    connected,
    scratch,
    tell,
    working,
)
from ops.backups.runs import Archived, Runs, Shipped
from ops.backups.storage import errors, identities, opened
from ops.backups.verify import Proof, archive, prove
from ops.core.backup_access import BackupAccess
from ops.core.errors import OpsError

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
    stored_runs, topics, metrics = _stored(reached, kind, last)
    if as_json:
        typer.echo(json.dumps(show.listing(stored_runs, topics, metrics), indent=2, ensure_ascii=False))
        return
    console, now = Console(), datetime.now(UTC)
    if stored_runs:
        console.print(show.runs_table(stored_runs, reached.zone, now))
    for kind_runs in stored_runs:
        if not kind_runs.whole:
            console.print(Text(f"{kind_runs.kind}: none is stored", style="bold red"))
        if kind_runs.torn:
            console.print(Text(f"{kind_runs.kind}: not whole (yet): {', '.join(kind_runs.torn)}", style="yellow"))
    if kind in (None, Kind.ARCHIVE):
        console.print(show.archive_table(topics, now))
    if kind in (None, Kind.METRICS):
        console.print(show.metrics_table(metrics, reached.zone, now))


@backup_app.command()
def run(kind: Annotated[Kind, typer.Argument(metavar="KIND", help="What is to be backed up.")]) -> None:
    """Make a backup now: starts the job in the cluster and waits for its end; pulumi-state is made from here."""
    if kind in (Kind.ARCHIVE, Kind.METRICS):
        raise OpsError(f"{kind} goes on all the time and has no runs: `ops backup list --kind {kind}`")
    with connected() as (context, reached), working(f"{kind}: starting") as progress:
        if kind is Kind.PULUMI_STATE:
            platform = context.platform
            with opened(reached) as store:
                manifest = pulumi_state.run(
                    store, reached.recipients, platform=platform.platform, region=platform.region
                )
            lines = [f"{kind} {manifest.run}: stored, {show.size(manifest.total_bytes)}, {show.counts(manifest)}"]
        else:
            lines = jobs.run(context.kube, kind.value, lambda text: tell(progress, text))
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
                    newest = runs.find(store, wanted_kind.value, run) if run else runs.newest(store, wanted_kind.value)
                    proofs.append(prove(store, newest, keys, folder) if newest else _nothing(wanted_kind))
    show.print_proofs(proofs, as_json)
    raise typer.Exit(int(not all(proof.good for proof in proofs)))


def _with_runs(reached: BackupAccess) -> list[Kind]:
    return [Kind(kind) for kind in runs.KINDS if kind != Kind.SEARCH or reached.search == "export"]


def _stored(reached: BackupAccess, kind: Kind | None, last: int) -> tuple[list[Runs], list[Archived], list[Shipped]]:
    wanted = [kind] if kind else [*_with_runs(reached), Kind.ARCHIVE, Kind.METRICS]
    with opened(reached) as store:
        stored_runs = [
            runs.runs(store, wanted_kind.value, last) for wanted_kind in wanted if wanted_kind.value in runs.KINDS
        ]
        topics = runs.archived(store) if Kind.ARCHIVE in wanted else []
    return stored_runs, topics, _metrics(reached) if Kind.METRICS in wanted else []


def _metrics(reached: BackupAccess) -> list[Shipped]:
    with opened(reached, reached.metrics_prefix) as store:
        return runs.shipped(store)


def _blocks(reached: BackupAccess) -> list[Proof]:
    """Blocks are not ours to open; listing them compares sizes with what each of them says of its files."""
    try:
        replicas = _metrics(reached)
    except OpsError as error:
        return [Proof(kind="metrics", run="-", objects=0, bytes=0, opened=False, problems=(str(error),))]
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
    ] or [_nothing(Kind.METRICS)]


def _nothing(kind: Kind) -> Proof:
    return Proof(kind=kind.value, run="-", objects=0, bytes=0, opened=False, problems=("nothing is stored",))
