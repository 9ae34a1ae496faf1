"""Alert events as two regions write them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from components.rules import ID_LABEL
from services.alert_events.events import ProcessedEvent, RawEvent, fingerprint

ALERT = "DeviceOffline/device=1"


def labels(**changed: str) -> dict[str, str]:
    """Labels of an alert of telemetry in region A; a label that is made empty is not there."""
    own = {"alertname": "DeviceOffline", ID_LABEL: ALERT, "layer": "device", "region": "region-a", **changed}
    return {name: value for name, value in own.items() if value}


def notification(at: datetime, status: str = "firing", **changed: str) -> ProcessedEvent:
    """A notification of Alertmanager, with labels that differ."""
    return ProcessedEvent.model_validate(
        {
            **_common(at, status, labels(**changed), at - timedelta(seconds=5), at if status == "resolved" else None),
            "sender": "10.0.0.1",
            "receiver": "on-call-critical",
            "groupKey": "g",
            "groupLabels": {},
            "group_status": status,
            "truncatedAlerts": 0,
            "externalURL": "",
        }
    )


def raised(
    at: datetime,
    status: str = "firing",
    *,
    sender: str = "primary",
    begun: datetime | None = None,
    ended: datetime | None = None,
    **changed: str,
) -> RawEvent:
    """What a Prometheus says of an alert, with labels that differ."""
    began = begun or at - timedelta(minutes=10)
    return RawEvent.model_validate(
        {**_common(at, status, labels(**changed), began, ended), "sender": sender, "valid_until": None}
    )


def _common(
    at: datetime, status: str, labels: dict[str, str], begun: datetime, ended: datetime | None
) -> dict[str, Any]:
    return {
        "received_at": at,
        "alert_id": labels.get(ID_LABEL, "?"),
        "fingerprint": fingerprint(labels),
        "status": status,
        "startsAt": begun,
        "endsAt": ended,
        "labels": labels,
        "annotations": {},
        "generatorURL": "",
    }
