"""``ops incident timeline`` and ``ops incident report``: what was seen, and the report of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from components.telemetry.classification import CLASSES
from ops.core.errors import OpsError, one_line
from ops.incidents import evidence
from ops.incidents.collect import SOURCES, collect, missing
from ops.incidents.common import AsJson, Folder, Identifier, clock_line, connected_clients, present, row
from ops.incidents.evidence import Evidence
from ops.incidents.i18n import Language, Texts
from ops.incidents.model import Incident
from ops.incidents.store import DEFAULT, Store
from ops.incidents.time_window import window
from ops.incidents.timefmt import TimeFormat, after, zone
from ops.incidents.timeline import Entry, entries

EVIDENCE = "evidence"
"""What is kept beside a record: ``<id>.evidence.json``."""

CLEARANCE = "internal"
"""Class of traces that a report may hold, unless another is asked for: a report is passed on."""

_SHOWN = 160

Zone = Annotated[str, typer.Option("--zone", help="Time zone of what is shown, e.g. Asia/Tokyo.")]
Offline = Annotated[bool, typer.Option("--offline", help="Only what was collected before; ask nobody.")]
Clearance = Annotated[str, typer.Option("--clearance", help=f"Most restricted class of traces: {', '.join(CLASSES)}.")]


def timeline(
    identifier: Identifier,
    offline: Offline = False,
    clearance: Clearance = CLEARANCE,
    zone_name: Zone = "UTC",
    folder: Folder = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show what happened, from all sources that answer."""
    now, store, time_format = present(), Store(folder), TimeFormat(zone(zone_name))
    incident = store.read(identifier)
    seen = _evidence(store, incident, now, offline=offline, clearance=clearance)[0]
    timeline_entries = entries(incident, seen)
    if as_json:
        content = {
            "incident": row(incident, now),
            "entries": [_entry(entry) for entry in timeline_entries],
            "not_collected": {name: source.problem for name, source in missing(seen)},
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    texts, start = Texts(Language.ENGLISH), incident.alert.starts
    table = Table(
        f"time ({time_format.name})", "after", "what", "text", "source", title=f"{incident.id}: {incident.title}"
    )
    for entry in timeline_entries:
        style = "bold" if entry.weight > 1 else ""
        what = Text(texts(f"event.{entry.kind}"), style=style)
        text = Text(one_line(entry.text, _SHOWN) if entry.text else "", overflow="fold")
        table.add_row(
            time_format.short(entry.at, start), after(entry.at, start), what, text, texts(f"from.{entry.source}")
        )
    console = Console()
    console.print(table)
    console.print(clock_line(incident, now))
    _tell_missing(seen)


def report(
    identifier: Identifier,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    lang: Annotated[Language, typer.Option(help="Language of the headings.")] = Language.BOTH,
    offline: Offline = False,
    clearance: Clearance = CLEARANCE,
    zone_name: Zone = "UTC",
    folder: Folder = DEFAULT,
) -> None:
    """Write the report: Markdown with its charts beside it, and one HTML page that holds everything."""
    # Here, since drawing is slow to load and no other command needs it.
    from ops.incidents.files import write
    from ops.incidents.parts import Parts
    from ops.incidents.report import document

    now, store, time_format = present(), Store(folder), TimeFormat(zone(zone_name))
    incident = store.read(identifier)
    seen, secrets = _evidence(store, incident, now, offline=offline, clearance=clearance)
    written = document(Parts(incident, seen, now, Texts(lang), time_format))
    for file in write(written, incident.id, out, secrets):
        typer.echo(str(file))
    _tell_missing(seen)


def _evidence(
    store: Store, incident: Incident, now: datetime, *, offline: bool, clearance: str
) -> tuple[Evidence, frozenset[str]]:
    """What can be seen of an incident now, or could be before, and the secrets that must not be in a text."""
    kept = evidence.load(store.kept(incident.id, EVIDENCE))
    if offline:
        if kept is None:
            raise OpsError(f"nothing was collected about {incident.id} yet: leave --offline out")
        return kept, frozenset()
    looked = window(incident, now)
    with connected_clients() as clients, _progress() as progress:
        task = progress.add_task("collect", total=len(SOURCES))

        def done(name: str) -> None:
            progress.update(task, advance=1, description=f"collected {name}")

        gathered = collect(clients, incident, looked, clearance=clearance, before=kept, done=done)
        secrets = clients.secrets()
    store.keep(incident.id, EVIDENCE, gathered)
    return gathered, secrets


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _tell_missing(seen: Evidence) -> None:
    for name, source in missing(seen):
        since = f", shown as of {source.collected:%Y-%m-%d %H:%M} UTC" if source.collected else ""
        typer.echo(f"not collected: {name}: {one_line(source.problem)}{since}", err=True)


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "text": entry.text,
        "source": entry.source,
        "phase": entry.phase.value if entry.phase else None,
    }
