"""Conditions for alerts: values beyond a threshold, sent as a layer sends them, and what on-call was told of each."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.telemetry.catalogue import metric
from ops.core import otlp
from ops.core.errors import OpsError
from ops.drills.tools.notifications import FIRING, Notification, Record, status

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
