"""The commands: ``list``, ``run``, ``verify``, and ``restore`` with a command for each kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ops.backup import jobs, pulumi_state, runs, show
from ops.backup.access import BackupAccess
from ops.backup.command_restore import restore_app
from ops.backup.options import (
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
from ops.backup.runs import Archived, Runs, Shipped
from ops.backup.storage import errors, identities, opened
from ops.backup.verify import Proof, archive, prove
from ops.errors import OpsError

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
    found, topics, metrics = _stored(reached, kind, last)
    if as_json:
        typer.echo(json.dumps(show.listing(found, topics, metrics), indent=2, ensure_ascii=False))
        return
    console, now = Console(), datetime.now(UTC)
    if found:
        console.print(show.runs_table(found, reached.zone, now))
    for each in found:
        if not each.whole:
            console.print(Text(f"{each.kind}: none is stored", style="bold red"))
        if each.torn:
            console.print(Text(f"{each.kind}: not whole (yet): {', '.join(each.torn)}", style="yellow"))
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
                made = pulumi_state.run(store, reached.recipients, platform=platform.platform, region=platform.region)
            lines = [f"{kind} {made.run}: stored, {show.size(made.total_bytes)}, {show.counts(made)}"]
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
        for each in wanted:
            tell(progress, f"verifying {each}")
            if each is Kind.ARCHIVE:
                found = runs.archived(store)
                proofs += [archive(store, one, keys) for one in found] or [_nothing(each)]
            elif each is Kind.METRICS:
                proofs += _blocks(reached)
            else:
                with scratch() as folder, errors():
                    newest = runs.find(store, each.value, run) if run else runs.newest(store, each.value)
                    proofs.append(prove(store, newest, keys, folder) if newest else _nothing(each))
    show.print_proofs(proofs, as_json)
    raise typer.Exit(int(not all(each.good for each in proofs)))


def _with_runs(reached: BackupAccess) -> list[Kind]:
    return [Kind(each) for each in runs.KINDS if each != Kind.SEARCH or reached.search == "export"]


def _stored(reached: BackupAccess, kind: Kind | None, last: int) -> tuple[list[Runs], list[Archived], list[Shipped]]:
    wanted = [kind] if kind else [*_with_runs(reached), Kind.ARCHIVE, Kind.METRICS]
    with opened(reached) as store:
        found = [runs.runs(store, each.value, last) for each in wanted if each.value in runs.KINDS]
        topics = runs.archived(store) if Kind.ARCHIVE in wanted else []
    return found, topics, _metrics(reached) if Kind.METRICS in wanted else []


def _metrics(reached: BackupAccess) -> list[Shipped]:
    with opened(reached, reached.metrics_prefix) as store:
        return runs.shipped(store)


def _blocks(reached: BackupAccess) -> list[Proof]:
    """Blocks are not ours to open; listing them compares sizes with what each of them says of its files."""
    try:
        found = _metrics(reached)
    except OpsError as error:
        return [Proof(kind="metrics", run="-", objects=0, bytes=0, opened=False, problems=(str(error),))]
    return [
        Proof(
            kind=f"metrics of {each.name}",
            run=f"{each.blocks} blocks",
            objects=each.blocks,
            bytes=each.bytes,
            opened=False,
            seen=(f"{each.samples:,} samples from {each.start:%Y-%m-%dT%H:%MZ} to {each.end:%Y-%m-%dT%H:%MZ}",),
        )
        for each in found
    ] or [_nothing(Kind.METRICS)]


def _nothing(kind: Kind) -> Proof:
    return Proof(kind=kind.value, run="-", objects=0, bytes=0, opened=False, problems=("nothing is stored",))
