"""One timeline from everything that is known: what the alert did, what people did, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeVar

from ops.alerts.silences import span
from ops.incidents.evidence import Evidence, LogSeen, TraceSeen
from ops.incidents.model import Incident, Phase
from ops.telemetry.trace_tree import duration, printable

_BURST = timedelta(minutes=2)
"""Log lines and traces of one service that are nearer than this are one entry."""

S = TypeVar("S", TraceSeen, LogSeen)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the timeline.

    Attributes:
        at: When it was.
        kind: What it was; a key of the words ``event.<kind>``.
        text: What it was about.
        source: Who knew it; a key of the words ``from.<source>``.
        weight: 2 for what tells the story, 1 for what goes with it.
        phase: Phase that a note belongs to.
    """

    at: datetime
    kind: str
    text: str
    source: str
    weight: int = 1
    phase: Phase | None = None


_ORDER = ("change", "rollout", "pending", "alert", "fired", "notification", "acknowledged", "opened")
"""Of entries of the same moment, causes come before what follows from them."""


def entries(incident: Incident, evidence: Evidence | None) -> list[Entry]:
    """All entries, oldest first; those of the same moment in the order of cause and effect."""
    collected = list(_of_record(incident))
    if evidence is not None:
        for part in (_of_alert, _of_notifications, _of_traces, _of_logs, _of_changes):
            collected += part(evidence)
    rank = {kind: index for index, kind in enumerate(_ORDER)}
    return sorted(collected, key=lambda entry: (entry.at, rank.get(entry.kind, len(rank)), entry.source, entry.text))


def _of_record(incident: Incident) -> Iterator[Entry]:
    alert = incident.alert
    summary = alert.annotations.get("summary", "")
    source = {"alertmanager": "silences", "alerts-raw": "events", "manual": "record"}[alert.source]
    yield Entry(at=alert.starts, kind="alert", text=_joined(alert.alert_id, summary), source=source, weight=2)
    yield Entry(at=incident.opened, kind="opened", text=f"{incident.id}, {incident.opened_by}", source="record")
    for note in incident.notes:
        yield Entry(
            at=note.at,
            kind="response" if note.first_response else "note",
            text=f"{note.author}: {note.text}",
            source="record",
            weight=2,
            phase=note.phase,
        )
    if incident.closed is not None:
        yield Entry(at=incident.closed, kind="closed", text=incident.closed_by, source="record", weight=2)


def _of_alert(evidence: Evidence) -> Iterator[Entry]:
    exact = {event.alert for event in evidence.events}
    for event in evidence.events:
        kind = "fired" if event.status == "firing" else "ended"
        yield Entry(at=event.at, kind=kind, text=_joined(event.alert, event.replica), source="events", weight=2)
    for firing in evidence.firing:
        text = _joined(firing.alert, firing.replica)
        if not firing.own:
            if firing.count > 1:
                text += f" ({firing.count})"
            yield Entry(at=firing.start, kind="sibling", text=text, source="firing")
            if firing.end:
                yield Entry(at=firing.end, kind="sibling_ended", text=text, source="firing")
        elif firing.state == "pending":
            yield Entry(at=firing.start, kind="pending", text=text, source="firing")
        elif firing.alert not in exact:
            # The events say it to the second; series say it to the step of the query.
            yield Entry(at=firing.start, kind="fired", text=text, source="firing", weight=2)
            if firing.end:
                yield Entry(at=firing.end, kind="ended", text=text, source="firing", weight=2)


def _of_notifications(evidence: Evidence) -> Iterator[Entry]:
    for notification in evidence.notifications:
        kind = "notification" if notification.status == "firing" else "notification_resolved"
        text = f"{notification.receiver}: {', '.join(notification.alerts)}"
        yield Entry(at=notification.at, kind=kind, text=text, source="notifications", weight=2)
    for silence in evidence.silences:
        kind = "acknowledged" if silence.acknowledges else "silenced"
        text = f"{_joined(silence.author, silence.comment)} ({span(silence.end - silence.start)})"
        yield Entry(at=silence.start, kind=kind, text=text, source="silences", weight=2)


def _of_traces(evidence: Evidence) -> Iterator[Entry]:
    for failed in (True, False):
        chosen = [trace for trace in evidence.traces if trace.failed is failed]
        for group in _bursts(chosen):
            first = group[0]
            text = f"{first.service} {first.operation}, {duration(first.duration_us)}, {first.trace_id[:16]}"
            text += f" (+{len(group) - 1})" if len(group) > 1 else ""
            yield Entry(at=first.at, kind="trace" if failed else "slow", text=text, source="traces")


def _of_logs(evidence: Evidence) -> Iterator[Entry]:
    for group in _bursts(evidence.logs):
        first = group[0]
        more = f" (+{len(group) - 1})" if len(group) > 1 else ""
        yield Entry(at=first.at, kind="log", text=f"{first.service}: {first.text}{more}", source="logs")


def _of_changes(evidence: Evidence) -> Iterator[Entry]:
    for change in evidence.changes:
        counts = ", ".join(f"{count} {name}" for name, count in change.changes.items() if name != "same")
        text = f"{change.kind} {change.version}, {change.result}: {_joined(change.message, counts)}"
        yield Entry(at=change.at, kind="change", text=text, source="changes", weight=2)
    for event in evidence.cluster:
        kind = {"event": "cluster", "restart": "restart", "rollout": "rollout"}[event.kind]
        text = f"{event.subject}: {event.reason}, {event.text}"
        yield Entry(at=event.at, kind=kind, text=text, source="cluster", weight=1 if event.kind == "event" else 2)


def _bursts(items: Iterable[S]) -> Iterator[list[S]]:
    """Items of one service without a longer pause between them."""
    ordered = sorted(items, key=lambda line: (line.service, line.at))
    for _, group in groupby(ordered, key=lambda line: line.service):
        burst: list[S] = []
        for item in group:
            if burst and item.at - burst[-1].at > _BURST:
                yield burst
                burst = []
            burst.append(item)
        yield burst


def _joined(*parts: str) -> str:
    return ", ".join(printable(part) for part in parts if part)
