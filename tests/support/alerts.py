"""Alerts on the live platform: values beyond a threshold, sent as a layer sends them, and their notifications."""

from __future__ import annotations

import json
import math
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.telemetry.catalogue import metric
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import Notification, status
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError

EVERY_S = 2.0
GOSSIP_PORT = 9094


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

    def notifications(self, notifications: Sequence[Notification], channel: str | None = None) -> list[Notification]:
        """Notifications about it, by its channel or another one."""
        return [
            notification
            for notification in notifications
            if notification.channel == (channel or self.kind.channel) and self.name in json.dumps(notification.data())
        ]

    def latency(self, notifications: Sequence[Notification]) -> float | None:
        """Seconds from the first bad value to the first notification, or None."""
        firing = [
            notification.received_at
            for notification in self.notifications(notifications)
            if status(notification) == "firing"
        ]
        return min(firing) - self.at if firing else None


class Injector:
    """Keeps sending values until the conditions are ended, and then once the good one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._threads: list[threading.Thread] = []
        self.raised: list[Raised] = []

    def raise_one(self, kind: Kind, name: str | None = None) -> Raised:
        """Begin a condition; its clock starts before the first value leaves."""
        raised = Raised(kind, name or f"drill-{secrets.token_hex(3)}x", time.time())
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
            self._context.otlp.metrics(condition(raised.kind, raised.name, value), raised.kind.layer)


def condition(kind: Kind, name: str, value: float) -> ExportMetricsServiceRequest:
    """One value of a condition."""
    resource = otlp.resource_of(kind.layer, "alert-drill", "alert-drill")
    points = [(time.time_ns(), value, {kind.attribute: name})]
    return otlp.gauge(resource, kind.metric, points, unit=metric(kind.metric).unit)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def duplicates(notifications: Sequence[Notification]) -> int:
    """Notifications that say what one before them has said already, to the same audience by the same channel.

    Text messages are left out: they have no room for all alerts, so two that differ may read the same.
    """
    seen: set[str] = set()
    doubled = 0
    for notification in notifications:
        if notification.channel not in ("phone", "slack", "mail"):
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


@contextmanager
def partitioned(port: int = GOSSIP_PORT) -> Iterator[str]:
    """Cut the gossip between the Alertmanagers: packets are dropped on the node, as a broken network would.

    Works on the embedded cluster, whose node's firewall is in the namespace that tests run in.
    """
    rules = [["FORWARD", "-p", "tcp", side, str(port), "-j", "DROP"] for side in ("--dport", "--sport")]
    done: list[list[str]] = []
    try:
        for rule in rules:
            _iptables("-I", rule[0], "1", *rule[1:])
            done.append(rule)
        yield f"packets to and from port {port} dropped on the node"
    finally:
        for rule in done:
            _iptables("-D", *rule)


def _iptables(*arguments: str) -> None:
    subprocess.run(["iptables", "-w", "10", *arguments], check=True, timeout=30, capture_output=True)


def collected(receivers: Receivers, start: int, raised: Sequence[Raised], seconds: float) -> list[Notification]:
    """Notifications since ``start``, once each condition has one, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        notifications = receivers.since(start)
        if time.monotonic() > deadline or all(
            raised_alert.latency(notifications) is not None for raised_alert in raised
        ):
            return notifications
        time.sleep(1)
