"""``ops alert-events``: what Prometheus raised and what Alertmanager notified, as Kafka keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.alerts.events import Found, Run, Stage, about, read, runs, told
from ops.core import platform as platform_module
from ops.telemetry.traces import seconds
from services.alert_events.events import AlertEvent

_STYLES = {"firing": "red", "resolved": "green"}


def alert_events(
    topic: Annotated[Stage, typer.Option(help="raw: from Prometheus; processed: from Alertmanager.")] = Stage.PROCESSED,
    alert: Annotated[str, typer.Option(help="Only alerts with this name, or identities that begin so.")] = "",
    since: Annotated[str, typer.Option(help="How far back, e.g. 15m.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as it is in Kafka.")] = False,
) -> None:
    """Show alert events, newest last. Exit code 1 when there is none, or when a partition did not answer.

    The table shows what a Prometheus sends again and again once, with the number of times.
    """
    back = timedelta(seconds=seconds(since))
    history = read(platform_module.load(), topic, datetime.now(UTC) - back)
    events = about(history.events, alert)
    if as_json:
        content = {
            "events": [event.model_dump(mode="json", by_alias=True) for event in events[-limit:]],
            "unreadable": history.unreadable,
            "silent_partitions": list(history.silent),
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    elif events:
        Console().print(event_table(events, limit) if topic is Stage.PROCESSED else run_table(runs(events)[-limit:]))
    else:
        typer.echo(f"no such event in the last {since}", err=True)
    for line in warnings(history):
        typer.echo(line, err=True)
    raise typer.Exit(0 if events and not history.silent else 1)


def warnings(history: Found) -> list[str]:
    """What the reader has to know of what is missing."""
    lines = []
    if history.unreadable:
        lines.append(f"{history.unreadable} records are no alert events of a version that this program knows")
    if history.silent:
        which = ", ".join(map(str, history.silent))
        lines.append(f"partition {which} did not give all that it has: what is shown may be incomplete")
    return lines


def event_table(events: Sequence[AlertEvent], limit: int) -> Table:
    """Notifications, one a row."""
    table = Table("time (UTC)", "status", "priority", "told", "alert")
    for event in events[-limit:]:
        table.add_row(*_cells(event), Text(told(event)), Text(event.alert_id, overflow="fold"))
    return table


def run_table(alert_runs: Sequence[Run]) -> Table:
    """Raised alerts, repetitions left out."""
    table = Table("first (UTC)", "status", "priority", "alert")
    for run in alert_runs:
        text = Text(run.first.alert_id, overflow="fold")
        if contact := told(run.first):
            text.append(f"\nescalated to {contact}", style="yellow")
        again = f"{run.count} times until {run.last.astimezone(UTC):%H:%M:%S}" if run.count > 1 else "once"
        text.append(f"\n{again} by {', '.join(run.senders)}", style="dim")
        table.add_row(*_cells(run.first), text)
    return table


def _cells(event: AlertEvent) -> tuple[str, Text, str]:
    moment = f"{event.received_at.astimezone(UTC):%d %b %H:%M:%S}"
    return moment, Text(event.status, style=_STYLES[event.status]), event.labels.get("severity", "?")
