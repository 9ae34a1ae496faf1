"""What a record in ``alerts-raw`` and ``alerts-processed`` is: its key, its fields, its JSON (docs/alert-events.md).

Fields that the sender wrote keep the sender's spelling (``startsAt``); ours are in snake_case (``received_at``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

VERSION: Literal[1] = 1
ID_LABEL = "alert_id"
"""Label that the rules give every alert; an escalated alert has that of its original."""

_NAME_LABEL = "alertname"
_FNV_OFFSET, _FNV_PRIME, _FNV_BITS = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_SEPARATOR = b"\xff"

Status = Literal["firing", "resolved"]
Texts = dict[str, str]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    AwareDatetime,
    AfterValidator(_utc),
    PlainSerializer(_written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T09:30:00.000Z"]}),
]
"""A moment in UTC, written with milliseconds: the same moment is the same text in both topics."""


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
    """An alert as a Prometheus sent it: on each change, again every 30 s while it fires and 15 min after it ended."""

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
