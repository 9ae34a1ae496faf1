"""A region is lost without warning: the other one takes over, is active; then it hands back (D2, D3)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.consumers import consumer_name
from components.dashboards.registry import dashboard_named
from ops.core.context import ALERTMANAGER_PORT, Context
from ops.core.errors import OpsError
from ops.core.kafka import caught_up
from ops.core.kube import wait_until
from ops.core.web import Web
from ops.dashboards.command import query_client
from ops.drills.procedure import CannotRunError, is_settled
from ops.drills.tools import durations, outside
from ops.drills.tools.accounts import must, unmet
from ops.drills.tools.load import LOG_LAYER, TOPIC, LogLoad
from ops.drills.tools.notifications import CRITICAL, HIGH, Injector, NotificationRecord, Raised
from ops.drills.tools.outside import (
    TAKE_AWAY_S,
    RegionCommands,
    beside,
    of_namespace,
    region_commands,
    run,
    taken_away,
    try_first,
)
from ops.drills.tools.region_traffic import (
    GROUP,
    LOGS_TOPIC,
    Clock,
    Conditions,
    Group,
    MovingLoad,
    Pair,
    group_goes_on,
    in_the_end,
    logs_of,
    lost_points,
    nobody_twice,
    readable,
)
from ops.drills.tools.regions import (
    Command,
    Gateway,
    Name,
    Side,
    Sizes,
    both,
    both_authorities,
    mentions,
    resized,
    sizes,
)
from ops.drills.watch import DASHBOARD, Questions, answered_before
from ops.regions.region import witness_of
from services.regions import FAILOVER_AGENT

DETECTED_BY = "RegionPeerSilent"
RTO_LIMIT_S, RPO_LIMIT_S = 300.0, 15.0
"""Requirement D3; the targets of the catalog say so too."""
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
LOOK_S, LOOK_LIMIT_S = 1.0, 120.0
REFUSED_S = 120.0
"""An update would take longer than a refusal may."""


def lose_region(context: Context, figures: dict[str, Any]) -> list[str]:
    """Cut the selected stack's region off under load, have the other one take over, and hand back."""
    commands, clock = region_commands(), Clock()
    with TemporaryDirectory(prefix="obs-drill-region-") as folder, opened(context, Path(folder)) as pair:
        try_first(pair.a.name, of_namespace(commands.reconnect, pair.a.namespace))
        try:
            figures["steady"] = steady(pair)
            with beside(commands.beside), traffic(pair) as drive:
                conditions = lose(pair, commands, drive, clock, figures)
                figures.update(hand_back(pair, drive, clock))
            figures.update(nobody_twice(pair, drive.notifications, conditions))
            figures.update(in_the_end(pair, drive.load, drive.starts, conditions))
        finally:
            figures["timeline"] = clock.events
    return problems(figures)


@contextmanager
def opened(context: Context, folder: Path) -> Iterator[Pair]:
    """Both regions and who looks at them; commands that are under way end with the block.

    Raises:
        CannotRunError: Something is missing that the drill needs.
    """
    record = NotificationRecord.of_environment()
    with both(context) as (a, b), witness_of(b.access) as witness:
        mirror, dns = b.access.mirror, b.access.dns
        if dns is None:
            raise CannotRunError(f"no name moves between the regions: name them in the stack file of {b.name}")
        if mirror is None or GROUP not in mirror.groups:
            raise CannotRunError(
                f"the mirror of {b.name} does not translate the offsets of the group {GROUP}: it must be a standby, "
                "with that group in regions.groups of the stack file"
            )
        name = Name(dns)
        try:
            pair = Pair(a, b, name, record, witness, both_authorities(folder, a, b), folder)
            try:
                yield pair
            finally:
                for command in pair.given:
                    command.stop()
        finally:
            name.close()


def whole(side: Side) -> None:
    """Wait until every pod is ready and every copy in sync."""
    wait_until(lambda: is_settled(side.context), BACK_S, f"{side.name} to be whole", 3.0)


