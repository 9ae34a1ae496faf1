"""``ops alerts``: what fires now, who is notified, who took it, and when the next one is notified (requirement A2)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote_plus

import typer
from rich.console import Console
from rich.text import Text

from components.alerting.escalation import ESCALATION_LABEL, LEVELS, NEVER, SUFFIX, EscalationDelays, milliseconds
from components.rules import Severity
from ops.alerts.silences import WATCHDOG, acknowledgements, as_json, clock, in_force, silence_table, span
from ops.core import platform as platform_module
from ops.core.alertmanager import Cluster, FiringAlert, Silence, connect
from ops.core.platform import Platform
from ops.core.terminal import Table

_ORDER = {severity.value: number for number, severity in enumerate(Severity)}


class Escalates(StrEnum):
    """Where an alert is on its way to the next contact.

    Attributes:
        NEVER: Its priority has no escalation.
        LATER: At a known time, unless somebody acknowledges.
        NOW: The next contact is notified.
        STOPPED: A silence keeps it from the next contact.
    """

    NEVER = "never"
    LATER = "later"
    NOW = "now"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Level:
    """Whom alerts of one priority are escalated to, and how long after they began to fire."""

    contact: str
    delay: timedelta


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """State of an alert's escalation.

    Attributes:
        state: Where it is.
        contact: Who is next; empty for none.
        at: When they are told, or were; for a stopped one the end of the silence, which tells them; nothing if unknown.
    """

    state: Escalates
    contact: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One alert with everything that people ask about it.

    Attributes:
        alert: The alert; its escalated twin has no row of its own while the original fires.
        acknowledged: The acknowledgement in force, if any.
        silences: Other silences that keep it quiet.
        inhibited_by: Identities of alerts that make it superfluous.
        escalation: State of its escalation.
    """

    alert: FiringAlert
    acknowledged: Silence | None
    silences: tuple[Silence, ...]
    inhibited_by: tuple[str, ...]
    escalation: Escalation

    @property
    def severity(self) -> str:
        """Its priority."""
        return self.alert.labels.get("severity", "?")

    @property
    def layer(self) -> str:
        """The layer that it is about; empty for the platform itself."""
        return self.alert.labels.get("layer", "")

    @property
    def quiet(self) -> bool:
        """Whether nobody is notified of it now."""
        return self.alert.state == "suppressed"

    @property
    def open(self) -> bool:
        """Whether somebody has to take it: not silenced, not inhibited by another alert, and on-call is notified."""
        return not self.quiet and self.alert.name != WATCHDOG and self.severity != Severity.LOW


def rows(
    alerts: Sequence[FiringAlert], silences: Sequence[Silence], levels: Mapping[str, Level], now: datetime
) -> list[Row]:
    """One row per alert, the most urgent and oldest first.

    Args:
        alerts: What fires.
        silences: Silences, also those that have ended.
        levels: Priority -> next contact.
        now: The moment.
    """
    twins = {alert.identity: alert for alert in alerts if alert.labels.get(ESCALATION_LABEL) and alert.identity}
    originals = [alert for alert in alerts if not alert.labels.get(ESCALATION_LABEL)]
    there = {original.identity for original in originals}
    left = [twin for twin in twins.values() if twin.identity not in there]
    identities = {alert.fingerprint: alert.identity or alert.name for alert in alerts}
    acks = acknowledgements(silences)
    active = {silence.id: silence for silence in silences if silence.state == "active"}
    table_rows = []
    for alert in (*originals, *left):
        by = [active[name] for name in alert.silenced_by if name in active]
        table_rows.append(
            Row(
                alert=alert,
                acknowledged=acks.get(alert.identity) if by else None,
                silences=tuple(silence for silence in by if not silence.acknowledges),
                inhibited_by=tuple(sorted({identities.get(inhibitor, inhibitor) for inhibitor in alert.inhibited_by})),
                escalation=_escalation(alert, twins.get(alert.identity), active.values(), levels, now),
            )
        )
    return sorted(table_rows, key=lambda row: (_ORDER.get(row.severity, len(_ORDER)), row.alert.starts))


