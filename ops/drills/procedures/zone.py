"""A zone is gone: one of everything that runs twice or thrice, at once and without warning (K1, D3)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

from ops.core.alertmanager import FiringAlert
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Pod, wait_until
from ops.core.terminal import uninterrupted
from ops.drills.procedure import is_settled
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import groups, groups_frozen, kill
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from ops.drills.tools.notifications import (
    CRITICAL,
    Injector,
    Kind,
    NotificationRecord,
    collected,
    condition,
    duplicates,
    new_name,
)

NOTICED_S: Final = 40.0
"""Until then callers run into what is gone; readiness probes and sessions end it."""
KAFKA: Final = "kafka"
_BACK_S, _TOLD_S, _LOOK_S, _ANSWERS_S = 600.0, 120.0, 2.0, 60.0
_ARRIVES_S, _READ_S = 60.0, 5.0


def take_zone_away(context: Context, figures: dict[str, Any]) -> list[str]:
    """Freeze the members of a zone at once under load, and kill them in the end."""
    record = NotificationRecord.of_environment()
    start, newest = context.kafka.end_offsets(TOPIC), record.newest()
    began = time.time()
    with Injector(context.otlp) as injector, Ticker(context, f"{int(began)}", context.thanos) as ticker:
        with OtlpLoad(context, give_up_after=240) as load:
            load.run_for(durations.WARM_UP)
            wait_until(lambda: ticker.queries > 3, 60, "the marker at Thanos Query")
            zone = members(context, leader_for(context, CRITICAL))
            figures["taken away"] = sorted(pod.name for pod in zone)
            with away(context, zone) as how:
                gone = time.time()
                figures["how"] = how
                at_once = injector.raise_one(CRITICAL)
                load.run_for(NOTICED_S)
                later = injector.raise_one(CRITICAL)
                load.run_for(max(0.0, durations.ZONE_GONE - (time.time() - gone)))
                figures["alerts"] = sorted(began_to_fire(context, gone) - {CRITICAL.alert})
                figures["away s"] = round(time.time() - gone, 1)
            back = time.time()
            figures["longest pause of clients s"] = round(load.ledger.longest_gap(gone, back), 1)
            load.run_for(durations.AFTER_FAULT)
            wait_until(lambda: is_settled(context), _BACK_S, "all pods ready and all replicas in sync", _LOOK_S)
            figures["whole again after s"] = round(time.time() - back, 1)
        told = collected(record, newest, injector.raised, _TOLD_S)
    for what, raised in (("at once", at_once), ("once noticed", later)):
        latency = raised.latency(told)
        figures[f"Critical {what} told after s"] = None if latency is None else round(latency, 1)
    figures["notices twice"] = duplicates(
        [notification for raised in injector.raised for notification in raised.notifications(told)]
    )
    figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
    missing = {name: len(numbers) for name, numbers in load.missing(context, start, began).items()}
    figures["acknowledged"], figures["missing"] = len(load.ledger.acknowledged), missing.pop("Kafka")
    figures["retries"], figures["given up"] = load.ledger.retries, len(load.ledger.given_up)
    figures |= {f"missing in {name}": count for name, count in missing.items()}
    return problems(figures, context.platform.prometheus_replicas)


def problems(figures: dict[str, Any], replicas: Sequence[str]) -> list[str]:
    """What did not hold, from the figures of a run."""
    at_once, later = (figures[f"Critical {what} told after s"] for what in ("at once", "once noticed"))
    acknowledged, pause = figures["acknowledged"], figures["longest pause of clients s"]
    lost = {f"prometheus-{replica}": figures[f"missing in prometheus-{replica}"] for replica in replicas}
    return unmet(
        (figures["missing"] == 0, f"{figures['missing']} of {acknowledged} acknowledged points are missing in Kafka"),
        (figures["given up"] == 0, f"{figures['given up']} points were never acknowledged"),
        *(
            (missing == 0, f"{missing} of {acknowledged} acknowledged points are missing in {replica}")
            for replica, missing in lost.items()
        ),
        (bool(figures["alerts"]), "nothing fired although a zone was gone"),
        (pause <= NOTICED_S, f"clients paused for {pause} s, must be at most {NOTICED_S:g} s"),
        (at_once is not None, "a Critical that began with the fault was never notified"),
        (
            later is not None and later <= CRITICAL.limit_s,
            f"a Critical that began later was notified after {later} s, must be within {CRITICAL.limit_s:g} s",
        ),
    )


def began_to_fire(context: Context, since: float) -> set[str]:
    """Names of alerts that began after a moment. A connection from before may lead to a member that is gone."""
    alerts: list[FiringAlert] = []

    def answered() -> bool:
        alerts[:] = context.alertmanager().alerts()
        return True

    wait_until(answered, _ANSWERS_S, "an answer of Alertmanager")
    return {alert.name for alert in alerts if alert.starts.timestamp() >= since}


def leader_for(context: Context, kind: Kind) -> int:
    """The broker that leads the partition of a condition: one within its threshold is sent, and looked for.

    Raises:
        OpsError: It does not arrive in Kafka.
    """
    name, start = new_name(), context.kafka.end_offsets(TOPIC)
    context.otlp.metrics(condition(kind, name, kind.good), kind.layer)
    places: list[int] = []

    def arrived() -> bool:
        records = context.kafka.read(TOPIC, start, _READ_S)
        places.extend(record.partition() for record in records if name.encode() in record.value())
        return bool(places)

    wait_until(arrived, _ARRIVES_S, "a value of the alert's condition in Kafka", _LOOK_S)
    return context.kafka.topics()[TOPIC].leaders[places[0]]


def members(context: Context, leader: int) -> list[Pod]:
    """One pod of each workload that has several, and the primary Prometheus with its consumer.

    It is the broker that leads, the hardest to be without, and of other workloads the last pod. What runs once stands
    in another zone: nothing can be said about it by taking it away.

    Args:
        context: The platform.
        leader: Id of the broker.
    """
    pods = sorted((pod for pod in context.kube.pods() if pod.workload), key=lambda pod: (pod.workload, pod.name))
    by_workload = {workload: list(group) for workload, group in groupby(pods, lambda pod: pod.workload)}
    primary = context.platform.prometheus_replicas[0]
    alone = [*by_workload[f"prometheus-{primary}"], *by_workload[f"metrics-consumer-{primary}"]]
    broker = next((pod for pod in by_workload[KAFKA] if pod.name == f"{KAFKA}-{leader}"), None)
    if broker is None:
        raise OpsError(f"broker {leader} leads the partition of the alert, and has no pod {KAFKA}-{leader}")
    others = (pods[-1] for name, pods in by_workload.items() if len(pods) > 1 and name != KAFKA)
    return [broker, *others, *alone]


@contextmanager
def away(context: Context, pods: Sequence[Pod]) -> Iterator[str]:
    """Pods whose processes stand still inside the block, all at once, and are killed at its end.

    As with a machine that lost its power, nobody closes a connection or says good-bye, and what comes back starts
    anew. Frozen processes cannot be killed, so nobody starts them earlier either.
    """
    chosen = groups(pods)
    with groups_frozen(chosen):
        try:
            yield f"{len(chosen)} pods frozen at once, killed at the end"
        finally:
            with uninterrupted():
                for pod in pods:
                    kill(context.kube, pod)
