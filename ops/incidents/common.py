"""Options and lines that all commands about incidents share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ops.incidents import response_clock
from ops.incidents.clients import Clients
from ops.incidents.i18n import Language, Texts
from ops.incidents.model import Incident
from ops.incidents.store import VARIABLE

CLOCK_STYLES = {"met": "green", "missed": "bold red", "overdue": "bold red", "running": "bold yellow"}

Folder = Annotated[Path, typer.Option("--folder", envvar=VARIABLE, help="Where incidents are kept.")]
By = Annotated[str | None, typer.Option("--by", help="Who you are; else the user of this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="Id of the incident, e.g. INC-20261124-01.")]


@contextmanager
def connected_clients() -> Iterator[Clients]:
    """The platform, as far as it can be reached."""
    clients = Clients()
    try:
        yield clients
    finally:
        clients.close()


def clock_line(incident: Incident, now: datetime) -> Text:
    """The clock on one line."""
    reading = response_clock.read(incident, now)
    values = {"elapsed": reading.elapsed, "difference": reading.difference}
    texts = Texts(Language.ENGLISH)
    said = texts(f"clock.{reading.state}", **values)
    return Text(f"first response within 15 min: {said}", style=CLOCK_STYLES[reading.state])


def row(incident: Incident, now: datetime) -> dict[str, Any]:
    """An incident for machines."""
    reading = response_clock.read(incident, now)
    return {
        "id": incident.id,
        "title": incident.title,
        "status": incident.state,
        "severity": incident.severity.value,
        "alert_id": incident.alert.alert_id,
        "layer": incident.alert.layer,
        "began": incident.alert.starts.isoformat(),
        "opened": incident.opened.isoformat(),
        "closed": incident.closed.isoformat() if incident.closed else None,
        "first_response": {
            "state": reading.state.value,
            "limit_s": response_clock.LIMIT.total_seconds(),
            "elapsed_s": reading.elapsed.total_seconds(),
        },
        "notes": len(incident.notes),
    }


def present() -> datetime:
    """Now."""
    return datetime.now(UTC)
