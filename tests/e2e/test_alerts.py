"""Every threshold to its people, escalation and its end, the dead man's switch, alert events (P3, A1 to A3, D4, M3)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.telemetry.thresholds import THRESHOLDS, Threshold
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import Notification
from ops.alerts import events as alert_events
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.platform import PROJECT
from ops.drills.tools import durations
from ops.drills.tools.faults import scaled
from ops.drills.tools.notifications import CRITICAL, Injector, Raised, collected
from tests.e2e import durations as own_durations
from tests.support.alert_waves import Row, Watch, low, quieted_by, waves
from tests.support.drills import limit, problems
from tests.support.results import recorded

ESCALATES_S, EARLIEST_S = 300.0, 270.0
"""Within which time the senior manager is notified, and how early at best: what a notification may take on its way."""
_LATE_S = 60.0
CHANNELS = ("phone", "slack")


@pytest.fixture(scope="module")
def receivers() -> Receivers:
    """The fakes that stand for pagers, Slack, SNS and a mail server."""
    return Receivers.of_lab()


def ops(*arguments: str) -> str:
    """Run a day-2 command as an operator would; what it printed."""
    command = [sys.executable, "-m", "ops", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr[-1000:]
    return done.stdout


@dataclass
class Pair:
    """Two Critical conditions that begin together: one is left alone, one is acknowledged at its first notification."""

    injector: Injector
    start: int
    alone: Raised
    taken: Raised
    identities: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def pair(context: Context, receivers: Receivers) -> Iterator[Pair]:
    """Begun with the first test of this file that asks for it, so that the others run while five minutes pass."""
    with Injector(context.otlp) as injector:
        start = receivers.newest()
        begun = Pair(injector, start, injector.raise_one(CRITICAL), injector.raise_one(CRITICAL))
        notifications = collected(receivers, start, [begun.alone, begun.taken], _LATE_S)
        assert all(raised.latency(notifications) is not None for raised in (begun.alone, begun.taken)), (
            "no first notification"
        )
        # A group of Slack's that was there already waits for its interval; what is acknowledged before is not told.
        wait_until(
            lambda: all(
                raised.notifications(receivers.since(start), channel)
                for raised in (begun.alone, begun.taken)
                for channel in CHANNELS
            ),
            _LATE_S,
            "phone and Slack to tell of both alerts",
        )
        for alert in context.alertmanager().alerts():
            for raised in (begun.alone, begun.taken):
                if raised.name in alert.identity:
                    begun.identities[raised.name] = alert.identity
        ops("ack", begun.identities[begun.taken.name], "--for", "20m", "--comment", "drill", "--by", "e2e")
        yield begun


@pytest.mark.timeout(300)
def test_a_critical_alert_is_told_by_phone_sms_and_slack(context: Context, pair: Pair, receivers: Receivers) -> None:
    notifications = receivers.since(pair.start)
    for raised in (pair.alone, pair.taken):
        for channel in CHANNELS:
            assert raised.notifications(notifications, channel), (raised.name, channel)
        assert not raised.notifications(notifications, "mail")
    # A text message has room for the first of several alerts.
    assert receivers.find(pair.start, channel="sms", alert=CRITICAL.alert, status="firing")
    rows = {row["alert_id"]: row for row in json.loads(ops("alerts", "--json"))["alerts"]}
    taken, alone = (rows[pair.identities[raised.name]] for raised in (pair.taken, pair.alone))
    assert taken["acknowledged"]["by"] == "e2e"
    assert alone["acknowledged"] is None


@pytest.mark.timeout(900)
def test_quick_thresholds_fire_reach_their_people_and_resolve(
    context: Context, pair: Pair, receivers: Receivers
) -> None:
    del pair  # Begun here, while this takes its time.
    quick = [threshold for threshold in THRESHOLDS if threshold.name in own_durations.QUICK_THRESHOLDS]
    drive("alert-thresholds-quick", context, receivers, waves(quick))


@pytest.mark.timeout(2700)
def test_every_threshold_fires_reaches_its_people_and_resolves(context: Context, receivers: Receivers) -> None:
    drive("alert-thresholds", context, receivers, waves())


def drive(name: str, context: Context, receivers: Receivers, in_waves: list[list[Threshold]]) -> None:
    """Inject faults wave by wave, and note for each threshold what came of it."""
    began, start = datetime.now(UTC), receivers.newest()
    with recorded(name, context.kube) as figures:
        rows: list[Row] = []
        watch = Watch(context, receivers, start, rows)
        for wave in in_waves:
            sources = [row for row in rows if any(row.threshold.alert in quieted_by(threshold) for threshold in wave)]
            watch.until(own_durations.THRESHOLD_ENDS, sources, lambda row: row.over is not None)
            new = watch.inject(wave)
            try:
                watch.until(own_durations.THRESHOLD_FIRES, new, lambda row: row.told)
                if low(new):
                    # What only the daily report tells of is grouped for a minute, or for five.
                    watch.until(own_durations.LOW_GROUPED, new, lambda row: False)
            finally:
                watch.clear()
        watch.until(own_durations.THRESHOLD_ENDS, rows, lambda row: row.ended)
        figures["thresholds"] = len(rows)
        figures["seconds after the fault"] = {row.threshold.alert: row.shown() for row in rows}
        names = {row.threshold.alert for row in rows}
        events = {
            stage: {event.labels["alertname"] for event in alert_events.read(context.platform, stage, began).events}
            for stage in alert_events.Stage
        }
        figures["in alerts-raw"] = len(events[alert_events.Stage.RAW] & names)
        figures["in alerts-processed"] = len(events[alert_events.Stage.PROCESSED] & names)
        figures["most notices of one alert by one channel"] = watch.most_notifications()
        assert [row.threshold.alert for row in rows if not row.told] == []
        assert [row.threshold.alert for row in low(rows) if row.notified] == []
        assert names - events[alert_events.Stage.PROCESSED] == set()
        assert [row.threshold.alert for row in rows if not row.ended] == []
        assert figures["most notices of one alert by one channel"][1] <= own_durations.NOTIFICATIONS_OF_ONE_ALERT


@pytest.mark.timeout(600)
def test_only_what_nobody_takes_is_escalated(
    context: Context, pair: Pair, receivers: Receivers, tmp_path: Path
) -> None:
    with recorded("alert-escalation", context.kube) as figures:
        due = pair.alone.at + ESCALATES_S
        wait_until(
            lambda: bool(escalated(receivers, pair, pair.alone)),
            max(0.0, due - time.time()) + _LATE_S,
            "the escalation of the alert that nobody took",
            1.0,
        )
        time.sleep(15)
        notifications = escalated(receivers, pair, pair.alone)
        figures["escalated after s"] = round(
            min(notification.received_at for notification in notifications) - pair.alone.at, 1
        )
        figures["told"] = sorted(
            {
                f"{notification.channel} {name}"
                for notification in notifications
                for name in receivers.contacts(notification)
            }
        )
        figures["escalations of the acknowledged one"] = len(escalated(receivers, pair, pair.taken))
        assert EARLIEST_S <= figures["escalated after s"] <= ESCALATES_S
        assert max(notification.received_at for notification in notifications) - pair.alone.at <= ESCALATES_S
        assert {notification.channel for notification in notifications} == {"phone", "sms", "mail"}
        assert figures["escalations of the acknowledged one"] == 0
        assert [
            notification
            for notification in pair.taken.notifications(receivers.since(pair.start), "phone")
            if "Escalated" in notification.title
        ] == []
    with recorded("incident-report", context.kube) as report:
        report.update(incident(pair.identities[pair.alone.name], tmp_path))


def escalated(receivers: Receivers, pair: Pair, raised: Raised) -> list[Notification]:
    """Notifications to the senior manager about one condition."""
    notifications = receivers.find(pair.start, contact="senior-manager", status="firing")
    return [notification for notification in notifications if raised.name in json.dumps(notification.data())]


def incident(identity: str, folder: Path) -> dict[str, Any]:
    """Open an incident of a firing alert, and write its report: what the report has."""
    opened = json.loads(ops("incident", "open", identity, "--folder", str(folder), "--json"))
    ops("incident", "note", opened["id"], "seen", "--first-response", "--folder", str(folder))
    ops("incident", "report", opened["id"], "--folder", str(folder), "--out", str(folder / "out"))
    page = next((folder / "out").rglob("*.html")).read_text()
    assert identity in page
    assert "<svg" in page
    return {"id": opened["id"], "page bytes": len(page)}


@pytest.mark.timeout(300)
def test_a_silence_is_on_both_members_and_survives_the_death_of_one(context: Context, pair: Pair) -> None:
    members = [pod.name for pod in context.kube.pods("alertmanager")]
    identity = pair.identities[pair.taken.name]

    def known(member: str) -> bool:
        return any(silence.acknowledges == identity for silence in context.alertmanager(member).silences())

    assert [known(member) for member in members] == [True, True]
    with scaled(context.kube, "alertmanager", 1, 2):
        context.kube.wait_ready("alertmanager", 1, durations.READY)
        assert known(members[0])
    context.kube.wait_ready("alertmanager", 2, durations.READY)
    wait_until(lambda: known(members[1]), 60, "the silence on the member that was away")


@limit("switch")
def test_the_dead_mans_switch_tells_when_the_platform_cannot(settled: Context) -> None:
    assert problems("switch", settled) == []
