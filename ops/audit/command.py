"""``ops audit``: the report, the proof that no record is missing, and the records themselves."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from ops.audit import cluster as cluster_module
from ops.audit.log import DAYS, Findings, findings, read, times
from ops.audit.report import content, document, paper
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.files import Lang
from ops.core.prometheus_text import seconds_of_option
from ops.core.terminal import Table
from services.audit import Source
from services.audit.records import AuditRecord, Outcome
from services.reports.render import html

_ZONE: Final = "Asia/Tokyo"

audit_app = typer.Typer(
    help="Who reached for what: the report, the proof that no record is missing, the records.", no_args_is_help=True
)

Since = Annotated[str, typer.Option(help=f"How far back, e.g. 30d; records are kept for {DAYS} days.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]


def _back(since: str) -> timedelta:
    return timedelta(seconds=seconds_of_option("--since", since, longest=f"{DAYS}d"))


@audit_app.command("report")
def report(
    since: Since = "30d",
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page that stands alone.")
    ] = None,
    pdf_file: Annotated[Path | None, typer.Option("--pdf", metavar="FILE", help="Write a PDF.")] = None,
    lang: Annotated[Lang, typer.Option("--lang", help="Language of page and PDF.")] = Lang.EN,
    zone: Annotated[str, typer.Option("--zone", help="Time zone of page and PDF.")] = _ZONE,
    as_json: AsJson = False,
) -> None:
    """Who came, refusals, changes of rights, reads of confidential traces, what is unusual or missing, clocks.

    Exit code 1 when a chain does not hold or records are missing.
    """
    if html_file is None and pdf_file is None and not as_json:
        raise OpsError("nothing to write: name a file with --html or --pdf, or print for machines with --json")
    back, now, place = _back(since), datetime.now(UTC), _zone(zone)
    pdf = paper() if pdf_file else None
    platform = platform_module.load()
    # Twice as far back: what is unusual is so beside what was before.
    seen = findings(read(platform, now - 2 * back), now - back, now, place)
    if as_json:
        typer.echo(json.dumps(content(seen), indent=2, ensure_ascii=False))
    pages = document(seen, f"{platform.platform} ({platform.region})", place)
    if html_file is not None:
        _write("--html", html_file, html(pages, lang.value).encode(), seen)
    if pdf_file is not None and pdf is not None:
        _write("--pdf", pdf_file, pdf(pages, lang.value), seen)
    raise typer.Exit(int(bool(seen.broken) or bool(seen.unreadable) or not seen.complete))


def _write(option: str, file: Path, page: bytes, seen: Findings) -> None:
    try:
        file.write_bytes(page)
    except OSError as error:
        raise OpsError(f"{option} {file}: {error.strerror or error}") from None
    typer.echo(f"{file}: {len(seen.people)} records, {len(seen.refused)} of them refusals", err=True)


@audit_app.command("check")
def check(since: Since = f"{DAYS}d", as_json: AsJson = False) -> None:
    """Prove that no record is missing or was changed, or name the places; exit code 1 when there are some."""
    log = read(platform_module.load(), datetime.now(UTC) - _back(since))
    seen = findings(log, datetime.min.replace(tzinfo=UTC), datetime.now(UTC), UTC)
    if as_json:
        told = content(seen)
        names = ("broken", "gaps", "unreadable", "complete")
        typer.echo(json.dumps({"records": len(log.records), **{name: told[name] for name in names}}, indent=2))
    else:
        for link in seen.broken:
            typer.echo(f"broken: {link.region} {link.day} number {link.sequence}: {link.problem}")
        for gap in seen.gaps:
            typer.echo(f"gap: {gap.time:%Y-%m-%d %H:%M:%S} {gap.target} {gap.part}: {gap.detail.get('reason', '')}")
        written = sorted(record.recorded_at for record, _ in log.records)
        ends = f" of {written[0]:%Y-%m-%d %H:%M:%S} to {written[-1]:%Y-%m-%d %H:%M:%S} UTC" if written else ""
        typer.echo(f"{len(log.records)} records{ends}; {len(seen.broken)} breaks, {len(seen.gaps)} gaps")
    if not log.records:
        raise OpsError("there is no record: does the audit log run? `ops verify M1` tells more")
    raise typer.Exit(int(bool(seen.broken) or bool(log.unreadable) or not log.complete))


@audit_app.command("list")
def list_(
    since: Since = "1h",
    who: Annotated[str, typer.Option(help="Only accesses of this name.")] = "",
    source: Annotated[Source | None, typer.Option(help="Only this source.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows, the newest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Records, newest last; exit code 1 when there is none."""
    log = read(platform_module.load(), datetime.now(UTC) - _back(since))
    records = [
        record
        for record in log.accesses
        if (not who or record.who == who)
        and (source is None or record.source is source)
        and (not refused or record.outcome is Outcome.REFUSED)
    ][-limit:]
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=2, ensure_ascii=False))
    else:
        Console().print(_table(records))
    raise typer.Exit(int(not records))


@audit_app.command("cluster")
def cluster(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go; made where it is not there.")],
    namespace: Annotated[str, typer.Option(help="The platform's namespace: `namespace` in the stack file.")],
    address: Annotated[
        str, typer.Option(help="Cluster IP of the audit log: `audit.cluster.address` in the stack file.")
    ],
) -> None:
    """Write what an API server needs to post its audit events, and print its flags; docs/audit.md says where they go.

    Token and certificate are made once: a folder that has them keeps them.
    """
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise OpsError(f"--address is {address!r}, must be an IP address") from None
    try:
        cluster_module.write(folder, namespace, address)
    except OSError as error:
        raise OpsError(f"{folder}: {error.strerror or error}") from None
    typer.echo("\n".join(cluster_module.flags("/etc/kubernetes/audit")))
    secret = folder / cluster_module.CREDENTIALS
    typer.echo(f"pulumi config set --secret observability:clusterAuditSecrets < {secret}", err=True)


_STYLES: Final = {Outcome.REFUSED: "red", Outcome.FAILED: "yellow"}


def _table(records: list[AuditRecord]) -> Table:
    table = Table("time (UTC)", "source", "who", "from", "action", "about", "outcome")
    for record in records:
        count = times(record)
        outcome = f"{record.outcome} {count} times" if count > 1 else str(record.outcome)
        cells = (f"{record.time:%m-%d %H:%M:%S}", record.source, record.who, record.origin, record.action)
        table.add_row(
            *map(Text, cells),
            Text(record.target, overflow="fold"),
            Text(outcome, style=_STYLES.get(record.outcome, "")),
        )
    return table


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):
        raise OpsError(f"--zone is {name!r}, must be a name such as {_ZONE}") from None
