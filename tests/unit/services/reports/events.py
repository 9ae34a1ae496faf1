"""Notifications as the topic has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.alert_events.events import ProcessedEvent, RawEvent, fingerprint, identity
from services.reports.alert_topics import FiringReader, Firings, Log, notification
from services.reports.model import ReportError
from services.reports.records import Work


def moment(seconds: float) -> str:
    """A time as records write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def event(
    alert: str,
    start: float,
    *,
    received: float,
    end: float | None = None,
    severity: str = "high",
    receiver: str = "operators-high",
    summary: str = "it is down",
    summary_ja: str = "停止しています",
    sender: str = "10.0.0.1",
    **labels: str,
) -> ProcessedEvent:
    """One notification."""
    own = {"alertname": alert, "severity": severity, "layer": "platform", **labels}
    plain = {key: value for key, value in own.items() if key != "escalation"}
    return ProcessedEvent.model_validate(
        {
            "received_at": moment(received),
            "sender": sender,
            "alert_id": identity(plain),
            "fingerprint": fingerprint(own),
            "status": "firing" if end is None else "resolved",
            "startsAt": moment(start),
            "endsAt": None if end is None else moment(end),
            "labels": own,
            "annotations": {"summary": summary, "summary_ja": summary_ja},
            "generatorURL": "",
            "receiver": receiver,
            "groupKey": "g",
            "groupLabels": {},
            "group_status": "firing",
            "truncatedAlerts": 0,
            "externalURL": "",
        }
    )


def raised(
    alert: str,
    start: float,
    *,
    received: float,
    end: float | None = None,
    severity: str = "high",
    sender: str = "prometheus-primary-0",
    **labels: str,
) -> RawEvent:
    """What a Prometheus says of an alert: it fires for 36 seconds more, or ended."""
    own = {"alertname": alert, "severity": severity, "layer": "platform", **labels}
    return RawEvent.model_validate(
        {
            "received_at": moment(received),
            "sender": sender,
            "alert_id": identity(own),
            "fingerprint": fingerprint(own),
            "status": "firing" if end is None else "resolved",
            "startsAt": moment(start),
            "endsAt": None if end is None else moment(end),
            "labels": own,
            "annotations": {},
            "generatorURL": "",
            "valid_until": moment(received + 36) if end is None else None,
        }
    )


def read_firings(events: Sequence[RawEvent], identities: Collection[str], start: float = 0.0) -> Firings:
    """What is read of records."""
    reader = FiringReader(identities)
    for record in events:
        at = record.received_at.timestamp()
        if at >= start:
            reader.take(record.key, record.value(), at)
    return reader.firings()


@dataclass(frozen=True)
class Told:
    """An alert log that knows these notifications, and what was raised."""

    events: Sequence[ProcessedEvent] = ()
    unreadable: int = 0
    left_out: int = 0
    known_since: float | None = None
    raw: Sequence[RawEvent] = ()

    def since(self, start: float, end: float) -> Log:
        """Those received from ``start`` on, of alerts that began before ``end``."""
        known = (notification(event) for event in self.events)
        recent = (event for event in known if event.received >= start and event.started < end)
        return Log(
            events=tuple(sorted(recent, key=lambda event: event.received)),
            unreadable=self.unreadable,
            left_out=self.left_out,
            known_since=self.known_since,
        )

    def firings(self, identities: Collection[str], start: float) -> Firings:
        """Those raised from ``start`` on."""
        return read_firings(self.raw, identities, start)


class Silent:
    """An alert log that cannot be read."""

    def since(self, start: float, end: float) -> Log:
        """Never answers."""
        raise ReportError("topic alerts-processed cannot be read: Broker: Topic authorization failed")

    def firings(self, identities: Collection[str], start: float) -> Firings:
        """Never answers."""
        raise ReportError("topic alerts-raw cannot be read: Broker: Topic authorization failed")


@dataclass
class Done:
    """Knows what was done on the platform."""

    done: Work = field(default_factory=Work)

    def work(self, start: float, end: float) -> Work:
        """All of it."""
        return self.done
