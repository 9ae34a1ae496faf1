"""A Prometheus and a pair of Alertmanagers whose time runs faster, with the receivers' fakes behind them.

Rules, routes and command lines are the platform's own. Divided are the alerts' ``for``, the delays of the escalation
and the routes' times: by 60 for Critical, whose minute lasts a second, by more for what takes hours. What a
notification may take on its way is that of this harness, written in `WAY`. Undivided are the times in which the two
Alertmanagers agree who notifies: 3 s of waiting for each other and, so that these fit, at least 10 s between two looks
at a group, as Critical has it.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import requests
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.alerting.escalation import (
    LEVELS,
    TIMINGS,
    EscalationDelays,
    Timing,
    Way,
    divided,
    escalated,
    milliseconds,
)
from components.rules import Alert, RuleGroup, Severity, alert_id, rule_file
from lab.fakes.receivers.record import DEAD_MANS_SWITCH, HEARTBEAT, MAIL, PHONE, SLACK, SMS, Notification
from ops.alerts.silences import acknowledge
from ops.core.alertmanager import Alertmanager
from ops.core.web import Web
from tests.config import alertmanager_files
from tests.config.alertmanager_process import Pair, pair
from tests.config.prometheus_process import (
    USERS,
    PrometheusProcess,
    alert_target,
    prometheus_process,
    write_files,
)

DIVISORS: Mapping[Severity, int] = {
    Severity.CRITICAL: 60,
    Severity.HIGH: 120,
    Severity.MEDIUM: 160,
    Severity.LOW: 60,
}
"""How many times faster the time of a priority runs. Medium's delay has to be longer than the 30 s for which a
Prometheus that was restarted keeps everything waiting."""
INTERVAL = "500ms"
"""Between two evaluations."""
WAY = {"arrival": "300ms", "delivery": "1500ms", "members": "0s"}
"""What a notification may take here at worst: values come four times a second, both members are there."""
LOOK = "10s"
"""Least time between two looks at a group."""
LOOK_S = milliseconds(LOOK) / 1000
HOLDS = {Severity.CRITICAL: "30s", Severity.HIGH: "1m", Severity.MEDIUM: "1m", Severity.LOW: "1m"}
LABELS = {"instance": "tester-1", "job": "tester"}
_PUSH_EVERY_S = 0.25
_JUST_LOOKED_S, _BEFORE_LOOK_S = 0.3, 4.0


def delays() -> EscalationDelays:
    """The delays of the escalation in this harness."""
    return EscalationDelays(
        **{severity.value: divided(str(EscalationDelays().of(severity)), DIVISORS[severity]) for severity in LEVELS}
    )


def delay_s(severity: Severity) -> float:
    """Seconds from a problem within which the next contact is notified in this harness."""
    delay = delays().of(severity)
    assert delay is not None
    return hold_s(severity) + milliseconds(delay) / 1000


def early_s(severity: Severity) -> float:
    """How much earlier the next contact may be notified: a notification's way, and what an evaluation rounds."""
    longest = Way(timings=timings(), **WAY).longest_ms(severity, RuleGroup(name="any", rules=(), interval=INTERVAL))
    return (longest + milliseconds(INTERVAL)) / 1000


def hold_s(severity: Severity) -> float:
    """Seconds from a problem to its alert in this harness."""
    return milliseconds(divided(HOLDS[severity], DIVISORS[severity])) / 1000


def wait_s(severity: Severity) -> float:
    """Seconds from an alert to its first notification in this harness."""
    return milliseconds(timings()[severity].group_wait) / 1000


def groups(alerts: Mapping[str, Severity]) -> tuple[RuleGroup, ...]:
    """One rule for each alert, with its twin; every other one is wide."""
    rules = tuple(
        Alert(
            name=name,
            expr=f'trouble{{kind="{name}"}} > 0',
            for_=divided(HOLDS[severity], DIVISORS[severity]),
            severity=severity,
            summary=f"{name} at {{{{ $labels.instance }}}}",
            description="Only for tests.",
            annotations={"summary_ja": "試験"},
            wide=number % 2 == 0,
        )
        for number, (name, severity) in enumerate(alerts.items())
    )
    group = RuleGroup(name="trouble", rules=rules, interval=INTERVAL)
    return escalated([group], delays(), Way(timings=timings(), **WAY))


def timings() -> dict[Severity, Timing]:
    """The routes' times in this harness."""
    return {
        severity: Timing(
            group_wait=divided(timing.group_wait, DIVISORS[severity]),
            group_interval=max(divided(timing.group_interval, DIVISORS[severity]), LOOK, key=milliseconds),
            repeat_interval=divided(timing.repeat_interval, DIVISORS[severity]),
        )
        for severity, timing in TIMINGS.items()
    }


@dataclass(frozen=True)
class Told:
    """Somebody was told something by one channel."""

    alert: str
    state: str
    contact: str
    channel: str
    at: float = field(compare=False)


