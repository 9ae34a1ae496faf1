"""What reached the people whom alerts go to: a record outside the platform, of what each channel received; and
conditions for alerts, sent as a layer sends them.

A drill that promises notifications can only be had where something keeps such a record. `VARIABLE` names a file that
says where it is; the lab's fakes of pager, SMS, Slack and mail keep one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from pydantic import BaseModel, ConfigDict

from components.telemetry.catalogue import metric
from ops.core import files, otlp
from ops.core.errors import OpsError
from ops.core.platform import Login
from ops.core.web import Web
from ops.drills.procedure import CannotRunError

VARIABLE: Final = "OBS_NOTIFICATION_RECORD"
"""Environment variable that names the file of `Address`."""
PHONE, SMS, SLACK, MAIL, DEAD_MANS_SWITCH = "phone", "sms", "slack", "mail", "dead-mans-switch"
FIRING, RESOLVED, ACKNOWLEDGED = "firing", "resolved", "acknowledged"
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED, "acknowledge": ACKNOWLEDGED}
_TITLE = re.compile(r"\[([^\]]*)\]")
_LOOK_EVERY_S = 0.5


class Address(BaseModel):
    """Where the record is; in a file, as JSON.

    Attributes:
        url: ``https://host:port``; ``/notifications?since=`` is asked.
        login: Who may read it.
        ca_file: Authority of its certificate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    login: Login
    ca_file: Path


