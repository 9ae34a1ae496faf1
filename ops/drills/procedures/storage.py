"""Grows the brokers' volumes by the stack's settings, under load, with the pods running on (requirement S1)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.sizes import size_of
from components.telemetry.topics import METRICS_TOPIC
from ops.core import pulumi
from ops.core.context import Context
from ops.core.kube import Kube
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad
from ops.storage.claims import of_part
from ops.storage.cluster import Volumes
from ops.storage.command import follow, wanted_by
from ops.storage.grow import grow, look

PART: Final = "kafka"
"""Key of the settings, and name of the StatefulSet."""
MORE: Final = 2**30
"""Bytes that each broker's volume gets."""
AFTER_S: Final = 30.0


def grow_brokers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Raise the size in the stack's file, grow, bring the stack up, all while points are sent; count what is missing.

    Volumes never shrink: the platform keeps what they got.
    """
    topic, volumes = METRICS_TOPIC.name, Volumes(context.kube)
    had = max(line.claim.requested for line in look(volumes, of_part(wanted_by(), PART)).lines)
    size = larger(had)
    start = context.kafka.end_offsets(topic)
    began = time.time()
    before = lives(context.kube)
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        pulumi.set_storage(PART, size)
        wanted = of_part(wanted_by(), PART)
        say(f"growing the brokers' volumes from {had} to {size}")
        changed = time.monotonic()
        grow(context.kube, wanted, follow)
        figures["grown after s"] = round(time.monotonic() - changed, 1)
        say("pulumi up")
        changed = time.monotonic()
        pulumi.up()
        figures["pulumi up s"] = round(time.monotonic() - changed, 1)
        after = lives(context.kube)
        load.run_for(AFTER_S)
    plan = look(volumes, wanted)
    small = [line.claim.name for line in plan.lines if size_of(line.claim.capacity) < size_of(size)]
    figures["size"] = f"{had} to {size}"
    figures["volumes"] = len(plan.lines)
    figures["volumes that have it"] = len(plan.lines) - len(small)
    figures["pods"] = len(before)
    figures["pods restarted"] = sum(after.get(pod) != life for pod, life in before.items())
    missing = load.missing(context, start, began)
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["missing"] = sum(map(len, missing.values()))
    return unmet(
        (bool(plan.lines), "the brokers have no volumes"),
        (not small, f"{', '.join(small)} did not get {size}"),
        (not plan.to_do, "after it there is still something to grow"),
        (not figures["pods restarted"], f"{figures['pods restarted']} brokers restarted"),
        *all_arrived(load, missing),
    )


def larger(size: str) -> str:
    """The next size, in whole Gi."""
    return f"{-(-(size_of(size) + MORE) // 2**30)}Gi"


def lives(kube: Kube) -> dict[str, tuple[str, int]]:
    """Broker -> its identity and how often its containers were started again."""
    return {pod.name: (pod.uid, pod.restarts) for pod in kube.pods(PART)}