@dataclass
class Harness:
    """What a story needs: trouble, people who acknowledge, and what others were told."""

    folder: Path
    pair: Pair
    names: Sequence[str]
    prometheus: PrometheusProcess | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    away_from: float = 0.0
    away_to: float = 0.0
    _trouble: dict[str, float] = field(default_factory=dict)

    @property
    def away_s(self) -> float:
        """For how many seconds Prometheus did not evaluate, with what it lost of the last evaluations."""
        return self.away_to - self.away_from + 2 * milliseconds(INTERVAL) / 1000

    def trouble(self, alert: str, there: bool) -> float:
        """Make or end the trouble that an alert is about; the moment before it."""
        now = time.time()
        self._trouble[alert] = 1.0 if there else 0.0
        return now

    def acknowledge(self, alert: str) -> float:
        """What ``ops ack`` does; the moment when it counts."""
        web = Web(str(self.folder / "ca.crt"))
        login = ("operator", alertmanager_files.USERS["operator"])
        try:
            member = Alertmanager(web, f"https://localhost:{self.pair.members[0].web}", login)
            acknowledge(member, identity(alert), timedelta(hours=1), "tester", "", None)
        finally:
            web.close()
        return time.time()

    def told(self, alert: str | None = None) -> list[Told]:
        """Everything that anybody was told, in order."""
        return [
            notification
            for notification in _read(self.pair.record.since(), self.names)
            if alert in (None, notification.alert)
        ]

    def wait(self, alert: str, state: str, contact: str, channels: Sequence[str], limit_s: float) -> list[Told]:
        """Wait until a contact was notified by all channels."""
        deadline = time.monotonic() + limit_s
        while True:
            notifications = [
                notification
                for notification in self.told(alert)
                if (notification.state, notification.contact) == (state, contact)
            ]
            if {notification.channel for notification in notifications} >= set(channels):
                return notifications
            assert time.monotonic() < deadline, (
                f"{contact} not told in {limit_s} s that {alert} is {state}: {notifications}"
            )
            time.sleep(0.1)

    def between_looks(self, *notifications: Sequence[Told]) -> None:
        """Wait for a moment at which neither Alertmanager is about to look at a group, or has just looked.

        Alertmanager 0.31 decides with what it saw before it waited for the other member. Where an alert changes between
        the looks of the two, which are some milliseconds apart, on-call is notified twice.
        """
        starts = [min(notification.at for notification in told) for told in notifications]
        while not all(_JUST_LOOKED_S <= (time.time() - start) % LOOK_S <= LOOK_S - _BEFORE_LOOK_S for start in starts):
            time.sleep(0.05)

    def start_prometheus(self) -> ExitStack:
        """Start Prometheus, the second time on the data of the first; closing the stack ends it."""
        with ExitStack() as stack:
            self.prometheus = stack.enter_context(prometheus_process(self.folder))
            return stack.pop_all()

    def push(self) -> None:
        """Tell Prometheus of all troubles, as a consumer does, again and again until the end."""
        while not self.ended.wait(_PUSH_EVERY_S):
            prometheus = self.prometheus
            if not self._trouble or prometheus is None:
                continue
            try:
                _push(prometheus, dict(self._trouble))
            except requests.RequestException:
                continue


def identity(alert: str) -> str:
    """The label ``alert_id`` of an alert and of its twin."""
    return alert_id(alert, {**LABELS, "kind": alert})


def _push(prometheus: PrometheusProcess, trouble: Mapping[str, float]) -> None:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in {"service.name": LABELS["job"], "service.instance.id": LABELS["instance"]}.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name="trouble")
    for kind, number in trouble.items():
        point = metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=number)
        point.attributes.add(key="kind").value.string_value = kind
    requests.post(
        f"{prometheus.url}/api/v1/otlp/v1/metrics",
        data=request.SerializeToString(),
        auth=("writer", USERS["writer"]),
        headers={"content-type": "application/x-protobuf"},
        verify=str(prometheus.folder / "ca.crt"),
        timeout=60,
    ).raise_for_status()


def _read(notifications: Sequence[Notification], names: Sequence[str]) -> Iterator[Told]:
    contacts = {
        address: name
        for name, contact in alertmanager_files.CONTACTS.items()
        for address in (name, contact.mail, contact.sms_topic)
        if address
    }
    contacts |= {key: name for name, key in alertmanager_files.ROUTING_KEYS.items()}
    incidents: dict[str, str] = {}
    for notification in notifications:
        if notification.channel in (HEARTBEAT, DEAD_MANS_SWITCH):
            continue
        assert notification.channel in (PHONE, SMS, SLACK, MAIL)
        if notification.channel == PHONE and notification.body["event_action"] == "resolve":
            state, alert = "resolved", incidents[notification.body["dedup_key"]]
        else:
            match = re.match(r"\[(RESOLVED)?.*?\] (\w+)", notification.title)
            assert match, f"a notification with another title: {notification.title!r}"
            state, alert = "resolved" if match[1] else "firing", match[2]
        if notification.channel == PHONE:
            incidents[notification.body["dedup_key"]] = alert
        assert alert in names, f"a notification about something else: {notification.title!r}"
        yield Told(alert, state, contacts[notification.audience], notification.channel, notification.received_at)


@contextmanager
def harness(folder: Path, alerts: Mapping[str, Severity]) -> Iterator[Harness]:
    """Everything running, nothing in trouble."""
    with ExitStack() as stack:
        both = stack.enter_context(pair(folder, timings=timings(), escalation=LEVELS))
        own = folder / "prometheus"
        own.mkdir()
        for name in ("tls.crt", "tls.key", "ca.crt"):
            shutil.copy(folder / name, own / name)
        (own / "rules.yml").write_text(yaml.safe_dump(rule_file(groups(alerts), "https://runbooks.example.org")))
        write_files(
            own,
            alerts=[alert_target("alertmanager")],
            passwords={"alertmanager": alertmanager_files.USERS["prometheus"]},
            members={"alertmanager": [member.web for member in both.members]},
        )
        here = Harness(own, both, tuple(alerts))
        pusher = threading.Thread(target=here.push, daemon=True)
        stack.callback(pusher.join)
        stack.callback(here.ended.set)
        pusher.start()
        yield here