def consumers_caught_up(side: Side) -> None:
    """Wait until every Prometheus has what its brokers have: a new region first reads hours of copied records."""
    groups = [consumer_name(replica) for replica in side.context.platform.prometheus_replicas]
    what = f"the consumers of {side.name} to have read what was copied"
    wait_until(lambda: caught_up(side.context.kafka, groups), COPIED_UP_S, what, 10.0)


def steady(pair: Pair) -> dict[str, Any]:
    """Wait until both regions are whole and read, the first one is active, and the copy keeps up; what was seen.

    Raises:
        CannotRunError: The name does not lead to the first region.
        OpsError: They are not, in time.
    """
    if (leads := pair.name.host()) != pair.a.gateway:
        raise CannotRunError(f"the name leads to {leads}, and {pair.a.name} is at {pair.a.gateway}: fail back first")
    for side in (pair.a, pair.b):
        whole(side)
    state: dict[str, Any] = {}

    def copied() -> bool:
        state.update(pair.give("regions", "--json").result(LOOK_LIMIT_S))
        behind = state["mirror_latency_s"]
        return behind is not None and behind <= RPO_LIMIT_S

    wait_until(copied, COPIED_UP_S, f"the copy in {pair.b.name} to keep up", 10.0)
    consumers_caught_up(pair.b)
    told = {region["region"]: region for region in state["regions"]}
    must(told[pair.a.name]["notifies"] is True, f"before the drill {pair.a.name} does not notify")
    must(told[pair.b.name]["notifies"] is False, f"before the drill {pair.b.name} notifies too")
    must(state["problems"] == [], f"before the drill the regions have problems: {state['problems']}")
    return {"copy behind s": state["mirror_latency_s"], "differences": len(state["differences"])}


def told(pair: Pair, raised: Raised, start: int) -> bool:
    """Whether on-call was notified of a condition."""
    return bool(mentions(pair.record.since(start), raised))


def detect(pair: Pair, since: float) -> dict[str, Any]:
    """Wait until the other region says that this one is silent; how long that and an old heartbeat took."""
    old: list[float] = []

    def seen() -> bool:
        last = pair.sighting(pair.a.name)
        if not old and last is not None and (last.age_s or 0.0) > SILENT_HEARTBEAT_S:
            old.append(time.time())
        return any(alert.name == DETECTED_BY for alert in pair.b.context.alertmanager().alerts())

    wait_until(seen, DETECTION_S, f"{DETECTED_BY} in {pair.b.name}", LOOK_S)
    return {
        "detected by": DETECTED_BY,
        "detected after s": round(time.time() - since, 1),
        "heartbeat older than 60 s after s": round(old[0] - since, 1) if old else None,
    }


def take_over(pair: Pair, load: MovingLoad, start: int, gap: Raised, since: float) -> tuple[Command, dict[str, float]]:
    """Give the command and watch from outside when telemetry and people are served again."""
    command = pair.move("failover", pair.b)
    moments: dict[str, float] = {}

    def served() -> bool:
        first = load.first(pair.b.gateway, since)
        if first is not None:
            moments.setdefault("accepted", first)
        if "accepted" in moments and "readable" not in moments and readable(pair.b.context, load.run_id, since + 1):
            moments["readable"] = time.time()
        if "Critical told" not in moments:
            notifications = mentions(pair.record.since(start), gap)
            if notifications:
                moments["Critical told"] = min(notification.received_at for notification in notifications)
        return command.failed or moments.keys() >= {"accepted", "readable", "Critical told"}

    wait_until(served, RTO_LIMIT_S + TOLD_S, f"telemetry and a Critical notification in {pair.b.name}", LOOK_S)
    if command.failed:
        # It is the reason, and not what did not happen after it.
        command.result()
    return command, moments


