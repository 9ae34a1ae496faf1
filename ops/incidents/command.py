"""``ops incident``: open one from an alert, write down what is done, see the timeline, write the report (M3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from components.rules import Severity
from components.telemetry.attributes import CLASSES
from ops.alerts.silences import author
from ops.core.errors import OpsError, one_line
from ops.core.terminal import Table
from ops.incidents import alerts, evidence
from ops.incidents.alerts import firing_alert, manual_alert, new
from ops.incidents.collect import SOURCES, Clients, collect, missing
from ops.incidents.document import Language, Texts
from ops.incidents.evidence import Entry, Evidence, entries
from ops.incidents.record import (
    DEFAULT,
    LIMIT,
    LONGEST_TEXT,
    VARIABLE,
    Incident,
    Note,
    Phase,
    Store,
    TimeFormat,
    after,
    moment,
    read_clock,
    span,
    valid,
    window,
    zone,
)
from ops.incidents.sources import permitted

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
    reading = read_clock(incident, now)
    values = {"elapsed": reading.elapsed, "difference": reading.difference}
    texts = Texts(Language.ENGLISH)
    said = texts(f"clock.{reading.state}", **values)
    return Text(f"first response within 15 min: {said}", style=CLOCK_STYLES[reading.state])


def row(incident: Incident, now: datetime) -> dict[str, Any]:
    """An incident for machines."""
    reading = read_clock(incident, now)
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
            "limit_s": LIMIT.total_seconds(),
            "elapsed_s": reading.elapsed.total_seconds(),
        },
        "notes": len(incident.notes),
    }


def present() -> datetime:
    """Now."""
    return datetime.now(UTC)


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
    from ops.incidents.document import write
    from ops.incidents.report import Parts, document

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
    if clearance not in ("", *CLASSES):
        raise OpsError(f"--clearance is {clearance!r}, must be one of {', '.join(CLASSES)}")
    kept = evidence.load(store.kept(incident.id, EVIDENCE))
    if offline:
        if kept is None:
            raise OpsError(f"nothing was collected about {incident.id} yet: leave --offline out")
        return permitted(kept, clearance), frozenset()
    looked = window(incident, now)
    with connected_clients() as clients, _progress() as progress:
        task = progress.add_task("collect", total=len(SOURCES))

        def done(name: str) -> None:
            progress.update(task, advance=1, description=f"collected {name}")

        gathered = collect(clients, incident, looked, clearance=clearance, before=kept, done=done)
        secrets = clients.secrets()
    store.keep(incident.id, EVIDENCE, gathered)
    return permitted(gathered, clearance), secrets


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
    texts = Texts(Language.ENGLISH)
    for name, source in seen.sources.items():
        if source.kept_since:
            kept = texts("kept", count=source.kept, time=f"{source.kept_since:%Y-%m-%d %H:%M} UTC")
            typer.echo(f"{name}: {kept}", err=True)


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "text": entry.text,
        "source": entry.source,
        "phase": entry.phase.value if entry.phase else None,
    }


_SEVERITIES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}

incident_app = typer.Typer(
    help="Incidents: a record with a 15-minute clock, a timeline from all sources, a report.", no_args_is_help=True
)


@incident_app.command("open")
def open_(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Identity (alert_id), its beginning, or the name.")],
    title: Annotated[str | None, typer.Option(help="What it is about; else the alert's summary.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Its priority; else the alert's.")] = None,
    at: Annotated[str | None, typer.Option(help="It fired then and may have ended: a time, or 2h (ago).")] = None,
    manual: Annotated[
        bool, typer.Option("--manual", help="Nothing can be asked: take ALERT, --at (else now), --layer as given.")
    ] = False,
    layer: Annotated[str, typer.Option(help="Layer that it is about (with --manual).")] = "",
    by: By = None,
    folder: Folder = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Open an incident about an alert; the clock of 15 minutes runs since the alert began to fire."""
    now, who = present(), author(by)
    if layer and not manual:
        raise OpsError("--layer belongs to --manual: else the alert tells its layer")
    begun = moment(at, "--at", now) if at else None
    with connected_clients() as clients:
        if manual:
            alert_record = manual_alert(alert, begun or now, layer, severity)
        elif begun:
            alert_record = alerts.past_alert(clients.kafka, alert, begun, now)
        else:
            alert_record = firing_alert(clients.alertmanager.alerts(), alert)
    with valid():
        incident = Store(folder).create(
            lambda identifier: new(identifier, alert_record, now, who, title, severity), now
        )
    if as_json:
        typer.echo(incident.model_dump_json(indent=2))
        return
    console = Console()
    console.print(Text(f"{incident.id}: {incident.title}", style="bold"))
    console.print(
        Text(f"{alert_record.alert_id}, {incident.severity}, since {alert_record.starts:%Y-%m-%d %H:%M:%S} UTC")
    )
    console.print(clock_line(incident, now))
    if runbook := alert_record.annotations.get("runbook_url"):
        console.print(Text(f"runbook: {runbook}"))
    typer.echo(f"when you begin: python -m ops incident note {incident.id} TEXT --first-response")