class Notification(Protocol):
    """Something that a channel received.

    Attributes:
        number: Position in the record, counted from 1 and never used twice.
        channel: By which it came.
        audience: Who it was for, as the channel names them.
        title: What a person sees first.
        body: Everything that arrived, as JSON data.
        received_at: Seconds since 1970 (UTC).
    """

    @property
    def number(self) -> int: ...

    @property
    def channel(self) -> str: ...

    @property
    def audience(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def body(self) -> Any: ...

    @property
    def received_at(self) -> float: ...


class Record(Protocol):
    """Tells what was received."""

    def since(self, start: int) -> Sequence[Notification]:
        """Notifications after a number, in the order of arrival."""
        ...


@dataclass(frozen=True, kw_only=True)
class Received:
    """A `Notification` as the record answers it."""

    number: int
    channel: str
    audience: str
    title: str
    body: Any
    received_at: float


class NotificationRecord:
    """Reads the record over HTTPS."""

    def __init__(self, address: Address) -> None:
        self._address, self._web = address, Web(str(address.ca_file))

    @classmethod
    def of_environment(cls) -> NotificationRecord:
        """The record that the environment names.

        Raises:
            CannotRunError: It names none, or no file of this kind.
        """
        if not (named := os.environ.get(VARIABLE)):
            raise CannotRunError(
                f"nothing tells what on-call received: {VARIABLE} must name a file with the address of a record of "
                "notifications (in the lab: python -m lab exec --)"
            )
        try:
            return cls(files.read_json(Address, Path(named), named=VARIABLE))
        except OpsError as error:
            raise CannotRunError(str(error)) from None

    def since(self, start: int = 0) -> list[Received]:
        """Notifications after a number, in the order of arrival.

        Raises:
            OpsError: The record does not answer.
        """
        names = [attribute.name for attribute in fields(Received)]
        return [Received(**{name: entry[name] for name in names}) for entry in self._ask(start)["notifications"]]

    def newest(self) -> int:
        """Number of the newest notification, 0 where there is none: what comes later is ``since`` it."""
        notifications = self.since()
        return notifications[-1].number if notifications else 0

    def switch_armed(self) -> bool:
        """Whether the dead man's switch has had a heartbeat, without which it tells nothing."""
        return bool(self._ask(sys.maxsize)["switch"]["armed"])

    def wait_for(self, start: int, channel: str, seconds: float, count: int = 1) -> list[Received]:
        """Wait until so many notifications came by a channel, and return all that did.

        Raises:
            OpsError: There are fewer after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while len(received := [one for one in self.since(start) if one.channel == channel]) < count:
            if time.monotonic() > deadline:
                raise OpsError(f"{len(received)} of {count} notifications by {channel} within {seconds:.0f} s")
            time.sleep(_LOOK_EVERY_S)
        return received

    def _ask(self, start: int) -> dict[str, Any]:
        url = f"{self._address.url}/notifications?since={start}"
        with self._web.call("GET", url, auth=self._address.login.pair) as response:
            if response.status_code != 200:
                raise OpsError(f"the record of notifications answered {response.status_code}")
            content: dict[str, Any] = response.json()
        return content


def status(notification: Notification) -> str | None:
    """`FIRING`, `RESOLVED` or `ACKNOWLEDGED`; None where a notification does not tell.

    Where a notification is about several alerts, some of them over, it is firing.
    """
    if notification.channel == PHONE:
        return _ACTIONS.get(notification.body.get("event_action", ""))
    title = _TITLE.match(notification.title)
    if title is None:
        return None
    return RESOLVED if "RESOLVED" in title[1] else FIRING


def duplicates(notifications: Iterable[Notification]) -> int:
    """Notifications that say what one before them has said already, to the same audience by the same channel.

    Text messages are left out: they have no room for all alerts, so two that differ may read the same.
    """
    seen: set[str] = set()
    doubled = 0
    for notification in notifications:
        if notification.channel not in (PHONE, SLACK, MAIL):
            continue
        said = json.dumps(
            [notification.channel, notification.audience, notification.title, _said(notification.body)], sort_keys=True
        )
        doubled += said in seen
        seen.add(said)
    return doubled


_VARYING = frozenset({"message_id", "Message-Id", "message-id", "date", "Date", "received", "timestamp", "client_url"})


def _said(value: Any) -> Any:
    """A notification without what differs between two that mean the same."""
    if isinstance(value, Mapping):
        return {key: _said(nested) for key, nested in value.items() if key not in _VARYING}
    return [_said(nested) for nested in value] if isinstance(value, list) else value


EVERY_S = 2.0
_N = TypeVar("_N", bound=Notification)


@dataclass(frozen=True)
class Kind:
    """A condition that a client can make true for a name of its own, at once.

    Attributes:
        alert: The alert.
        layer: Layer that sends the metric.
        metric: OTLP name of a gauge of the catalogue.
        attribute: Attribute that carries the name.
        bad: Value beyond the threshold.
        good: Value within it.
        channel: Channel on which the notification is looked for.
        limit_s: Seconds that the requirement gives the notification (S2).
    """

    alert: str
    layer: str
    metric: str
    attribute: str
    bad: float
    good: float
    channel: str
    limit_s: float


CRITICAL = Kind(
    "DataInconsistent",
    "data",
    "consistency.check.inconsistencies",
    "consistency.check.name",
    bad=12,
    good=0,
    channel="phone",
    limit_s=30,
)
HIGH = Kind("EtlJobFailed", "data", "etl.job.last_status", "etl.job.name", bad=0, good=1, channel="slack", limit_s=120)


@dataclass
class Raised:
    """One injected condition."""

    kind: Kind
    name: str
    at: float
    end: threading.Event = field(default_factory=threading.Event)

    def notifications(self, notifications: Iterable[_N], channel: str | None = None) -> list[_N]:
        """Notifications about it, by its channel or another one."""
        return [
            notification
            for notification in notifications
            if notification.channel == (channel or self.kind.channel)
            and self.name in json.dumps([notification.audience, notification.title, notification.body])
        ]

    def latency(self, notifications: Sequence[Notification]) -> float | None:
        """Seconds from the first bad value to the first notification, or None."""
        firing = [
            notification.received_at
            for notification in self.notifications(notifications)
            if status(notification) == FIRING
        ]
        return min(firing) - self.at if firing else None


class Sender(Protocol):
    """Sends metrics as a layer; `ops.core.otlp.OtlpClient` does."""

    def metrics(self, request: ExportMetricsServiceRequest, layer: str) -> tuple[int, int]:
        """Status code of the answer, and how many points were rejected."""
        ...


class Injector:
    """Keeps sending values until the conditions are ended, and then once the good one."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._threads: list[threading.Thread] = []
        self.raised: list[Raised] = []

    def raise_one(self, kind: Kind, name: str | None = None) -> Raised:
        """Begin a condition; its clock starts before the first value leaves."""
        raised = Raised(kind, name or new_name(), time.time())
        self.raised.append(raised)
        thread = threading.Thread(target=self._keep, args=(raised,), name=raised.name)
        thread.start()
        self._threads.append(thread)
        return raised

    def end(self) -> None:
        """End every condition and wait until the good values are sent."""
        for raised in self.raised:
            raised.end.set()
        for thread in self._threads:
            thread.join(60)

    def end_told(self, notifications: Sequence[Notification]) -> None:
        """End the conditions that on-call was notified of."""
        for raised in self.raised:
            if not raised.end.is_set() and raised.latency(notifications) is not None:
                raised.end.set()

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _keep(self, raised: Raised) -> None:
        while not raised.end.is_set():
            self._send(raised, raised.kind.bad)
            raised.end.wait(EVERY_S)
        for _ in range(3):
            self._send(raised, raised.kind.good)
            time.sleep(0.5)

    def _send(self, raised: Raised, value: float) -> None:
        with suppress(OpsError):
            self._sender.metrics(condition(raised.kind, raised.name, value), raised.kind.layer)


def new_name() -> str:
    """A name that no condition has had."""
    return f"drill-{secrets.token_hex(3)}x"


def condition(kind: Kind, name: str, value: float) -> ExportMetricsServiceRequest:
    """One value of a condition."""
    resource = otlp.resource_of(kind.layer, "alert-drill", "alert-drill")
    points = [(time.time_ns(), value, {kind.attribute: name})]
    return otlp.gauge(resource, kind.metric, points, unit=metric(kind.metric).unit)


def collected(record: Record, start: int, raised: Sequence[Raised], seconds: float) -> Sequence[Notification]:
    """Notifications since ``start``, once each condition has one, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        notifications = record.since(start)
        if time.monotonic() > deadline or all(
            raised_alert.latency(notifications) is not None for raised_alert in raised
        ):
            return notifications
        time.sleep(1)
