"""Parts of the alerts' path die: events wait for their service, a prober that hangs is told of, a region's failover
agent that is gone silences nobody, and where nobody can be notified the dead man's switch tells (A3, O5, D2, D4); from
a fault to a notification with one of two Alertmanagers, and with the two cut off from each other (S2).

At the pager only a call counts: what is merged into an open incident rings nobody, and is no notification. Most
Critical conditions of a run are of one name and layer, so they share the notifications of every other channel; one of
another name and layer begins whenever it can.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Final, TypeVar

from components.alertevents import WORKLOAD as EVENTS
from components.alertmanager.component import WORKLOAD
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.probes import WORKLOAD as PROBES
from components.regions import WORKLOAD as FAILOVER_AGENT
from components.telemetry.catalogue import metric
from ops.alerts import events as alert_events
from ops.alerts.events import Stage
from ops.core.alertmanager import Alertmanager, Matcher
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.dashboards.panel_queries import quantile
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import Returning, dropped, frozen, kill, scaled
from ops.drills.tools.notifications import (
    CRITICAL,
    DEAD_MANS_SWITCH,
    FIRING,
    HIGH,
    MAIL,
    OTHER_CRITICAL,
    PHONE,
    SLACK,
    SMS,
    Injector,
    Kind,
    Notification,
    NotificationRecord,
    Raised,
    collected,
    duplicates,
    repeated,
    status,
)

AT_EACH_MOMENT: Final = 3
ARRIVES_S, FIRES_S, ENDS_S = 90.0, 130.0, 90.0
SWITCH_TELLS_S: Final = 240.0
DOWN: Final = "TargetDown"
ALERTMANAGERS: Final = 2
_PAUSE_S = 2.0
_ARMED_S, _SWITCHED_S, _OVER_S = 120.0, 300.0, 180.0


class Events:
    """What Kafka was told since a moment."""

    def __init__(self, context: Context) -> None:
        self._context, self._began = context, datetime.now(UTC)

    def told(self, names: set[str], stage: Stage, status: str) -> set[str]:
        """Those names of which a topic has an event with that status."""
        events = alert_events.read(self._context.platform, stage, self._began).events
        identities = " ".join(event.alert_id for event in events if event.status == status)
        return {name for name in names if name in identities}

    def senders(self, since: datetime) -> set[str]:
        """Which Prometheus told of the alert that always fires, from a moment on."""
        events = alert_events.read(self._context.platform, Stage.RAW, self._began).events
        return {event.sender for event in events if event.alert_id == "Watchdog" and event.received_at > since}

    def await_all(self, names: set[str], stage: Stage, status: str) -> float:
        """Wait until a topic has an event with that status of each name; seconds it took."""
        what = f"{status} events of all {len(names)} alerts in {alert_events.TOPICS[stage]}"
        return round(wait_until(lambda: self.told(names, stage, status) == names, ARRIVES_S, what, _PAUSE_S), 1)


def kill_alert_events(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the service that writes alerts to Kafka.

    Conditions begin before the kill, while the service is away, and all end after it: both topics have all.
    """
    events = Events(context)
    with Injector(context.otlp) as injector:
        names = {injector.raise_one(CRITICAL).name for _ in range(AT_EACH_MOMENT)}
        events.await_all(names, Stage.RAW, "firing")
        victim = context.kube.ready_pod(EVENTS)
        killed = datetime.now(UTC)
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        names |= {injector.raise_one(CRITICAL).name for _ in range(AT_EACH_MOMENT)}
        figures["back after s"] = returning.after()
        figures["alerts"] = len(names)
        figures["all raised ones in alerts-raw after s"] = events.await_all(names, Stage.RAW, "firing")
        figures["all told ones in alerts-processed after s"] = events.await_all(names, Stage.PROCESSED, "firing")
    figures["all ends in alerts-raw after s"] = events.await_all(names, Stage.RAW, "resolved")
    replicas = len(context.platform.prometheus_replicas)
    wait_until(lambda: len(events.senders(killed)) == replicas, ARRIVES_S, "posts of every Prometheus", _PAUSE_S)
    return []