@incident_app.command("note")
def note(
    identifier: Identifier,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you saw or did; follow-up: what is to be done.")],
    phase: Annotated[Phase, typer.Option(help="Phase that it belongs to.")] = Phase.RESPOND,
    first_response: Annotated[bool, typer.Option("--first-response", help="It stops the clock.")] = False,
    cause: Annotated[bool, typer.Option("--cause", help="TEXT is the root cause; it replaces an earlier one.")] = False,
    at: Annotated[str | None, typer.Option(help="When it was: a time, or 5m (ago); else now.")] = None,
    owner: Annotated[str, typer.Option(help="Who does it (follow-up).")] = "",
    due: Annotated[str | None, typer.Option(help="Until when (follow-up), e.g. 2026-12-01.")] = None,
    by: By = None,
    folder: Folder = DEFAULT,
) -> None:
    """Write down what you saw or did."""
    now, who = present(), author(by)
    if not text.strip():
        raise OpsError("TEXT is empty: write what you saw or did")
    if len(text) > LONGEST_TEXT:
        raise OpsError(f"TEXT has {len(text)} characters, may have {LONGEST_TEXT}: write several notes")
    if (owner or due) and phase is not Phase.FOLLOW_UP:
        raise OpsError(f"--owner and --due belong to --phase {Phase.FOLLOW_UP}, not to {phase}")
    if (first_response or cause) and phase is Phase.FOLLOW_UP:
        raise OpsError(f"--first-response and --cause cannot be of --phase {Phase.FOLLOW_UP}: leave the phase out")
    with valid():
        new_note = Note(
            at=moment(at, "--at", now) if at else now,
            written=now,
            author=who,
            phase=Phase.DIAGNOSE if cause else phase,
            text=text.strip(),
            first_response=first_response,
            owner=owner,
            due=_day(due) if due else None,
        )

    def add(incident: Incident) -> Incident:
        if first_response and any(note.first_response for note in incident.notes):
            raise OpsError(f"{incident.id} has its first response already: leave --first-response out")
        cause_text = new_note.text if cause else incident.cause
        return incident.model_copy(update={"notes": (*incident.notes, new_note), "cause": cause_text})

    changed = Store(folder).change(identifier, add)
    Console().print(Text(f"{changed.id}: noted ({new_note.phase})"))
    if first_response:
        Console().print(clock_line(changed, now))


@incident_app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    folder: Folder = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show incidents, the newest first."""
    now = present()
    incidents, problems = Store(folder).all()
    shown = [incident for incident in incidents if everything or incident.closed is None]
    if as_json:
        typer.echo(json.dumps({"incidents": [row(incident, now) for incident in shown]}, indent=2, ensure_ascii=False))
    elif shown:
        table = Table("id", "status", "priority", "began (UTC)", "first response", "title")
        for incident in shown:
            reading = read_clock(incident, now)
            table.add_row(
                incident.id,
                incident.state,
                Text(incident.severity, style=_SEVERITIES[incident.severity]),
                f"{incident.alert.starts:%Y-%m-%d %H:%M}",
                Text(f"{reading.state}, {span(reading.elapsed)}", style=CLOCK_STYLES[reading.state]),
                Text(incident.title),
            )
        Console().print(table)
    else:
        typer.echo("no incident" if everything else "no open incident (--all shows closed ones)")
    for problem in problems:
        typer.echo(f"left out: {one_line(problem)}", err=True)


@incident_app.command("close")
def close(
    identifier: Identifier,
    cause: Annotated[str, typer.Option(help="Root cause, as found.")] = "",
    by: By = None,
    folder: Folder = DEFAULT,
) -> None:
    """Close an incident; it also ends a clock that still runs. A closed one still takes notes of the follow-up."""
    now, who = present(), author(by)

    def end(incident: Incident) -> Incident:
        if incident.closed is not None:
            raise OpsError(f"{incident.id} was closed at {incident.closed:%Y-%m-%d %H:%M} UTC by {incident.closed_by}")
        return incident.model_copy(update={"closed": now, "closed_by": who, "cause": cause.strip() or incident.cause})

    changed = Store(folder).change(identifier, end)
    Console().print(Text(f"{changed.id}: closed after {span(now - changed.opened)}"))
    Console().print(clock_line(changed, now))
    if not changed.cause:
        typer.echo("the root cause is not written: `ops incident note ID TEXT --cause` adds it later", err=True)


incident_app.command("timeline")(timeline)
incident_app.command("report")(report)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise OpsError(f"--due is {text!r}, must be a day like 2026-12-01") from None
