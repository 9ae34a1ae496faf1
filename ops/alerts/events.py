"""``ops alert-events``: ``alerts-raw`` (raised by Prometheus) and ``alerts-processed`` (notified) in Kafka (A3).

A record is JSON as in docs/alert-events.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin
from ops.core.platform import Platform
from ops.core.prometheus_text import seconds_of_option
from ops.core.terminal import Table
from services.alert_events.events import AlertEvent, ProcessedEvent, RawEvent

IDLE_S = 10.0
"""Seconds without a record after which a partition counts as one that does not answer."""


class Stage(StrEnum):
    """Which of the two topics."""

    RAW = "raw"
    PROCESSED = "processed"


TOPICS = {Stage.RAW: ALERTS_RAW_TOPIC.name, Stage.PROCESSED: ALERTS_PROCESSED_TOPIC.name}
_MODELS: dict[Stage, type[AlertEvent]] = {Stage.RAW: RawEvent, Stage.PROCESSED: ProcessedEvent}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was read.

    Attributes:
        events: In the order of their arrival at the platform; those of one alert in the order of the topic.
        unreadable: Records that are no alert events of a version that this program knows.
        silent: Partitions that did not give all that they have: what is here may be incomplete.
    """

    events: tuple[AlertEvent, ...]
    unreadable: int = 0
    silent: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """Events that say the same of one alert: the first of them, how many there are, the last, and who sent them."""

    first: AlertEvent
    count: int
    last: datetime
    senders: tuple[str, ...]


def read(platform: Platform, stage: Stage, start: datetime, idle_s: float = IDLE_S) -> Found:
    """Events from a moment on, up to what is there now.

    Args:
        platform: Outputs of the stack.
        stage: Topic.
        start: The moment, by the time at which a record was written.
        idle_s: Seconds to wait for a partition that says nothing.

    Raises:
        OpsError: Kafka does not answer, or the topic is not there.
    """
    topic, kafka = TOPICS[stage], KafkaAdmin(platform)
    if topic not in kafka.topics():
        raise OpsError(f"topic {topic} does not exist: deploy a version of the platform with alerting")
    starts = kafka.since(topic, start)
    ends = kafka.end_offsets(topic)
    reached = dict(starts)
    events: list[AlertEvent] = []
    unreadable = 0
    for record in kafka.read(topic, starts, idle_s):
        reached[record.partition()] = record.offset() + 1
        try:
            events.append(_MODELS[stage].model_validate_json(record.value() or b""))
        except ValidationError:
            unreadable += 1
    silent = tuple(partition for partition, end in sorted(ends.items()) if reached[partition] < end)
    return Found(
        events=tuple(sorted(events, key=lambda event: event.received_at)), unreadable=unreadable, silent=silent
    )


def about(events: Iterable[AlertEvent], alert: str) -> list[AlertEvent]:
    """Events of alerts that have this name, or whose identity is it or begins with it; empty means all."""
    return [
        event
        for event in events
        if event.alert_id.startswith(alert) or event.labels.get("alertname", "").removesuffix(SUFFIX) == alert
    ]


def runs(events: Iterable[AlertEvent]) -> list[Run]:
    """Events without repetitions: Prometheus sends a firing alert again and again, and each Prometheus does."""
    groups: dict[tuple[str, str, datetime], list[AlertEvent]] = {}
    for event in events:
        groups.setdefault((event.fingerprint, event.status, event.starts_at), []).append(event)
    return [
        Run(
            first=group[0],
            count=len(group),
            last=group[-1].received_at,
            senders=tuple(sorted({event.sender for event in group})),
        )
        for group in groups.values()
    ]


def told(event: AlertEvent) -> str:
    """Whom it concerns: the receiver of a notification, the contact of an escalated alert."""
    contact = event.labels.get(ESCALATION_LABEL, "")
    return event.receiver if isinstance(event, ProcessedEvent) else contact


_STYLES = {"firing": "red", "resolved": "green"}


def alert_events(
    topic: Annotated[Stage, typer.Option(help="raw: from Prometheus; processed: from Alertmanager.")] = Stage.PROCESSED,
    alert: Annotated[str, typer.Option(help="Only alerts with this name or identity prefix.")] = "",
    since: Annotated[str, typer.Option(help="Time range until now, for example 15m.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of rows; the newest are shown.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as JSON, as it is in Kafka.")] = False,
) -> None:
    """Show alert events, newest last. Exit code 1 when there is none, or when a partition did not answer.

    The table shows repeated sends of the same alert as one row with their number.
    """
    back = timedelta(seconds=seconds_of_option("--since", since))
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
        typer.echo(f"no matching event in the last {since}", err=True)
    for line in warnings(history):
        typer.echo(line, err=True)
    raise typer.Exit(0 if events and not history.silent else 1)


def warnings(history: Found) -> list[str]:
    """What the reader has to know of what is missing."""
    lines = []
    if history.unreadable:
        lines.append(f"{history.unreadable} records are not alert events of a known version")
    if history.silent:
        which = ", ".join(map(str, history.silent))
        lines.append(f"partition {which} did not answer in full: the list may be incomplete")
    return lines


def event_table(events: Sequence[AlertEvent], limit: int) -> Table:
    """Notifications, one a row."""
    table = Table("time (UTC)", "status", "priority", "receiver", "alert")
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