def fenced(pair: Pair, commands: RegionCommands) -> float:
    """Let the lost region run again, still cut off: it falls silent by itself; seconds that it took.

    Its pods are reached through the kubelet, which is not cut off.
    """
    run(of_namespace(commands.thaw, pair.a.namespace), TAKE_AWAY_S)
    thawed, kube = time.monotonic(), pair.a.context.kube

    def silenced(member: str) -> bool:
        try:
            silences = pair.a.context.alertmanager(member).silences()
        except OpsError:
            pair.a.context.tunnels.drop(member, ALERTMANAGER_PORT)
            raise
        return any(silence.author == FAILOVER_AGENT and silence.state == "active" for silence in silences)

    def silent() -> bool:
        members = kube.pods("alertmanager")
        return bool(members) and all(silenced(pod.name) for pod in members)

    wait_until(silent, FENCED_S, f"every Alertmanager of {pair.a.name} to be silenced by its failover agent", LOOK_S)
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
def traffic(pair: Pair) -> Iterator[Traffic]:
    """Everything but the questions runs inside the block."""
    a, b, web = pair.a.context, pair.b.context, Web(pair.authorities)
    gateway = Gateway(pair.name, a.platform, web)
    logs = LogLoad(pair.authorities, gateway.logs(LOG_LAYER), workers=1, batch=10, pause=0.3)
    panel_client = query_client(b)
    running_traffic = Traffic(
        load=MovingLoad(
            pair.name, a.platform, pair.authorities, workers=3, batch=10, pause=0.4, give_up_after=GIVE_UP_S
        ),
        logs=logs,
        group=Group(a.platform, GROUP, LOGS_TOPIC, logs_of(logs.service), "latest"),
        injector=Injector(gateway),
        questions=Questions(panel_client, answered_before(panel_client, dashboard_named(DASHBOARD).panels)),
        notifications=pair.record.newest(),
        starts={side.name: side.context.kafka.end_offsets(TOPIC) for side in (pair.a, pair.b)},
        log_start=b.kafka.end_offsets(LOGS_TOPIC),
    )
    try:
        with running_traffic.load, running_traffic.injector, running_traffic.group, running_traffic.logs:
            yield running_traffic
    finally:
        web.close()


def lose(pair: Pair, commands: RegionCommands, drive: Traffic, clock: Clock, figures: dict[str, Any]) -> Conditions:
    """Cut the first region off, let the second one take over, and count; the first one runs again at the end."""
    a, b = pair.a, pair.b
    drive.load.run_for(durations.REGION_STEADY)
    before = drive.injector.raise_one(CRITICAL)
    wait_until(lambda: told(pair, before, drive.notifications), TOLD_S, f"{a.name} to tell of {before.name}", LOOK_S)
    clock.note("notices", f"{before.name} told by {a.name}", time.time())
    as_standby = sizes(b.context.kube)
    time.sleep(SURE_S)
    caught = drive.injector.raise_one(HIGH)
    time.sleep(COPIED_S)
    cut, reconnect = (of_namespace(command, a.namespace) for command in (commands.cut, commands.reconnect))
    lost = time.time()
    with taken_away(a.name, cut, reconnect) as how, drive.questions:
        done = time.time()
        figures["how"] = how
        clock.note("drill", f"{a.name} cut off and frozen", lost, done)
        early = told(pair, caught, drive.notifications)
        must(not early, "on-call was notified before the cut of what the gap should have")
        drive.group.halt()
        time.sleep(IN_THE_GAP_S)
        late = drive.injector.raise_one(CRITICAL)
        figures.update(detect(pair, lost))
        clock.note("alerts", f"{DETECTED_BY} in {b.name}", time.time())
        command, moments = take_over(pair, drive.load, drive.notifications, late, lost)
        for what, at in moments.items():
            figures[f"{what} after s"] = round(at - lost, 1)
            clock.note("drill", what, at)
        figures["RTO s"] = round(max(moments.values()) - lost, 1)
        wait_until(
            lambda: told(pair, caught, drive.notifications), TOLD_S, f"{b.name} to tell of {caught.name}", LOOK_S
        )
        drive.logs.stop()
        time.sleep(DOUBLES_S)
        drive.injector.end()
        figures.update(ended(command, "failover", clock))
        figures.update(promoted(b, as_standby, lost))
        figures.update(lost_points(drive.load, pair, drive.starts[b.name]))
        figures.update(group_goes_on(pair, drive.group.had, drive.logs, drive.log_start))
        figures["old region silent by itself after s"] = fenced(pair, commands)
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