def _escalation(
    alert: FiringAlert,
    twin: FiringAlert | None,
    silences: Iterable[Silence],
    levels: Mapping[str, Level],
    now: datetime,
) -> Escalation:
    level = levels.get(alert.labels.get("severity", ""))
    if twin is not None:
        contact, due, labels, inhibited = twin.labels[ESCALATION_LABEL], twin.starts, twin.labels, twin.inhibited_by
    elif level is None or alert.name in NEVER:
        return Escalation(state=Escalates.NEVER)
    else:
        contact, due, inhibited = level.contact, alert.starts + level.delay, alert.inhibited_by
        labels = {**alert.labels, "alertname": alert.name + SUFFIX, ESCALATION_LABEL: contact}
    if inhibited:
        return Escalation(state=Escalates.STOPPED, contact=contact)
    longest = max((silence.ends for silence in silences if silence.matches(labels)), default=now)
    if longest > max(due, now):
        return Escalation(state=Escalates.STOPPED, contact=contact, at=longest)
    return Escalation(state=Escalates.LATER if twin is None else Escalates.NOW, contact=contact, at=due)


def chosen(table_rows: Iterable[Row], severities: Sequence[str], layers: Sequence[str]) -> list[Row]:
    """Rows of these priorities and layers; none named means all."""
    return [
        row
        for row in table_rows
        if (not severities or row.severity in severities) and (not layers or row.layer in layers)
    ]


def beats(alerts: Iterable[FiringAlert]) -> bool:
    """Whether the watchdog's heartbeat goes out: it always fires when Prometheus reaches Alertmanager."""
    return any(alert.name == WATCHDOG and alert.state == "active" for alert in alerts)


NO_LAYER = "platform"
"""What people call alerts without a layer: those about the platform itself."""

_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def levels(platform: Platform) -> dict[str, Level]:
    """Priority -> next contact and delay, as the stack is deployed; for an older stack as the program has them.

    Without those whose next contact has no channel.
    """
    delays = EscalationDelays(**platform.alert_escalation)
    return {
        severity.value: Level(contact=contact, delay=timedelta(milliseconds=milliseconds(delay)))
        for severity, contact in LEVELS.items()
        if (delay := delays.of(severity))
    }


def row_as_json(row: Row) -> dict[str, Any]:
    """A row for machines."""
    alert, ack = row.alert, row.acknowledged
    return {
        "alert": alert.name,
        "alert_id": alert.identity,
        "severity": row.severity,
        "layer": row.layer or NO_LAYER,
        "since": alert.starts.isoformat(),
        "summary": alert.annotations.get("summary", ""),
        "runbook": alert.annotations.get("runbook_url", ""),
        "receivers": list(alert.receivers),
        "quiet": row.quiet,
        "acknowledged": as_json(ack) if ack else None,
        "silences": [silence.id for silence in row.silences],
        "inhibited_by": list(row.inhibited_by),
        "escalation": {
            "state": row.escalation.state.value,
            "contact": row.escalation.contact,
            "at": row.escalation.at.isoformat() if row.escalation.at else None,
        },
        "labels": dict(alert.labels),
    }


def alert_table(table_rows: Sequence[Row], now: datetime) -> Table:
    """Rows for people, readable in 100 columns."""
    table = Table("priority", title="Firing (UTC)", title_justify="left", expand=True)
    for heading, ratio in (("alert", 5), ("assignee", 4)):
        table.add_column(heading, overflow="fold", ratio=ratio)
    for row in table_rows:
        alert = row.alert
        priority = Text(row.severity, style=_STYLES.get(row.severity, ""))
        priority.append(f"\n{clock(alert.starts, now)}\n{span(now - alert.starts)}", style="not bold default")
        what = Text(" ".join(words(alert.identity) or [alert.name]))
        what.stylize("bold", 0, len(alert.name))
        if summary := alert.annotations.get("summary"):
            what.append(f"\n{summary}", style="italic")
        if runbook := alert.annotations.get("runbook_url"):
            what.append("\nrunbook ", style="dim")
            what.append(runbook.rpartition("/")[2], style=f"dim link {runbook}")
        table.add_row(priority, what, Text("\n".join(who(row, now))), end_section=True)
    return table


def words(identity: str) -> list[str]:
    """An identity as ``ops ack`` takes it in words: the name, then ``label=value``; quoted where a shell needs it."""
    return [shlex.quote(unquote_plus(part)) for part in identity.split("/") if part]


