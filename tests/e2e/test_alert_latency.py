"""From a fault to a notification: with both Alertmanagers, with one of them, with the two cut off from each other (S2).

At the pager only a call counts: what is merged into an open incident rings nobody, and is no notification. All
conditions of a run are of one name and layer, so they share the notifications of every other channel.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest

from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.phone import Incident, State
from lab.fakes.receivers.record import FIRING, Notification, status
from ops.alerts.silences import acknowledge
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.drills.tools.faults import scaled
from tests.e2e import durations as own_durations
from tests.support.alerts import CRITICAL, HIGH, Injector, Raised, collected, duplicates, partitioned, percentile
from tests.support.results import recorded

WORKLOAD = "alertmanager"
MEMBERS = 2
BETWEEN_S = 6.0
CUT_OFF_S = 30.0
_LATE_S = 200.0


@pytest.fixture
def receivers() -> Receivers:
    """The fakes that stand for pagers, Slack, SNS and a mail server."""
    return Receivers.of_lab()


@contextmanager
def one_killed(context: Context) -> Iterator[str]:
    with scaled(context.kube, WORKLOAD, 1, MEMBERS):
        context.kube.wait_ready(WORKLOAD, 1, durations.READY)
        yield "one of two members stopped"
    context.kube.wait_ready(WORKLOAD, MEMBERS, durations.READY)


@contextmanager
def cut_off(context: Context) -> Iterator[str]:
    with partitioned() as how:
        # Not until each sees only itself: with gossip over TLS a member may never notice that its peer is lost.
        time.sleep(CUT_OFF_S)
        yield f"{how}; members that each saw: {members(context)}"
    wait_until(lambda: members(context) == [MEMBERS] * MEMBERS, 180, "the members to see each other again", 2)


def members(context: Context) -> list[int]:
    """How many members each member sees."""
    return [context.alertmanager(pod.name).cluster().members for pod in context.kube.pods(WORKLOAD)]


def measure(context: Context, receivers: Receivers, runs: int, figures: dict[str, Any]) -> None:
    """Raise ``runs`` Critical and High conditions at moments that no schedule knows, and count what comes of them."""
    start, chance = receivers.newest(), random.Random(runs)
    with Injector(context) as injector:
        for _ in range(runs):
            injector.raise_one(CRITICAL)
            injector.raise_one(HIGH)
            time.sleep(BETWEEN_S + chance.uniform(0, BETWEEN_S / 2))
            # A notification names the first of many alerts only, so what was told makes room.
            injector.end_told(receivers.since(start))
        notifications = collected(receivers, start, injector.raised, _LATE_S)
    for kind, label in ((CRITICAL, "critical"), (HIGH, "high")):
        latencies = [raised.latency(notifications) for raised in injector.raised if raised.kind is kind]
        seen = [value for value in latencies if value is not None]
        figures[f"{label} runs"] = len(latencies)
        figures[f"{label} lost"] = len(latencies) - len(seen)
        if seen:
            figures[f"{label} s median, p95, worst"] = [
                round(value, 1) for value in (percentile(seen, 0.5), percentile(seen, 0.95), max(seen))
            ]
    calls = [len(firing(raised, notifications)) for raised in injector.raised if raised.kind is CRITICAL]
    figures["calls for each Critical, fewest and most"] = [min(calls), max(calls)]
    figures["notices"] = sum(
        notification.channel in ("phone", "sms", "slack", "mail") for notification in notifications
    )
    figures["duplicates"] = duplicates(notifications)
    for kind, label in ((CRITICAL, "critical"), (HIGH, "high")):
        assert figures[f"{label} lost"] == 0
        assert figures[f"{label} s median, p95, worst"][1] <= kind.limit_s
    assert figures["calls for each Critical, fewest and most"][0] >= 1


def firing(raised: Raised, notifications: Sequence[Notification]) -> list[Notification]:
    """Notifications of a condition by its channel that say that it is there."""
    return [notification for notification in raised.notifications(notifications) if status(notification) == FIRING]


CASES: dict[str, Callable[[Context], AbstractContextManager[str]]] = {
    "few": lambda context: nullcontext("both members"),
    "both": lambda context: nullcontext("both members"),
    "one-killed": one_killed,
    "partitioned": cut_off,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", list(CASES))
def test_a_notification_arrives_in_time(settled: Context, receivers: Receivers, case: str) -> None:
    situation = CASES[case](settled)
    with recorded(f"alert-latency-{case}", settled.kube) as figures, situation as how:
        figures["situation"] = how
        measure(settled, receivers, own_durations.FEW_ALERT_RUNS if case == "few" else durations.ALERT_RUNS, figures)


class Calls:
    """What the operators' pager shows of conditions."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers, self._start = receivers, receivers.newest()

    def of(self, raised: Raised) -> list[Incident]:
        """Incidents of a condition."""
        keys = {notification.body["dedup_key"] for notification in firing(raised, self._receivers.since(self._start))}
        return [incident for incident in self._receivers.incidents() if incident.dedup_key in keys]

    def rung_after_s(self, raised: Raised) -> float:
        """Wait until the phone rang for a condition: seconds since its first bad value."""
        wait_until(lambda: bool(self.of(raised)), _LATE_S, f"a call about {raised.name}", 0.5)
        (incident,) = self.of(raised)
        return round(incident.opened_at - raised.at, 1)

    def closed_after_s(self, raised: Raised, since: float) -> float:
        """Wait until every incident of a condition is closed: seconds since a moment."""
        wait_until(
            lambda: {incident.state for incident in self.of(raised)} == {State.RESOLVED},
            _LATE_S,
            f"the end of the incident of {raised.name}",
            0.5,
        )
        return round(time.time() - since, 1)


@pytest.mark.timeout(900)
def test_a_second_critical_alert_rings_while_the_first_one_is_acknowledged(
    settled: Context, receivers: Receivers
) -> None:
    calls = Calls(receivers)
    with recorded("alert-incidents", settled.kube) as figures:
        with Injector(settled) as injector:
            first = injector.raise_one(CRITICAL)
            figures["first rings after s"] = calls.rung_after_s(first)
            receivers.acknowledge(*calls.of(first))
            second = injector.raise_one(CRITICAL)
            figures["second rings after s, the first one acknowledged at the pager"] = calls.rung_after_s(second)
            assert [incident.state for incident in calls.of(first)] == [State.ACKNOWLEDGED]
            third = injector.raise_one(CRITICAL)
            figures["third rings after s, two open"] = calls.rung_after_s(third)
            alerts = settled.alertmanager().alerts()
            (identity,) = {alert.identity for alert in alerts if third.name in alert.identity}
            began = time.time()
            acknowledge(settled.alertmanager(), identity, timedelta(minutes=10), "e2e", "drill", None)
            figures["third closed after s, acknowledged by ops ack"] = calls.closed_after_s(third, began)
            assert [incident.state for incident in calls.of(second)] == [State.TRIGGERED]
            ended = time.time()
        figures["first closed after s, its fault over"] = calls.closed_after_s(first, ended)
        figures["second closed after s, its fault over"] = calls.closed_after_s(second, ended)
        figures["rang"] = [calls.of(raised)[0].rang for raised in (first, second, third)]
        assert figures["rang"] == [1, 1, 1]
        for name in ("first rings after s", "second rings after s, the first one acknowledged at the pager"):
            assert figures[name] <= CRITICAL.limit_s
