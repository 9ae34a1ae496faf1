"""Alerts that began, and notifications that were sent, while a drill ran: read from Kafka afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from components.alerting.escalation import SUFFIX
from ops.alerts import events as alert_events
from ops.alerts.events import Stage
from ops.alerts.silences import WATCHDOG
from ops.core.platform import Platform
from ops.drills.timeline import Event
from services.alert_events.events import AlertEvent, ProcessedEvent

_NAME, _SEVERITY = "alertname", "severity"


def read(platform: Platform, began: datetime) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Alerts and notifications since a moment.

    Raises:
        OpsError: Kafka does not answer, or the platform has no topic of alerts.
    """
    raw = alert_events.read(platform, Stage.RAW, began)
    processed = alert_events.read(platform, Stage.PROCESSED, began)
    return raised(raw.events, began), notifications(processed.events, began)


def raised(events: Iterable[AlertEvent], began: datetime) -> tuple[Event, ...]:
    """Alerts that began to fire since then, one line for each name: its first begin, its last end."""
    spans: dict[tuple[str, str, datetime], datetime | None] = {}
    severities: dict[str, str] = {}
    for event in events:
        name = event.labels.get(_NAME, "?")
        if name == WATCHDOG or event.starts_at < began:
            continue
        severities[name] = event.labels.get(_SEVERITY, "")
        one = (name, event.fingerprint, event.starts_at)
        # A firing alert is sent again and again; the end that counts is that of a resolved one.
        spans[one] = event.ends_at if event.status == "resolved" else spans.get(one)
    names: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for (name, _, start), end in spans.items():
        names.setdefault(name, []).append((start, end))
    alert_spans = []
    for name, parts in names.items():
        ends = [end for _, end in parts if end is not None]
        over = max(ends) if len(ends) == len(parts) else None
        count = f", {len(parts)} times" if len(parts) > 1 else ""
        severity = f" ({severities[name]})" if severities[name] else ""
        alert_spans.append(_event("alerts", f"{name}{severity}{count}", began, min(start for start, _ in parts), over))
    return tuple(sorted(alert_spans, key=lambda alert_span: (alert_span.start, alert_span.what)))


def notifications(events: Iterable[AlertEvent], began: datetime) -> tuple[Event, ...]:
    """Notifications that were sent since then; one may be about several alerts."""
    names_by_notification: dict[tuple[str, str, str, datetime], set[str]] = {}
    for event in events:
        if not isinstance(event, ProcessedEvent) or event.received_at < began:
            continue
        name = event.labels.get(_NAME, "?").removesuffix(SUFFIX)
        if name == WATCHDOG:
            continue
        key = (event.receiver, event.group_key, event.group_status, event.received_at)
        names_by_notification.setdefault(key, set()).add(name)
    return tuple(
        _event("notices", f"{receiver}, {status}, {', '.join(sorted(names))}", began, at, at)
        for (receiver, _, status, at), names in sorted(names_by_notification.items(), key=lambda entry: entry[0][3])
    )


def _event(lane: str, what: str, began: datetime, start: datetime, end: datetime | None) -> Event:
    first = round(max(0.0, (start - began).total_seconds()), 1)
    last = None if end is None else round(max(first, (end - began).total_seconds()), 1)
    return Event(lane=lane, what=what, start=first, end=first if end == start else last)
