"""From a fault to a notification: with both Alertmanagers, with one of them, with the two cut off from each other (S2).

At the pager only a call counts: what is merged into an open incident rings nobody, and is no notification.
"""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from lab.fakes.receivers.channels import State
from lab.fakes.receivers.client import Receivers
from ops.alerts.silences import acknowledge
from ops.core.context import Context
from ops.drills.procedures.alerts import measure
from ops.drills.tools import durations
from ops.drills.tools.notifications import CRITICAL, Injector, NotificationRecord
from tests.e2e import durations as own_durations
from tests.support.drills import limit, problems
from tests.support.pager_calls import Calls
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
        figures["notices"] = {
            "a second Critical of the same name and layer, the one before it open": calls.notices(second, third),
            "a second one while the first is acknowledged": calls.notices(first, second),
        }
        figures["rang"] = [calls.of(raised)[0].rang for raised in (first, second, third)]
        assert figures["rang"] == [1, 1, 1]
        for name in (
            "first rings after s",
            "second rings after s, the first one acknowledged at the pager",
            "third rings after s, two open",
        ):
            assert figures[name] <= CRITICAL.limit_s
