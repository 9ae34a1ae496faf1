"""What a record in ``alerts-raw`` and ``alerts-processed`` is: its key, its fields, its JSON (docs/alert-events.md).

Fields that the sender wrote keep the sender's spelling (``startsAt``); ours are in snake_case (``received_at``). What
senders post is turned into records here: what is no alert is left out and counted, and does not hold up the others.
``python -m services.alert_events.events docs/schemas`` writes the JSON Schemas of both topics, made from the models.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import from_json

from services.runtime.kafka_sender import MOST_POST_BYTES, Record
from services.runtime.settings import Moment

VERSION: Literal[1] = 1
ID_LABEL = "alert_id"
"""Label that the rules give every alert; an escalated alert has that of its original."""
_NAME_LABEL = "alertname"
_FNV_OFFSET, _FNV_PRIME, _FNV_BITS = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_SEPARATOR = b"\xff"
Status = Literal["firing", "resolved"]
Texts = dict[str, str]
MOST_RECORD_BYTES = 900_000
"""Largest record; below the least that producers, brokers and consumers take without being asked to take more."""
_GO_ZERO_YEAR = 1


class AlertEvent(BaseModel):
    """What both topics say about an alert; every field is always there."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    schema_version: Literal[1] = Field(
        default=VERSION,
        description="Version of this schema. Fields may be added within a version: readers pass over others.",
    )
    received_at: Moment = Field(description="When this platform received it.")
    sender: str = Field(
        description="Who sent it: the host name that a Prometheus gives as its own, else the address of the pod."
    )
    alert_id: str = Field(
        description="Identity of the alert, also the record's key: the label alert_id, else name and sorted labels."
    )
    fingerprint: str = Field(
        pattern="^[0-9a-f]{16}$", description="Alertmanager's hash of the labels: one per alert and escalation level."
    )
    status: Status = Field(description="Whether it fired or had ended when it was sent.")
    starts_at: Moment = Field(alias="startsAt", description="When it began to fire, as the sender says.")
    ends_at: Moment | None = Field(alias="endsAt", description="When it ended; null while it fires.")
    labels: Texts = Field(description="All labels.")
    annotations: Texts = Field(description="All annotations, as templates were filled in when it was sent.")
    generator_url: str = Field(alias="generatorURL", description="The rule's query in Prometheus; may be empty.")

    @property
    def key(self) -> bytes:
        """Key of the record."""
        return self.alert_id.encode()

    def value(self) -> bytes:
        """The record: JSON in UTF-8."""
        return self.model_dump_json(by_alias=True).encode()


class RawEvent(AlertEvent):
    """An alert as a Prometheus sent it: on each change, again every 10 s while it fires and 15 min after it ended."""

    valid_until: Moment | None = Field(
        description="A firing alert that is not sent again until then is over: its Prometheus is gone. Null when ended."
    )


class ProcessedEvent(AlertEvent):
    """An alert of a notification as an Alertmanager sent it: one record for each alert of the group."""

    receiver: str = Field(description="Receiver that the notification went to.")
    group_key: str = Field(alias="groupKey", description="Route and group of the notification.")
    group_labels: Texts = Field(alias="groupLabels", description="Labels that all alerts of the group share.")
    group_status: Status = Field(description="Status of the whole notification: firing while one alert of it fires.")
    truncated_alerts: int = Field(
        alias="truncatedAlerts", ge=0, description="Alerts of the group that Alertmanager left out; mostly 0."
    )
    external_url: str = Field(alias="externalURL", description="Address of Alertmanager for people.")


def identity(labels: Mapping[str, str]) -> str:
    """Identity of an alert: its label ``alert_id``, else ``<alertname>/k=v/k=v`` over its other labels, sorted."""
    given = labels.get(ID_LABEL)
    if given:
        return given
    parts = (f"/{quote_plus(name)}={quote_plus(labels[name])}" for name in sorted(labels) if name != _NAME_LABEL)
    return labels.get(_NAME_LABEL, "") + "".join(parts)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint of a label set: 64 bit FNV-1a over sorted names and values, in hexadecimal."""
    state = _FNV_OFFSET
    for name in sorted(labels):
        for byte in name.encode() + _SEPARATOR + labels[name].encode() + _SEPARATOR:
            state = ((state ^ byte) * _FNV_PRIME) & _FNV_BITS
    return f"{state:016x}"


MODELS: dict[str, type[AlertEvent]] = {
    f"alert-events-raw.v{VERSION}.json": RawEvent,
    f"alert-events-processed.v{VERSION}.json": ProcessedEvent,
}
"""File name -> what it describes."""


def schema(model: type[AlertEvent]) -> dict[str, Any]:
    """JSON Schema (2020-12) of what is written; fields that it does not name may be there, too."""
    model_json_schema = model.model_json_schema(by_alias=True, mode="serialization")
    for field in model_json_schema["properties"].values():
        del field["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model_json_schema}


def schema_text(model: type[AlertEvent]) -> str:
    """Content of the file."""
    return json.dumps(schema(model), indent=2) + "\n"


def write_schemas(folder: Path) -> None:
    """Write the files."""
    for name, model in MODELS.items():
        (folder / name).write_text(schema_text(model))


class ContentError(Exception):
    """What was posted is not what is posted here; in one line, without any of it."""


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
            problem = _too_large(len(record.value), size)
        except ValidationError as error:
            problem = _mistake(error)
        if problem:
            unusable, complaint = unusable + 1, complaint or f"alert {number}: {problem}"
            continue
        size += len(record.value)
        records.append(record)
    return Post(records=records, unusable=unusable, complaint=complaint)


def _too_large(record: int, before: int) -> str:
    if record > MOST_RECORD_BYTES:
        return f"it is larger than {MOST_RECORD_BYTES} bytes"
    return f"the records are larger than {MOST_POST_BYTES} bytes in all" if before + record > MOST_POST_BYTES else ""


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


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