def fires(context: Context, job: str) -> bool:
    """Whether Alertmanager has the alert about a target of a job that does not answer."""
    return any(alert.name == DOWN and alert.labels.get("job") == job for alert in context.alertmanager().alerts())


def freeze_prober(context: Context, figures: dict[str, Any]) -> list[str]:
    """Freeze a prober, then kill it.

    A kill alone is over before anybody has to hear of it; a prober that hangs for a minute is another matter.
    """
    victim = context.kube.ready_pod(PROBES)
    if fires(context, PROBES):
        return [f"{DOWN} of {PROBES} fires before the drill"]
    began = time.monotonic()
    with frozen(victim) as how:
        figures["how"] = how
        wait_until(lambda: fires(context, PROBES), FIRES_S, f"{DOWN} of {PROBES}", _PAUSE_S)
        figures["fires after s"] = round(time.monotonic() - began, 1)
        # The kubelet may have restarted it while it was frozen: what counts is a restart after the kill.
        [victim] = [pod for pod in context.kube.pods(PROBES) if pod.uid == victim.uid]
        returning = Returning(context.kube, victim, durations.READY)
        kill(context.kube, victim)
    killed = time.monotonic()
    figures["back after s"] = returning.after()
    wait_until(lambda: not fires(context, PROBES), ENDS_S, f"the end of {DOWN} of {PROBES}", _PAUSE_S)
    figures["over after s"] = round(time.monotonic() - killed, 1)
    return []


def says(context: Context, metric: str, since: float = 0.0) -> float | None:
    """Last metrics of a failover agent that started after ``since``, as long as it can be scraped."""
    started = f'max(process_start_time_seconds{{job="{FAILOVER_AGENT}"}}) > {since:.0f}'
    return context.thanos.number(f'max({metric}) and on () up{{job="{FAILOVER_AGENT}"}} == 1 and on () {started}')


