"""``ops maintain``: ``daily``, ``weekly``, ``monthly`` and ``list``; none of the checks stops the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from components.dashboards.registry import DASHBOARDS
from ops.backups.options import IDENTITY
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.files import write_report
from ops.core.kube import Kube
from ops.core.platform import Platform
from ops.core.prometheus_text import seconds_of_option
from ops.core.rows import Finding, Row, run_checks
from ops.core.terminal import Table
from ops.dashboards.command import CHECK_RANGE, query_client
from ops.dashboards.command import check as query_dashboards
from ops.dashboards.panel_queries import span
from ops.evidence import files as evidence
from ops.evidence import reading as done_work
from ops.evidence.reading import Drills
from ops.maintenance.checks import OWN, checks, chosen
from ops.maintenance.model import Check, Lazy, Maintenance, Period, Result, Tools


def tools_of(context: Context, *, silence_age: timedelta, identity: Path | None) -> Tools:
    """What the checks use."""
    return Tools(
        context=context,
        now=datetime.now(UTC),
        silence_age=silence_age,
        identity=identity,
        dashboards=Lazy(lambda: query_dashboards(query_client(context), DASHBOARDS, span(CHECK_RANGE))),
        drills=Drills.of(context.kube),
    )


def run(
    period: Period, checks: Sequence[Check], tools: Tools, progress: Callable[[str], None] = lambda _: None
) -> Maintenance:
    """Look at everything; the results are in the order of the checks."""
    began, commit = time.monotonic(), evidence.commit()

    def bound(check: Check) -> Callable[[Context], Finding]:
        return lambda _: check.run(tools)

    by_id = {check.id: check for check in checks}
    rows: dict[str, Row] = {}
    # Those that may take long come last, so that the others do not wait for a free place.
    for seconds in sorted({check.seconds for check in checks}):
        names = [check.id for check in checks if check.seconds == seconds]
        looks = {name: bound(by_id[name]) for name in names}
        rows |= {row.id: row for row in run_checks(names, looks, tools.context, lambda row: progress(row.id), seconds)}
    return Maintenance(
        period=period,
        platform=tools.context.platform.platform,
        region=tools.context.platform.region,
        started=tools.now,
        seconds=time.monotonic() - began,
        commit=commit,
        results=tuple(Result(check=check, row=rows[name]) for name, check in by_id.items()),
    )


def as_document(done: Maintenance) -> dict[str, Any]:
    """The record for machines."""
    return {
        "maintenance": str(done.period),
        "platform": done.platform,
        "region": done.region,
        "started": done.started.isoformat(timespec="seconds"),
        "seconds": round(done.seconds, 1),
        "commit": done.commit,
        "passed": not done.failed,
        "checks": [result.as_json() for result in done.results],
    }


def markdown(done: Maintenance) -> str:
    """The record for people: what needs somebody first, then every check."""
    total, failed = len(done.results), done.failed
    lines = [
        f"# {done.period.value.capitalize()} maintenance, {done.platform} ({done.region})",
        "",
        f"{done.started:%Y-%m-%d %H:%M} UTC, {done.seconds:.0f} s, commit {done.commit}: "
        f"{total - len(failed)} of {total} checks good.",
        "",
    ]
    if failed:
        lines += ["## To do", ""]
        lines += [_task(result) for result in failed] + [""]
    lines += ["## All checks", "", "| check | result | figure | limit | what must hold |", "|---|---|---|---|---|"]
    lines += [_line(result) for result in done.results]
    details = [result for result in done.results if result.good and result.row.evidence]
    if details:
        lines += ["", "## Seen", ""] + [f"- **{detail.check.id}**: {_plain(detail.row.evidence)}" for detail in details]
    return "\n".join(lines) + "\n"


def _task(result: Result) -> str:
    check, seen = result.check, _plain(result.row.evidence or result.row.figure)
    return f"- [ ] **{check.id}**, {check.what}: {seen}. Limit: {check.limit}. What to do: {check.remediation}."


def _line(result: Result) -> str:
    check = result.check
    cells = (check.id, "ok" if result.good else "**failed**", result.row.figure or "-", check.limit, check.what)
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone as far as it matters: angle brackets would be tags."""
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def write(done: Maintenance, folder: Path) -> tuple[Path, Path]:
    """Write both files, each whole or not at all.

    Raises:
        OpsError: The folder cannot be made, or a file cannot be written.
    """
    return write_report(folder, done.name, markdown(done), as_document(done))


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
    wanted = chosen(checks(period), only)
    age = timedelta(seconds=seconds_of_option("--silences", silences, longest=_LONGEST_SILENCE, example="30d"))
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context, _progress() as progress:
        task = progress.add_task(str(period), total=len(wanted))

        def looked(identifier: str) -> None:
            progress.update(task, advance=1, description=f"looked at {identifier}")

        done = run(period, wanted, tools_of(context, silence_age=age, identity=identity), looked)
    written = write(done, folder)
    if as_json:
        typer.echo(json.dumps(as_document(done), indent=2, ensure_ascii=False))
    else:
        _print(done)
    typer.echo(f"record: {', '.join(map(str, written))}", err=True)
    _store(platform, folder)
    raise typer.Exit(int(bool(done.failed)))


def _store(platform: Platform, folder: Path) -> None:
    """Store the records for monthly reports. Where that fails the run counts all the same, and its record is here."""
    if platform.backups is None:
        return
    try:
        with done_work.opened(platform.backups) as store:
            done_work.add(store, done_work.maintenance(folder, platform.platform, platform.region))
    except OpsError as error:
        typer.echo(f"not stored for monthly reports: {one_line(error)}: repeat with `ops report record`", err=True)


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
