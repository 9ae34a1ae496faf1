"""From a fault to a notification: with one of two Alertmanagers, and with the two cut off from each other (S2).

At the pager only a call counts: what is merged into an open incident rings nobody, and is no notification. All
conditions of a run are of one name and layer, so they share the notifications of every other channel.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from components.alertmanager.component import WORKLOAD
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.conditions import CRITICAL, HIGH, Injector, Raised, collected
from ops.drills.tools.faults import dropped, scaled
from ops.drills.tools.notifications import (
    FIRING,
    MAIL,
    PHONE,
    SLACK,
    SMS,
    Notification,
    NotificationRecord,
    duplicates,
    status,
)

MEMBERS: Final = 2
GOSSIP_PORT: Final = 9094
BETWEEN_S: Final = 6.0
CUT_OFF_S: Final = 30.0
LATE_S: Final = 200.0
_SEE_EACH_OTHER_S = 180.0
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
    with dropped(GOSSIP_PORT) as how:
        # Not until each sees only itself: with gossip over TLS a member may never notice that its peer is lost.
        time.sleep(CUT_OFF_S)
        figures["situation"] = f"{how}; members that each saw: {members(context)}"
        problems = measure(context, record, durations.ALERT_RUNS, figures)
    wait_until(
        lambda: members(context) == [MEMBERS] * MEMBERS, _SEE_EACH_OTHER_S, "the members to see each other again", 2
    )
    return problems


def members(context: Context) -> list[int]:
    """How many members each member sees."""
    return [context.alertmanager(pod.name).cluster().members for pod in context.kube.pods(WORKLOAD)]


def measure(context: Context, record: NotificationRecord, runs: int, figures: dict[str, Any]) -> list[str]:
    """Raise conditions at moments that no schedule knows, and count what comes of them.

    Args:
        context: The platform.
        record: Of notifications.
        runs: How many Critical conditions, and as many High ones.
        figures: Filled with what came of them.

    Returns:
        What did not hold.
    """
    start, chance = record.newest(), random.Random(runs)
    with Injector(context.otlp) as injector:
        for _ in range(runs):
            injector.raise_one(CRITICAL)
            injector.raise_one(HIGH)
            time.sleep(BETWEEN_S + chance.uniform(0, BETWEEN_S / 2))
            # A notification names the first of many alerts only, so what was told makes room.
            injector.end_told(record.since(start))
        notifications = collected(record, start, injector.raised, LATE_S)
    return account(figures, injector.raised, notifications)


def account(figures: dict[str, Any], conditions: Sequence[Raised], notifications: Sequence[Notification]) -> list[str]:
    """Note how fast and how often on-call was notified; what did not hold."""
    problems: list[str] = []
    for kind, label in ((CRITICAL, "critical"), (HIGH, "high")):
        latencies = [raised.latency(notifications) for raised in conditions if raised.kind is kind]
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
                summary[1] <= kind.limit_s,
                f"95 % of {label} conditions were notified within {summary[1]} s, must be within {kind.limit_s:g} s",
            )
        )
    calls = [len(firing(raised, notifications)) for raised in conditions if raised.kind is CRITICAL]
    figures["calls for each Critical, fewest and most"] = [min(calls), max(calls)]
    figures["notices"] = sum(notification.channel in (PHONE, SMS, SLACK, MAIL) for notification in notifications)
    figures["duplicates"] = duplicates(notifications)
    return problems + unmet((min(calls) >= 1, "a Critical condition rang nobody"))


def firing(raised: Raised, notifications: Iterable[_N]) -> list[_N]:
    """Notifications of a condition by its channel that say that it is there."""
    return [notification for notification in raised.notifications(notifications) if status(notification) == FIRING]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
