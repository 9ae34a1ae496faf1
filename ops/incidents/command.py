"""``ops incident``: open one from an alert, write down what is done, see the timeline, write the report (M3)."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.rules import Severity
from ops.alerts.silences import author
from ops.core.errors import OpsError, one_line
from ops.incidents import events, response_clock
from ops.incidents.command_report import report, timeline
from ops.incidents.common import (
    CLOCK_STYLES,
    AsJson,
    By,
    Folder,
    Identifier,
    clock_line,
    connected_clients,
    present,
    row,
)
from ops.incidents.create import firing_alert, manual_alert, new
from ops.incidents.model import LONGEST_TEXT, Incident, Note, Phase, valid
from ops.incidents.response_clock import span
from ops.incidents.store import DEFAULT, Store
from ops.incidents.time_window import moment

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
            alert_record = events.past_alert(clients.platform, clients.kafka, alert, begun, now)
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
            reading = response_clock.read(incident, now)
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
