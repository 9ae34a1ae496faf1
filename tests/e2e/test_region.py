"""A region is lost without warning: the other one takes over, is active; then it hands back (D2, D3)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.dashboards.registry import dashboard_named
from lab.cluster.scaling import scale_down_on_creation
from lab.fakes.receivers.client import Receivers
from lab.paths import LabPaths
from ops.core.context import ALERTMANAGER_PORT
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.web import Web
from ops.dashboards.command import query_client
from ops.drills.procedure import is_settled
from ops.drills.tools import durations
from ops.drills.tools.conditions import CRITICAL, HIGH, Injector, Raised
from ops.drills.tools.load import TOPIC
from ops.drills.tools.log_load import LAYER, LogLoad
from ops.drills.watch import DASHBOARD, Questions, answered_before
from ops.regions.region import witness_of
from services.regions.witness import FAILOVER_AGENT
from tests.support.region_count import (
    GROUP,
    Clock,
    Conditions,
    Harness,
    group_goes_on,
    in_the_end,
    lost_points,
    nobody_twice,
)
from tests.support.region_traffic import LOGS_TOPIC, Group, MovingLoad, logs_of, readable
from tests.support.regions import Command, Gateway, Name, Side, both_authorities, lab, mentions, partition, sides
from tests.support.results import recorded

STACKS = ("local", "local-dr")
DETECTED_BY = "RegionPeerSilent"
RTO_LIMIT_S, RPO_LIMIT_S = 300.0, 15.0
"""Requirement D3."""
STEADY_S = durations.seconds("REGION_STEADY", 30)
SURE_S = 25.0
"""Between a notification and the cut: what a region sent in its last 10 s may be lost, and is sent again."""
COPIED_S = 2.0
"""Time for the condition of the gap to reach the other region, and too short to be told of: High waits for 10 s."""
IN_THE_GAP_S = 20.0
DETECTION_S, FENCED_S, TOLD_S, BACK_S, COPIED_UP_S = 240.0, 240.0, 240.0, 600.0, 900.0
RETRIED_S = 75.0
"""How long Alertmanager goes on trying to send what it began before it was silenced: the interval of a High group."""
DOUBLES_S = 30.0
GIVE_UP_S = 900.0
SILENT_HEARTBEAT_S = 60.0
SCALE_DOWN_EVERY_S = 10.0
LOOK_S = 1.0


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with sides(*STACKS) as (a, b), witness_of(b.access) as witness:
        assert b.access.dns is not None, "no name moves in stack local-dr"
        name = Name(b.access.dns)
        try:
            running_world = Harness(a, b, name, Receivers.of_lab(), witness, both_authorities(tmp_path, a, b), tmp_path)
            try:
                yield running_world
            finally:
                for command in running_world.given:
                    command.stop()
        finally:
            name.close()


def whole(side: Side) -> None:
    """Wait until every pod is ready and every copy in sync."""
    wait_until(lambda: is_settled(side.context), BACK_S, f"{side.name} to be whole", 3.0)


def steady(harness: Harness) -> dict[str, Any]:
    """Wait until both regions are whole, the first one is active, and the copy keeps up; what was seen."""
    for side in (harness.a, harness.b):
        whole(side)
    assert harness.name.host() == harness.a.gateway, f"the name leads to {harness.name.host()}: fail back first"
    state: dict[str, Any] = {}

    def copied() -> bool:
        state.update(harness.give("regions", "--json").result(120))
        behind = state["mirror_latency_s"]
        return behind is not None and behind <= RPO_LIMIT_S

    wait_until(copied, COPIED_UP_S, f"the copy in {harness.b.name} to keep up", 10.0)
    told = {region["region"]: region for region in state["regions"]}
    assert told[harness.a.name]["notifies"] is True, state
    assert told[harness.b.name]["notifies"] is False, state
    assert state["problems"] == [], state
    assert harness.b.access.mirror is not None, "the second region has no mirror: is it a standby?"
    assert GROUP in harness.b.access.mirror.groups
    return {"copy behind s": state["mirror_latency_s"], "differences": len(state["differences"])}


@contextmanager
def lean(harness: Harness) -> Iterator[None]:
    """Inside the block a role that changes brings nothing back that two regions at once are too much for here."""
    with ExitStack() as parts:
        for side in (harness.a, harness.b):
            parts.enter_context(
                scale_down_on_creation(LabPaths.of_checkout(), side.namespace, every_s=SCALE_DOWN_EVERY_S)
            )
        yield


def told(harness: Harness, raised: Raised, start: int) -> bool:
    """Whether on-call was notified of a condition."""
    return bool(mentions(harness.receivers.since(start), raised, harness.receivers.contacts))


def detect(harness: Harness, since: float) -> dict[str, Any]:
    """Wait until the other region says that this one is silent; how long that and an old heartbeat took."""
    old: list[float] = []

    def seen() -> bool:
        last = harness.heartbeat(harness.a.name)
        if not old and last is not None and time.time() - last.at.timestamp() > SILENT_HEARTBEAT_S:
            old.append(time.time())
        return any(alert.name == DETECTED_BY for alert in harness.b.context.alertmanager().alerts())

    wait_until(seen, DETECTION_S, f"{DETECTED_BY} in {harness.b.name}", LOOK_S)
    return {
        "detected by": DETECTED_BY,
        "detected after s": round(time.time() - since, 1),
        "heartbeat older than 60 s after s": round(old[0] - since, 1) if old else None,
    }


def take_over(
    harness: Harness, load: MovingLoad, start: int, gap: Raised, since: float
) -> tuple[Command, dict[str, float]]:
    """Give the command and watch from outside when telemetry and people are served again."""
    command = harness.move("failover", harness.b)
    moments: dict[str, float] = {}

    def served() -> bool:
        first = load.first(harness.b.gateway, since)
        if first is not None:
            moments.setdefault("accepted", first)
        if "accepted" in moments and "readable" not in moments and readable(harness.b.context, load.run_id, since + 1):
            moments["readable"] = time.time()
        if "Critical told" not in moments:
            notifications = mentions(harness.receivers.since(start), gap, harness.receivers.contacts)
            if notifications:
                moments["Critical told"] = min(notification.received_at for notification in notifications)
        if not command.running:
            command.result(1)  # A command that failed is the reason, and not what did not happen after it.
        return moments.keys() >= {"accepted", "readable", "Critical told"}

    wait_until(served, RTO_LIMIT_S + TOLD_S, f"telemetry and a Critical notification in {harness.b.name}", LOOK_S)
    return command, moments


def fenced(harness: Harness) -> float:
    """Let the lost region run again, still cut off: it falls silent by itself; seconds that it took.

    Its pods are reached through the kubelet, which is not cut off.
    """
    lab("partition", harness.a.namespace)
    thawed, kube = time.monotonic(), harness.a.context.kube

    def silenced(member: str) -> bool:
        try:
            silences = harness.a.context.alertmanager(member).silences()
        except OpsError:
            harness.a.context.tunnels.drop(member, ALERTMANAGER_PORT)
            raise
        return any(silence.author == FAILOVER_AGENT and silence.state == "active" for silence in silences)

    def silent() -> bool:
        members = kube.pods("alertmanager")
        return bool(members) and all(silenced(pod.name) for pod in members)

    wait_until(silent, FENCED_S, f"every Alertmanager of {harness.a.name} to be silenced by its failover agent", LOOK_S)
    took = round(time.monotonic() - thawed, 1)
    time.sleep(RETRIED_S)
    return took


@dataclass
class Traffic:
    """What runs during the drill.

    Attributes:
        load: Numbered points to where the name leads, until after the failback.
        logs: Numbered log records to where the name leads, until the other region has taken over.
        group: A consumer of those in the first region.
        injector: Conditions that alerts are about.
        questions: Questions of a dashboard at the second region.
        notifications: Number of the newest notification before.
        starts: Region -> where its topic of metrics ended before.
        log_start: Where the second region's topic of logs ended before.
    """

    load: MovingLoad
    logs: LogLoad
    group: Group
    injector: Injector
    questions: Questions
    notifications: int
    starts: Mapping[str, Mapping[int, int]]
    log_start: Mapping[int, int]


@contextmanager
def traffic(harness: Harness) -> Iterator[Traffic]:
    """Everything but the questions runs inside the block."""
    a, b, web = harness.a.context, harness.b.context, Web(harness.authorities)
    gateway = Gateway(harness.name, a.platform, web)
    sending: Any = SimpleNamespace(otlp=gateway)
    logs = LogLoad(harness.authorities, gateway.logs(LAYER), workers=1, batch=10, pause=0.3)
    panel_client = query_client(b)
    running_traffic = Traffic(
        load=MovingLoad(
            harness.name, a.platform, harness.authorities, workers=3, batch=10, pause=0.4, give_up_after=GIVE_UP_S
        ),
        logs=logs,
        group=Group(a.platform, GROUP, LOGS_TOPIC, logs_of(logs.service), "latest"),
        injector=Injector(sending),
        questions=Questions(panel_client, answered_before(panel_client, dashboard_named(DASHBOARD).panels)),
        notifications=harness.receivers.newest(),
        starts={side.name: side.context.kafka.end_offsets(TOPIC) for side in (harness.a, harness.b)},
        log_start=b.kafka.end_offsets(LOGS_TOPIC),
    )
    try:
        with running_traffic.load, running_traffic.injector, running_traffic.group, running_traffic.logs:
            yield running_traffic
    finally:
        web.close()


def lose(harness: Harness, drive: Traffic, clock: Clock, figures: dict[str, Any]) -> Conditions:
    """Cut the first region off, let the second one take over, and count; the first one runs again at the end."""
    a, b = harness.a, harness.b
    drive.load.run_for(STEADY_S)
    before = drive.injector.raise_one(CRITICAL)
    wait_until(lambda: told(harness, before, drive.notifications), TOLD_S, f"{a.name} to tell of {before.name}", LOOK_S)
    clock.note("notices", f"{before.name} told by {a.name}", time.time())
    time.sleep(SURE_S)
    caught = drive.injector.raise_one(HIGH)
    time.sleep(COPIED_S)
    lost = time.time()
    with partition(a.namespace) as how, drive.questions:
        done = time.time()
        figures["how"] = how
        clock.note("drill", f"{a.name} cut off and frozen", lost, done)
        assert not told(harness, caught, drive.notifications), (
            "on-call was notified before the cut of what the gap should have"
        )
        drive.group.halt()
        time.sleep(IN_THE_GAP_S)
        late = drive.injector.raise_one(CRITICAL)
        figures.update(detect(harness, lost))
        clock.note("alerts", f"{DETECTED_BY} in {b.name}", time.time())
        command, moments = take_over(harness, drive.load, drive.notifications, late, lost)
        for what, at in moments.items():
            figures[f"{what} after s"] = round(at - lost, 1)
            clock.note("drill", what, at)
        figures["RTO s"] = round(max(moments.values()) - lost, 1)
        wait_until(
            lambda: told(harness, caught, drive.notifications), TOLD_S, f"{b.name} to tell of {caught.name}", LOOK_S
        )
        drive.logs.stop()
        time.sleep(DOUBLES_S)
        drive.injector.end()
        figures.update(ended(command, "failover", clock))
        figures.update(lost_points(drive.load, harness, drive.starts[b.name]))
        figures.update(group_goes_on(harness, drive.group.had, drive.logs, drive.log_start))
        figures["old region silent by itself after s"] = fenced(harness)
    reconnected = time.time()
    clock.note("drill", f"{a.name} reconnected", reconnected)
    figures["questions at B"] = drive.questions.requested
    figures["questions without an answer"] = drive.questions.unanswered
    return Conditions(before=before, gap=(caught, late), lost=lost, cut_off=done, reconnected=reconnected)


def ended(command: Command, what: str, clock: Clock) -> dict[str, Any]:
    """What a command reports, once it has ended well."""
    report = command.result()
    clock.note("drill", f"ops {what}", command.began, command.ended)
    return {
        f"{what} command s": command.seconds(),
        f"{what} steps s": {name: step["seconds"] for name, step in report["steps"].items()},
        f"{what} problems": report["problems"],
        f"{what} by its own report": report["figures"],
    }


def hand_back(harness: Harness, drive: Traffic, clock: Clock) -> dict[str, Any]:
    """The first region is whole, silent, and takes over again while the load goes on."""
    a, b = harness.a, harness.b
    began = time.time()
    whole(a)

    def alive() -> bool:
        last = harness.heartbeat(a.name)
        return last is not None and last.at.timestamp() > began

    wait_until(alive, TOLD_S, f"{a.name} to give a sign of life again", LOOK_S)
    last = harness.heartbeat(a.name)
    assert last is not None
    assert last.notifies is False, f"{a.name} is active although {b.name} has the lease"
    operation = ended(harness.move("failback", a), "failback", clock)
    wait_until(lambda: harness.name.host() == a.gateway, 60, f"the name to lead to {a.name}", LOOK_S)
    back = time.time()
    wait_until(lambda: drive.load.first(a.gateway, back) is not None, 60, f"{a.name} to take telemetry", LOOK_S)
    drive.load.run_for(durations.WARM_UP)
    return operation


@pytest.mark.timeout(6000)
def test_a_region_is_lost_and_comes_back(harness: Harness) -> None:
    clock = Clock()
    with recorded("region-drill", harness.b.context.kube) as figures:
        try:
            figures["steady"] = steady(harness)
            with lean(harness), traffic(harness) as drive:
                conditions = lose(harness, drive, clock, figures)
                figures.update(hand_back(harness, drive, clock))
            figures.update(nobody_twice(harness, drive.notifications, conditions))
            figures.update(in_the_end(harness, drive.load, drive.starts, conditions))
        finally:
            figures["timeline"] = clock.events
        assert not drive.load.ledger.given_up, drive.load.ledger.problems
        assert figures["RTO s"] <= RTO_LIMIT_S
        assert figures["RPO s"] <= RPO_LIMIT_S
        assert (figures["alerts lost"], figures["double notices"]) == (0, 0)
        assert figures["told by B of the gap"] == figures["fired in the gap"]
        assert figures["group lost"] == 0
        assert figures["group read in B"] > 0
        assert figures["group read again"] < figures["group had read in A"]
        assert figures["missing of B's"] == 0
        assert figures["failback lost"] == 0
        assert figures["of A's before the cut missing in A"] == 0
