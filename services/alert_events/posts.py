"""What senders post, turned into records. What is no alert is left out and counted, and does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import from_json

from services.alert_events.events import (
    AlertEvent,
    Moment,
    ProcessedEvent,
    RawEvent,
    Status,
    Texts,
    fingerprint,
    identity,
)

MOST_RECORD_BYTES = 900_000
"""Largest record; below the least that producers, brokers and consumers take without being asked to take more."""
MOST_POST_BYTES = 48 * 1024 * 1024
"""Largest sum of a post's records: a notification's group is repeated in each of its alerts."""

_GO_ZERO_YEAR = 1


class ContentError(Exception):
    """What was posted is not what is posted here; in one line, without any of it."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record to write."""

    key: bytes
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Post:
    """What was understood of a post.

    Attributes:
        records: In the order of the post.
        unusable: Alerts in it that are none, or are too large.
        complaint: What is wrong with the first of those.
    """

    records: Sequence[Record]
    unusable: int = 0
    complaint: str = ""


def _as_text(value: object) -> object:
    if not isinstance(value, str | None):
        raise ValueError("a time must be a text")  # noqa: TRY004  (pydantic reports it as the field's error)
    return value


def _unless_zero(value: datetime | None) -> datetime | None:
    return None if value is None or value.year == _GO_ZERO_YEAR else value


def _without_empty(labels: Texts) -> Texts:
    """To Prometheus and Alertmanager an empty label is none."""
    return {name: value for name, value in labels.items() if value}


_Time = Annotated[Moment | None, BeforeValidator(_as_text), AfterValidator(_unless_zero)]
_Labels = Annotated[Texts, AfterValidator(_without_empty), Field(min_length=1)]


class _Alert(BaseModel):
    """An alert of Alertmanager's API; other fields are passed over."""

    labels: _Labels
    annotations: Texts = Field(default_factory=dict)
    starts_at: _Time = Field(default=None, alias="startsAt")
    ends_at: _Time = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")


class _Notified(_Alert):
    """An alert in a notification."""

    status: Status
    fingerprint: str = Field(pattern="^[0-9a-f]{16}$")


class _Notification(BaseModel):
    """Alertmanager's webhook; what its alerts say themselves is passed over."""

    version: Literal["4"]
    status: Status
    receiver: str
    group_key: str = Field(alias="groupKey")
    group_labels: Texts = Field(alias="groupLabels")
    truncated_alerts: int = Field(default=0, alias="truncatedAlerts", ge=0)
    external_url: str = Field(default="", alias="externalURL")
    alerts: list[Any]


def raw(body: bytes, received: datetime, address: str) -> Post:
    """Alerts as Prometheus posts them to ``/api/v2/alerts``.

    Args:
        body: A JSON list.
        received: When it came.
        address: Where it came from.

    Raises:
        ContentError: It is no list.
    """
    content = _json(body)
    if not isinstance(content, list):
        raise ContentError("it is no list of alerts")

    def event(item: object) -> AlertEvent:
        alert = _Alert.model_validate(item)
        ended = alert.ends_at is not None and alert.ends_at <= received
        return RawEvent(
            received_at=received,
            sender=_host(alert.generator_url) or address,
            alert_id=identity(alert.labels),
            fingerprint=fingerprint(alert.labels),
            status="resolved" if ended else "firing",
            startsAt=alert.starts_at or received,
            endsAt=alert.ends_at if ended else None,
            labels=alert.labels,
            annotations=alert.annotations,
            generatorURL=alert.generator_url,
            valid_until=None if ended else alert.ends_at,
        )

    return _post(content, event)


def processed(body: bytes, received: datetime, address: str) -> Post:
    """A notification as Alertmanager's webhook posts it (version 4).

    Args:
        body: A JSON object.
        received: When it came.
        address: Where it came from.

    Raises:
        ContentError: It is no such notification.
    """
    try:
        whole = _Notification.model_validate(_json(body))
    except ValidationError as error:
        raise ContentError(_mistake(error)) from None

    def event(item: object) -> AlertEvent:
        alert = _Notified.model_validate(item)
        return ProcessedEvent(
            received_at=received,
            sender=address,
            alert_id=identity(alert.labels),
            fingerprint=alert.fingerprint,
            status=alert.status,
            startsAt=alert.starts_at or received,
            endsAt=alert.ends_at if alert.status == "resolved" else None,
            labels=alert.labels,
            annotations=alert.annotations,
            generatorURL=alert.generator_url,
            receiver=whole.receiver,
            groupKey=whole.group_key,
            groupLabels=whole.group_labels,
            group_status=whole.status,
            truncatedAlerts=whole.truncated_alerts,
            externalURL=whole.external_url,
        )

    return _post(whole.alerts, event)


def _post(items: Sequence[object], event: Callable[[object], AlertEvent]) -> Post:
    records: list[Record] = []
    unusable, complaint, size = 0, "", 0
    for number, item in enumerate(items):
        try:
            alert_event = event(item)
            record = Record(key=alert_event.key, value=alert_event.value())
            problem = "" if len(record.value) <= MOST_RECORD_BYTES else f"it is larger than {MOST_RECORD_BYTES} bytes"
        except ValidationError as error:
            problem = _mistake(error)
        if problem:
            unusable, complaint = unusable + 1, complaint or f"alert {number}: {problem}"
            continue
        size += len(record.value)
        if size > MOST_POST_BYTES:
            raise ContentError(f"its records are larger than {MOST_POST_BYTES} bytes in all")
        records.append(record)
    return Post(records=records, unusable=unusable, complaint=complaint)


def _json(body: bytes) -> object:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        raise ContentError("it is no JSON") from None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _mistake(error: ValidationError) -> str:
    """Field and kind of the first mistake: both are ours, nothing of the input is quoted."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{first['loc'][0]}: {first['type']}" if first["loc"] else first["type"]
