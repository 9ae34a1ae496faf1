"""Notifications as the topic has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.alert_events.events import ProcessedEvent, fingerprint, identity
from services.reports.alert_log import Log
from services.reports.model import ReportError


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


@dataclass(frozen=True)
class Told:
    """An alert log that knows these notifications."""

    events: Sequence[ProcessedEvent] = ()
    unreadable: int = 0

    def since(self, start: float) -> Log:
        """Those received from ``start`` on."""
        recent = (event for event in self.events if event.received_at.timestamp() >= start)
        return Log(events=tuple(sorted(recent, key=lambda event: event.received_at)), unreadable=self.unreadable)


class Silent:
    """An alert log that cannot be read."""

    def since(self, start: float) -> Log:
        """Never answers."""
        raise ReportError("topic alerts-processed cannot be read: Broker: Topic authorization failed")
