"""What was seen of an incident: collected from every source, kept beside its record, since sources forget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, ValidationError

from ops.incidents.model import Frozen

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
        asked: PromQL as it was sent.
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
    """One event of ``alerts-raw``: a Prometheus said that an alert fires, or that it does no more."""

    at: AwareDatetime
    replica: str
    alert: str
    alert_id: str
    status: str
    own: bool


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
    """

    collected: AwareDatetime | None
    problem: str = ""
    remark: str = ""


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
            ends = [event.at if event.status == "resolved" else None for event in last.values()]
        else:
            ends = [firing.end for firing in self.firing if firing.own and firing.state == "firing"]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None


def load(text: str) -> Evidence | None:
    """What was kept; nothing where nothing was, or where it is of another version."""
    if not text:
        return None
    try:
        return Evidence.model_validate_json(text)
    except ValidationError:
        return None


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