def kill_failover_agent(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the failover agent; on-call is notified of what begins while it is away, once, and as fast as ever."""
    record = NotificationRecord.of_environment()
    notifies, epoch = says(context, "failover_agent_notifies"), says(context, "failover_agent_lease_epoch")
    if notifies != 1 or epoch is None:
        return [f"before the drill {FAILOVER_AGENT} says that it notifies: {notifies}, its epoch of the lease: {epoch}"]
    start, victim = record.newest(), context.kube.ready_pod(FAILOVER_AGENT)
    with Injector(context.otlp) as injector:
        returning, killed = Returning(context.kube, victim, durations.READY), time.time()
        figures["how"] = kill(context.kube, victim)
        raised = injector.raise_one(CRITICAL)
        latency = raised.latency(collected(record, start, [raised], ARRIVES_S))
        figures["told after s"] = None if latency is None else round(latency, 1)
        figures["back after s"] = returning.after()
        wait_until(
            lambda: (
                says(context, "failover_agent_notifies", killed) == 1
                and says(context, "failover_agent_lease_epoch", killed) is not None
            ),
            ARRIVES_S,
            f"the new {FAILOVER_AGENT} to follow the lease",
            _PAUSE_S,
        )
        twice = duplicates(raised.notifications(record.since(start)))
        figures["notices twice"] = twice
    changed = says(context, "failover_agent_lease_epoch", killed) != epoch
    figures["lease changed hands"] = changed
    return unmet(
        (
            latency is not None and round(latency, 1) <= CRITICAL.limit_s,
            f"a Critical was notified after {figures['told after s']} s, must be within {CRITICAL.limit_s:g} s",
        ),
        (twice == 0, f"{twice} notifications came twice"),
        (not changed, "the lease changed hands"),
    )


def stop_alertmanagers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Stop every Alertmanager: the dead man's switch outside tells, and tells again when heartbeats come."""
    record = NotificationRecord.of_environment()
    wait_until(record.switch_armed, _ARMED_S, "a first heartbeat")
    start, gone = record.newest(), time.time()
    with scaled(context.kube, ALERTMANAGER, 0, ALERTMANAGERS):
        received = record.wait_for(start, DEAD_MANS_SWITCH, _SWITCHED_S)
        figures["told after s"] = round(received[0].received_at - gone, 1)
        figures["said"] = received[0].title
    context.kube.wait_ready(ALERTMANAGER, ALERTMANAGERS, durations.READY)
    record.wait_for(start, DEAD_MANS_SWITCH, _OVER_S, count=2)
    return unmet(
        (len(received) == 1, f"the switch told {len(received)} times that the platform is silent"),
        (
            figures["told after s"] < SWITCH_TELLS_S,
            f"the switch told after {figures['told after s']} s, must be within {SWITCH_TELLS_S:g} s",
        ),
    )


MEMBERS: Final = 2
GOSSIP_PORT: Final = 9094
BETWEEN_S: Final = 6.0
CUT_OFF_S: Final = 30.0
LATE_S: Final = 200.0
FORGOTTEN_S: Final = 120.0
"""A condition of `OTHER_CRITICAL` can begin a minute after the end of the one before, which may be of another run."""
FEW: Final = (
    f"(sum(increase({metric(OTHER_CRITICAL.total).prometheus}[1m])) or vector(0)) < {OTHER_CRITICAL.bad * 10:g}"
)
"""PromQL: so few were counted in the minute that the rule looks at that what a condition fails is a large part."""
LEVELS: Final = {"critical": (CRITICAL, OTHER_CRITICAL), "high": (HIGH,)}
_SEE_EACH_OTHER_S = 180.0
_SILENCED = timedelta(minutes=5)
_GOSSIP_S = 2.0
"""Below the peer timeout, which the second member waits for the first one's notification log (docs/adr/0012)."""
_N = TypeVar("_N", bound=Notification)


def notify_with_one_member(context: Context, figures: dict[str, Any]) -> list[str]:
    """Raise conditions while one of two Alertmanagers is stopped."""
    record = NotificationRecord.of_environment()
    with scaled(context.kube, WORKLOAD, 1, MEMBERS):
        context.kube.wait_ready(WORKLOAD, 1, durations.READY)
        figures["situation"] = "one of two members stopped"
        problems = measure(context, record, durations.ALERT_RUNS, figures)
    context.kube.wait_ready(WORKLOAD, MEMBERS, durations.READY)
    return problems


def notify_while_split(context: Context, figures: dict[str, Any]) -> list[str]:
    """Raise conditions while the Alertmanagers do not reach each other."""
    record = NotificationRecord.of_environment()
    with dropped(GOSSIP_PORT) as cut_off:
        # Not until each sees only itself: with gossip over TLS a member may never notice that its peer is lost.
        time.sleep(CUT_OFF_S)
        figures["situation"] = f"{cut_off.text}; members that each saw: {members(context)}"
        problems = measure(context, record, durations.ALERT_RUNS, figures)
        figures["packets dropped"] = cut_off.packets()
    problems += unmet(
        (figures["packets dropped"] > 0, "no packet between the members was dropped: they were not apart")
    )
    apart_s = wait_until(
        lambda: members(context) == [MEMBERS] * MEMBERS, _SEE_EACH_OTHER_S, "the members to see each other again", 2
    )
    # To be listed as a peer is not yet to receive gossip (docs/adr/0012).
    apart_s += wait_until(lambda: gossip(context), _SEE_EACH_OTHER_S, "gossip between the members to work again", 1)
    figures["news reach the other member again after s"] = round(apart_s, 1)
    return problems


def members(context: Context) -> list[int]:
    """How many members each member sees."""
    return [context.alertmanager(pod.name).cluster().members for pod in context.kube.pods(WORKLOAD)]


def gossip(context: Context) -> bool:
    """Whether a silence set at one member is at the other within the peer timeout, in both directions."""
    pods = [pod.name for pod in context.kube.pods(WORKLOAD)]
    return all(_reaches(context.alertmanager(one), context.alertmanager(other)) for one, other in permutations(pods, 2))


def _reaches(one: Alertmanager, other: Alertmanager) -> bool:
    nobody = Matcher(name="alertname", value=f"drill-{secrets.token_hex(8)}")
    silence = one.silence([nobody], datetime.now(UTC) + _SILENCED, "drill", "checks gossip between the members")
    try:
        wait_until(lambda: silence in {known.id for known in other.silences()}, _GOSSIP_S, "a silence", _GOSSIP_S / 10)
    except OpsError:
        return False
    finally:
        one.end(silence)
    return True


def measure(context: Context, record: NotificationRecord, runs: int, figures: dict[str, Any]) -> list[str]:
    """Raise conditions at moments that no schedule knows, and count what comes of them.

    Args:
        context: The platform.
        record: Of notifications.
        runs: How many Critical conditions, of two names and layers, and as many High ones.
        figures: Filled with what came of them.

    Returns:
        What did not hold.
    """
    what = f"{OTHER_CRITICAL.alert} not to fire, and a minute with few {OTHER_CRITICAL.total}"
    wait_until(lambda: can_begin(context), FORGOTTEN_S, what, _PAUSE_S)
    start, chance = record.newest(), random.Random(runs)
    with Injector(context.otlp) as injector:
        for _ in range(runs):
            injector.raise_one(OTHER_CRITICAL if can_begin(context, injector.raised) else CRITICAL)
            injector.raise_one(HIGH)
            time.sleep(BETWEEN_S + chance.uniform(0, BETWEEN_S / 2))
            # A notification names the first of many alerts only, so what was told makes room.
            injector.end_told(record.since(start))
        notifications = collected(record, start, injector.raised, LATE_S)
    return account(figures, injector.raised, notifications)


def can_begin(context: Context, raised: Iterable[Raised] = ()) -> bool:
    """Whether a condition of `OTHER_CRITICAL` would raise its alert anew.

    The one before has been told and is over, and what its end counted is not among what the rule looks at.
    """
    kind = OTHER_CRITICAL
    if not all(one.end.is_set() for one in raised if one.kind is kind):
        return False
    if context.thanos.number(f'ALERTS{{alertname="{kind.alert}",alertstate="firing"}}'):
        return False
    return context.thanos.number(FEW) is not None


def account(figures: dict[str, Any], conditions: Sequence[Raised], notifications: Sequence[Notification]) -> list[str]:
    """Note how fast and how often on-call was notified; what did not hold."""
    problems: list[str] = []
    for label, kinds in LEVELS.items():
        limit_s = kinds[0].limit_s
        latencies = [raised.latency(notifications) for raised in conditions if raised.kind in kinds]
        seen = [value for value in latencies if value is not None]
        lost = len(latencies) - len(seen)
        figures[f"{label} runs"] = len(latencies)
        figures[f"{label} lost"] = lost
        problems += unmet((lost == 0, f"{lost} of {len(latencies)} {label} conditions were never notified"))
        if not seen:
            problems.append(f"no {label} condition was notified")
            continue
        summary = [round(value, 1) for value in (percentile(seen, 0.5), percentile(seen, 0.95), max(seen))]
        figures[f"{label} s median, p95, worst"] = summary
        problems += unmet(
            (
                summary[1] <= limit_s,
                f"95 % of {label} conditions were notified within {summary[1]} s, must be within {limit_s:g} s",
            )
        )
    of_groups: dict[Kind, list[float | None]] = {}
    for raised in conditions:
        of_groups.setdefault(raised.kind, []).append(raised.latency(notifications))
    figures["raised, by name and layer"] = {kind.group: len(latencies) for kind, latencies in of_groups.items()}
    figures["p95 s, by name and layer"] = {
        kind.group: round(percentile(seen, 0.95), 1)
        for kind, latencies in of_groups.items()
        if (seen := [value for value in latencies if value is not None])
    }
    calls = [len(firing(raised, notifications)) for raised in conditions if raised.kind in LEVELS["critical"]]
    figures["calls for each Critical, fewest and most"] = [min(calls), max(calls)]
    figures["notices"] = sum(notification.channel in (PHONE, SMS, SLACK, MAIL) for notification in notifications)
    figures["duplicates"] = repeated(notifications, conditions)
    return problems + unmet((min(calls) >= 1, "a Critical condition rang nobody"))


def firing(raised: Raised, notifications: Iterable[_N]) -> list[_N]:
    """Notifications of a condition by its channel that say that it is there."""
    return [notification for notification in raised.notifications(notifications) if status(notification) == FIRING]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return quantile(sorted(values), share)
