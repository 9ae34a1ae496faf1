"""``ops privacy find`` and ``ops privacy erase``: one subject's pseudonym in every store.

Exit codes: 0 done, 1 something that could be removed is left (erase), or nothing was found (find), 2 it cannot run.
"""

from __future__ import annotations

import getpass
import json
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ops.backups.options import IdentityFile, identities
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.privacy import platform as stores
from ops.privacy.record import PrivacyRecord, masking_key, pseudonym_of, subject_id
from ops.privacy.stores import Days

privacy_app = typer.Typer(
    help="What the platform holds about one person or device, and its removal.", no_args_is_help=True
)

Subject = Annotated[
    str, typer.Option("--subject", metavar="ID", help="The id as clients send it; - asks for it, and shows it nowhere.")
]
Reference = Annotated[str, typer.Option("--reference", help="Your case, for the record.")]
RecordFile = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Where the record is written; else standard output.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day that is read of the archive.")]
LastDay = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day that is read of the archive.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record for machines.")]


@privacy_app.command()
def find(
    subject: Subject,
    archive_from: Day = None,
    archive_to: LastDay = None,
    identity: IdentityFile = None,
    reference: Reference = "",
    record: RecordFile = None,
    as_json: AsJson = False,
) -> None:
    """Find what is held about a subject; nothing is changed."""
    scan = _scan(archive_from, archive_to, identity)
    written = _run("find", subject, scan, reference, remove=False)
    _tell(written, record, as_json)
    raise typer.Exit(0 if any(holding.matches for holding in written.holdings) else 1)


@privacy_app.command()
def erase(
    subject: Subject,
    archive_from: Day = None,
    archive_to: LastDay = None,
    identity: IdentityFile = None,
    reference: Reference = "",
    record: RecordFile = None,
    as_json: AsJson = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is said what would be removed.")
    ] = False,
) -> None:
    """Remove what is held about a subject, where a store can; what is left is named with its end."""
    scan = _scan(archive_from, archive_to, identity)
    written = _run("erase", subject, scan, reference, remove=yes)
    _tell(written, record, as_json)
    if not yes:
        typer.echo("nothing was removed: add --yes", err=True)
        raise typer.Exit(0)
    raise typer.Exit(1 if written.incomplete else 0)


def _scan(first: datetime | None, last: datetime | None, identity: Path | None) -> stores.Scan | None:
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise OpsError("--archive-from and --archive-to go together: name the first and the last day")
    return stores.Scan(days=Days(first=first.date(), last=last.date()), identities=identities(identity))


def _run(action: str, subject: str, scan: stores.Scan | None, reference: str, *, remove: bool) -> PrivacyRecord:
    plain = subject_id(subject)
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context:
        pseudonym = pseudonym_of(plain, masking_key(context.kube))
        holdings = stores.holdings(
            context, pseudonym, erase=remove, scan=scan, told=lambda text: typer.echo(f"{action}: {text}", err=True)
        )
    return PrivacyRecord(
        action=action,
        dry_run=not remove,
        operator=f"{getpass.getuser()}@{socket.gethostname()}",
        reference=reference,
        platform=platform.platform,
        region=platform.region,
        pseudonym=pseudonym,
        time=datetime.now(UTC),
        holdings=holdings,
    )


def _tell(written: PrivacyRecord, file: Path | None, as_json: bool) -> None:
    if file is not None:
        written.write(file)
        typer.echo(f"record: {file}", err=True)
    if as_json or (file is None and not sys.stdout.isatty()):
        typer.echo(json.dumps(written.as_json(), indent=2, ensure_ascii=False))
        return
    Console().print(table(written))
    for holding in written.remaining:
        until = f", at the latest until {holding.expires:%Y-%m-%d %H:%M} UTC" if holding.expires else ""
        held = "may hold something" if holding.left is None else f"keeps {holding.left}"
        typer.echo(f"{holding.store} ({holding.where}) {held}{until}{f': {holding.why}' if holding.why else ''}")


def table(written: PrivacyRecord) -> Table:
    """The record for people."""
    rows = Table("store", "where", "found", "removed", "left", "gone by (UTC)")
    for holding in written.holdings:
        rows.add_row(
            holding.store,
            Text(holding.where),
            "not looked" if holding.matches is None else str(holding.matches),
            str(holding.removed),
            "?" if holding.left is None else str(holding.left),
            f"{holding.expires:%Y-%m-%d %H:%M}" if holding.expires else "",
        )
    return rows
