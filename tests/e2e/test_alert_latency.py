"""From a fault to a notification: with both Alertmanagers, with one of them, with the two cut off from each other (S2).

At the pager only a call counts: what is merged into an open incident rings nobody, and is no notification. All
conditions of a run are of one name and layer, so they share the notifications of every other channel.
"""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.phone import Incident, State
from ops.alerts.silences import acknowledge
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.procedures.alerts import LATE_S, firing, measure
from ops.drills.tools import durations
from ops.drills.tools.notifications import CRITICAL, Injector, NotificationRecord, Raised
from tests.e2e import durations as own_durations
from tests.support.drills import limit, problems
from tests.support.results import recorded


@pytest.fixture
def receivers() -> Receivers:
    """The fakes that stand for pagers, Slack, SNS and a mail server."""
    return Receivers.of_lab()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("case", "runs"), [("few", own_durations.FEW_ALERT_RUNS), ("both", durations.ALERT_RUNS)], ids=["few", "both"]
)
def test_a_notification_arrives_in_time(settled: Context, case: str, runs: int) -> None:
    with recorded(f"alert-latency-{case}", settled.kube) as figures:
        figures["situation"] = "both members"
        assert measure(settled, NotificationRecord.of_environment(), runs, figures) == []


@limit("alertmanager")
def test_a_notification_arrives_in_time_with_one_alertmanager(settled: Context) -> None:
    assert problems("alertmanager", settled) == []


@limit("alertmanager-split")
def test_a_notification_arrives_in_time_while_alertmanagers_are_cut_off(settled: Context) -> None:
    assert problems("alertmanager-split", settled) == []


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
        wait_until(lambda: bool(self.of(raised)), LATE_S, f"a call about {raised.name}", 0.5)
        (incident,) = self.of(raised)
        return round(incident.opened_at - raised.at, 1)

    def closed_after_s(self, raised: Raised, since: float) -> float:
        """Wait until every incident of a condition is closed: seconds since a moment."""
        wait_until(
            lambda: {incident.state for incident in self.of(raised)} == {State.RESOLVED},
            LATE_S,
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
        with Injector(settled.otlp) as injector:
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
