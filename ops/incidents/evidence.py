"""What was seen of an incident, collected from every source and kept beside its record, since sources forget; and the
one timeline of what the alert did, what people did, what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, ValidationError

from ops.alerts.silences import span
from ops.core.errors import OpsError
from ops.incidents.record import Frozen, Incident, Phase, problem
from ops.telemetry.traces import duration, printable

VERSION: Literal[1] = 1


class Line(Frozen):
    """One series: its labels, its samples (seconds since 1970, value), whether the alert is about it."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float | None], ...]
    own: bool = False


class Measured(Frozen):
    """What a chart is made of.

    Attributes:
        alert: Alert whose expression it is part of.
        sibling: Whether that is another alert of the same layer.
        value: PromQL of the value that is compared.
        comparison: The comparison; empty when there is none.
        limit: What it is compared with; nothing when that is no number.
        unit: UCUM unit, as far as it is known.
        expression: PromQL as it was sent.
        step_s: Seconds between samples.
        total: How many series the value has, when not all of them are here.
        lines: The series.
    """

    alert: str
    sibling: bool = False
    value: str
    comparison: str = ""
    limit: float | None = None
    unit: str = ""
    expression: str
    step_s: float
    total: int | None = None
    lines: tuple[Line, ...] = ()


class Firing(Frozen):
    """One Prometheus' view of an alert: from when to when it was pending or firing.

    Attributes:
        replica: The Prometheus; empty where there is only one.
        alert: Name of the alert.
        state: ``pending`` or ``firing``.
        start: First sample.
        end: Last sample; nothing while it lasts.
        count: Most series at a time.
        severity: Its priority.
        own: Whether it is the incident's alert, or its escalated twin.
    """

    replica: str
    alert: str
    state: str
    start: AwareDatetime
    end: AwareDatetime | None
    count: int = 1
    severity: str = ""
    own: bool = False


class AlertEvent(Frozen):
    """One event of ``alerts-raw``: a Prometheus said that an alert fires, or that it does no more.

    Attributes:
        expired: When a firing alert was over without a word, since its Prometheus did not send it again.
    """

    at: AwareDatetime
    replica: str
    alert: str
    alert_id: str
    status: str
    own: bool
    expired: AwareDatetime | None = None


class Notification(Frozen):
    """One notification of ``alerts-processed``: somebody was told."""

    at: AwareDatetime
    receiver: str
    status: str
    alerts: tuple[str, ...]
    own: bool


class Silenced(Frozen):
    """One silence that met the alert; an acknowledgement is one of the alert's identity alone."""

    start: AwareDatetime
    end: AwareDatetime
    author: str
    comment: str
    matchers: str
    acknowledges: bool


class TraceSeen(Frozen):
    """One trace that failed or was slow; no attributes, only what names it."""

    trace_id: str
    at: AwareDatetime
    service: str
    operation: str
    duration_us: int
    failed: bool
    services: tuple[str, ...]
    data_class: str


class LogSeen(Frozen):
    """One log line of the layer, masked as it is stored."""

    at: AwareDatetime
    severity: str
    service: str
    trace: str
    text: str


class ClusterEvent(Frozen):
    """Something that Kubernetes reports: an event, a restart of a container, a rollout."""

    at: AwareDatetime
    kind: Literal["event", "restart", "rollout"]
    subject: str
    reason: str
    text: str
    warning: bool


class Change(Frozen):
    """One update of the stack."""

    at: AwareDatetime
    end: AwareDatetime | None
    kind: str
    version: int
    result: str
    message: str
    commit: str
    author: str
    changes: Mapping[str, int]


class Source(Frozen):
    """How it went with one source.

    Attributes:
        collected: When what is here was collected; nothing when it never could be.
        problem: Why it could not be collected the last time; empty when it could.
        remark: What is left out.
        kept: Entries of earlier looks that the source does not tell any more.
        kept_since: When the first of those looks was.
    """

    collected: AwareDatetime | None
    problem: str = ""
    remark: str = ""
    kept: int = 0
    kept_since: AwareDatetime | None = None


class Evidence(Frozen):
    """Everything that was collected about one incident.

    Attributes:
        version: Version of the file.
        start: Begin of the time that was looked at.
        end: End of it.
        cut: Whether the incident lasted longer than that.
        clearance: Most restricted class of trace data that may be in here; empty for none.
        sources: Name of a source -> how it went.
    """

    version: Literal[1] = VERSION
    start: AwareDatetime
    end: AwareDatetime
    cut: bool = False
    clearance: str = ""
    sources: Mapping[str, Source] = {}
    measured: tuple[Measured, ...] = ()
    firing: tuple[Firing, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    notifications: tuple[Notification, ...] = ()
    silences: tuple[Silenced, ...] = ()
    traces: tuple[TraceSeen, ...] = ()
    logs: tuple[LogSeen, ...] = ()
    cluster: tuple[ClusterEvent, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def resolved(self) -> datetime | None:
        """When the alert had stopped firing in every Prometheus; nothing while it fires, or when nothing tells."""
        last = {
            (event.replica, event.alert): event
            for event in sorted(self.events, key=lambda event: event.at)
            if event.own
        }
        if last:
            ends = [event.at if event.status == "resolved" else event.expired for event in last.values()]
        else:
            ends = [firing.end for firing in self.firing if firing.own and firing.state == "firing"]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None


def load(text: str) -> Evidence | None:
    """What was kept; nothing where nothing was.

    Raises:
        OpsError: It is damaged or of another version: the next look would write over it.
    """
    if not text:
        return None
    try:
        return Evidence.model_validate_json(text)
    except ValidationError as error:
        raise OpsError(
            f"what was collected cannot be read: {problem(error)}: use its own program or move it away"
        ) from None


def cleaned(evidence: Evidence, secrets: frozenset[str]) -> Evidence:
    """The same, without any of the platform's passwords, wherever one may have slipped into a text."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret in secrets:
                value = value.replace(secret, "[secret]")
            return value
        if isinstance(value, dict):
            return {clean(key): clean(nested) for key, nested in value.items()}
        if isinstance(value, list | tuple):
            return [clean(nested) for nested in value]
        return value

    return Evidence.model_validate(clean(evidence.model_dump()))


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


def most_telling(every: list[Entry], most: int) -> list[Entry]:
    """Of very many entries those that tell the story, of these the first and the last: how it began, how it ended."""
    if len(every) <= most:
        return every
    story = [entry for entry in every if entry.weight > 1]
    return story if len(story) <= most else story[: most // 2] + story[-(most // 2) :]


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
        text = _joined(event.alert, event.replica)
        yield Entry(at=event.at, kind=kind, text=text, source="events", weight=2)
        if event.expired:
            yield Entry(at=event.expired, kind="expired", text=text, source="events", weight=2)
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