def promoted(side: Side, before: Sizes, since: float) -> dict[str, Any]:
    """What the promotion of a standby resizes, and seconds until every workload is ready as updated.

    Nobody looks before the failover's command has ended, so it may have taken less. A region that is not ready in time
    is no reason to leave the other one cut off: `problems` tells of it.
    """
    figures: dict[str, Any] = {"workloads ready after s": None, "workloads resized": None, "workloads not ready": ""}
    kube = side.context.kube
    try:
        kube.wait_all_rolled()
        figures["workloads ready after s"] = round(time.time() - since, 1)
        figures["workloads resized"] = resized(before, sizes(kube))
    except OpsError as error:
        figures["workloads not ready"] = str(error)
    return figures


def hand_back(pair: Pair, drive: Traffic, clock: Clock) -> dict[str, Any]:
    """The first region is whole, silent, and takes over again while the load goes on."""
    a, b = pair.a, pair.b
    before = pair.sighting(a.name)
    whole(a)

    def alive() -> bool:
        last = pair.sighting(a.name)
        return last is not None and (before is None or last.heartbeat.at != before.heartbeat.at)

    wait_until(alive, TOLD_S, f"{a.name} to give a sign of life again", LOOK_S)
    last = pair.sighting(a.name)
    must(last is not None and not last.heartbeat.notifies, f"{a.name} is active although {b.name} has the lease")
    mixed = contexts_mixed_up(pair)
    operation = ended(pair.move("failback", a), "failback", clock)
    wait_until(lambda: pair.name.host() == a.gateway, 60, f"the name to lead to {a.name}", LOOK_S)
    back = time.time()
    wait_until(lambda: drive.load.first(a.gateway, back) is not None, 60, f"{a.name} to take telemetry", LOOK_S)
    drive.load.run_for(durations.WARM_UP)
    return {**mixed, **operation}


def contexts_mixed_up(pair: Pair) -> dict[str, Any]:
    """Give the failback where the contexts of both clusters are swapped: refused before it changes anything.

    Regions that share a cluster have nothing to swap.
    """
    of_a, of_b = (side.context.platform.cluster for side in (pair.a, pair.b))
    if of_a is None or of_b is None or of_a.uid == of_b.uid or of_a.context is None or of_b.context is None:
        return {"clusters": 1}
    file = pair.folder / "swapped.kubeconfig"
    outside.write_swapped(file, of_a.context, of_b.context)
    command = pair.move("failback", pair.a, KUBECONFIG=str(file))
    try:
        command.result(REFUSED_S)
    except OpsError as error:
        refusal = str(error)
    else:
        raise OpsError(f"with swapped contexts `ops failback` wrote the settings of {pair.a.name} into another cluster")
    must(f"leads to the cluster {of_a.uid}" in refusal, f"with swapped contexts `ops failback` said: {refusal}")
    must(pair.name.host() == pair.b.gateway, f"a failback that was refused has moved the name from {pair.b.name}")
    return {"clusters": 2, "failback with swapped contexts refused after s": command.seconds()}


def problems(figures: Mapping[str, Any]) -> list[str]:
    """What did not hold beside the targets of the catalog, from the figures of a run."""
    told, fired = figures["told by B of the gap"], figures["fired in the gap"]
    again, had = figures["group read again"], figures["group had read in A"]
    late = figures["workloads not ready"]
    return unmet(
        (not late, f"workloads of the second region: {late}"),
        (figures["points given up"] == 0, f"{figures['points given up']} points were never acknowledged"),
        (told == fired, f"{told} notifications were about {fired} alerts of the gap"),
        (figures["group read in B"] > 0, "the group read nothing in the second region"),
        (again < had, f"the group read {again} of {had} records again"),
    )