def who(row: Row, now: datetime) -> list[str]:
    """Who has an alert, line by line: the acknowledgement or the receivers, what keeps it quiet, who is next."""
    ack, lines = row.acknowledged, []
    if ack is not None:
        lines.append(f"{ack.author} until {clock(ack.ends, now)} ({span(ack.ends - now)})")
        lines.append(ack.comment)
    lines += [
        f"silenced until {clock(silence.ends, now)}, {silence.author}: {silence.comment}" for silence in row.silences
    ]
    if row.inhibited_by:
        lines.append(f"inhibited by {', '.join(row.inhibited_by)}")
    if not row.quiet:
        lines.append(f"notified: {', '.join(row.alert.receivers)}")
    lines.append(_next(row, now))
    return [line for line in lines if line]


def _next(row: Row, now: datetime) -> str:
    state, contact, at = row.escalation.state, row.escalation.contact, row.escalation.at
    if state is Escalates.NOW and at:
        return f"escalated to {contact} at {clock(at, now)}"
    if state is Escalates.LATER and at:
        return f"next: {contact} in {span(at - now)}" if at > now else f"next: {contact} now"
    if state is Escalates.STOPPED:
        return f"next: {contact} not before {clock(at, now)}" if at else f"next: {contact} not while inhibited"
    return ""


def alerts(
    as_json_: Annotated[bool, typer.Option("--json", help="Print alerts as JSON.")] = False,
    everything: Annotated[bool, typer.Option("--all", help=f"Include inhibited alerts and the {WATCHDOG}.")] = False,
    severity: Annotated[list[Severity] | None, typer.Option(help="Only this priority; may be repeated.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help=f"Only this layer ({NO_LAYER}: the platform itself); may be repeated.")
    ] = None,
) -> None:
    """Show firing alerts with their start, receivers, assignee and next escalation.

    Exit codes: 0 no open alert, 1 an alert is open (not silenced, not inhibited, above low) or the watchdog's heartbeat
    is missing, 2 no answer.
    """
    platform = platform_module.load()
    with connect(platform) as alertmanager:
        firing, silences, cluster = alertmanager.alerts(), alertmanager.silences(), alertmanager.cluster()
    now = datetime.now(UTC)
    layers = ["" if name == NO_LAYER else name for name in layer or ()]
    chosen_rows = chosen(
        rows(firing, silences, levels(platform), now), [level.value for level in severity or ()], layers
    )
    shown = [row for row in chosen_rows if everything or not (row.inhibited_by or row.alert.name == WATCHDOG)]
    heart, kept = beats(firing), in_force(silences)
    if as_json_:
        content = {
            "alerts": [row_as_json(row) for row in shown],
            "silences": [as_json(silence) for silence in kept],
            "heartbeat": heart,
            "cluster": {"status": cluster.status, "members": cluster.members},
            "held_back": sum(bool(row.inhibited_by) for row in chosen_rows),
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(shown, chosen_rows, kept, heart, cluster, now)
    raise typer.Exit(int(not heart or any(row.open for row in chosen_rows)))


def _print(
    shown: Sequence[Row],
    table_rows: Sequence[Row],
    kept: Sequence[Silence],
    heart: bool,
    cluster: Cluster,
    now: datetime,
) -> None:
    console = Console()
    if shown:
        console.print(alert_table(shown, now))
    seen = {row.acknowledged.id for row in shown if row.acknowledged}
    if rest := [silence for silence in kept if silence.id not in seen]:
        console.print(silence_table(rest, now))
    hidden = len([row for row in table_rows if row.inhibited_by]) - len([row for row in shown if row.inhibited_by])
    console.print(
        f"{len(shown)} firing, {sum(row.open for row in shown)} open"
        + (f", {hidden} more inhibited (--all)" if hidden else "")
    )
    console.print(f"{cluster.members} Alertmanager{'s' * (cluster.members != 1)}, {cluster.status}")
    if not heart:
        console.print(
            f"[bold red]{WATCHDOG} is missing[/]: Prometheus does not reach Alertmanager, or it is silenced; "
            "the list above may be outdated. See docs/operations/emergency.md"
        )
