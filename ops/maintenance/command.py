"""The commands: ``daily``, ``weekly``, ``monthly`` and ``list``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ops.alerts.silences import duration
from ops.backups.options import IDENTITY
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import one_line
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.maintenance import record
from ops.maintenance.checks import OWN, checks, chosen
from ops.maintenance.model import Maintenance, Period
from ops.maintenance.run import run, tools_of

FOLDER = Path("maintenance")
_SHOWN = 160
_LONGEST_SILENCE = "90d"

maintain_app = typer.Typer(
    help="Daily, weekly and monthly maintenance: looks at everything, writes a record, fails when something must be "
    "done.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the record is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Only = Annotated[str | None, typer.Option("--only", metavar="ID,ID", help="Only these checks; `list` lists them.")]
Silences = Annotated[str, typer.Option("--silences", metavar="AGE", help="How old a silence may be.")]
IdentityFile = Annotated[
    Path | None,
    typer.Option("--identity", metavar="FILE", envvar=IDENTITY, help="age identity: backups are opened, too."),
]


@maintain_app.command()
def daily(folder: Folder = FOLDER, as_json: AsJson = False, only: Only = None) -> None:
    """Health, alerts, dashboards, backups that were due."""
    _maintain(Period.DAILY, folder, as_json, only, "7d", None)


@maintain_app.command()
def weekly(
    folder: Folder = FOLDER,
    as_json: AsJson = False,
    only: Only = None,
    silences: Silences = "7d",
    identity: IdentityFile = None,
) -> None:
    """What is daily; disks, retention, certificates, silences, every panel, backups that are whole."""
    _maintain(Period.WEEKLY, folder, as_json, only, silences, identity)


@maintain_app.command()
def monthly(
    folder: Folder = FOLDER,
    as_json: AsJson = False,
    only: Only = None,
    silences: Silences = "7d",
    identity: IdentityFile = None,
) -> None:
    """What is weekly; drills of restore and failover, performance, versions."""
    _maintain(Period.MONTHLY, folder, as_json, only, silences, identity)


@maintain_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show what is looked at; nothing is asked."""
    if as_json:
        listed = [{"period": str(period), **check.as_json()} for period, own in OWN.items() for check in own]
        typer.echo(json.dumps({"checks": listed}, indent=2))
        return
    table = Table("id", "from", "what must hold", "limit", "query")
    for period, own in OWN.items():
        for check in own:
            table.add_row(check.id, str(period), Text(check.what), Text(check.limit), Text(check.query))
    Console().print(table)


def _maintain(
    period: Period, folder: Path, as_json: bool, only: str | None, silences: str, identity: Path | None
) -> None:
    wanted, age = chosen(checks(period), only), duration(silences, "--silences", _LONGEST_SILENCE)
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context, _progress() as progress:
        task = progress.add_task(str(period), total=len(wanted))

        def looked(identifier: str) -> None:
            progress.update(task, advance=1, description=f"looked at {identifier}")

        done = run(period, wanted, tools_of(context, silence_age=age, identity=identity), looked)
    written = record.write(done, folder)
    if as_json:
        typer.echo(json.dumps(record.as_json(done), indent=2, ensure_ascii=False))
    else:
        _print(done)
    typer.echo(f"record: {', '.join(map(str, written))}", err=True)
    raise typer.Exit(int(bool(done.failed)))


def _print(done: Maintenance) -> None:
    table = Table("", "check", "figure", "limit", "seen", title=f"{done.period.value.capitalize()} maintenance")
    for result in done.results:
        state = Text("ok", style="green") if result.good else Text("failed", style="bold red")
        seen = one_line(result.row.evidence, _SHOWN) if result.good and result.row.evidence else result.row.evidence
        table.add_row(state, result.check.id, Text(result.row.figure), Text(result.check.limit), Text(seen))
    console = Console()
    console.print(table)
    for failure in done.failed:
        console.print(Text(f"{failure.check.id}: {failure.check.remediation}", style="bold"))
    console.print(f"{len(done.results) - len(done.failed)} of {len(done.results)} checks good")


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
