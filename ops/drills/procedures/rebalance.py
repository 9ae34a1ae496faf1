"""A broker more by the stack's settings, its part of the partitions, and back, under load (K1, S1, ADR 53)."""

from __future__ import annotations

import ipaddress
import time
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC
from ops.core import pulumi
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad
from ops.kafka.cluster import Cluster
from ops.kafka.plan import Move
from ops.kafka.rebalance import Wish, rebalance

BYTES_PER_S: Final = 8 * 2**20
"""Small, so that moves are throttled on one machine, too."""
MOVED_S: Final = 900.0
"""Until the partitions of a small cluster are where they should be."""
JOINED_S: Final = 300.0
AFTER_S: Final = 30.0


def add_and_drain_broker(context: Context, figures: dict[str, Any]) -> list[str]:
    """Add a broker, move partitions to it, move them away again, remove it; count what is missing."""
    topic = METRICS_TOPIC.name
    before = context.kafka.brokers()
    number, address = len(before), next_address(context.platform.kafka_bootstrap)
    if before != tuple(range(number)):
        raise CannotRunError(f"brokers {before} are there: all of them have to be, and none is to be added meanwhile")
    start = context.kafka.end_offsets(topic)
    began = time.time()
    with OtlpLoad(context) as load, Cluster(context.kafka) as cluster:
        load.run_for(durations.WARM_UP)
        try:
            pulumi.set_broker(number, address)
            figures["grown in s"] = _updated(context, number + 1)
            onto, figures["moved in s"] = _moved(cluster)
            figures["copies moved to it"] = sum(number in move.adding for move in onto)
            figures["copies of it"] = context.kafka.copies()[number]
            load.run_for(AFTER_S)
        finally:
            # Also after a broker that never came.
            if context.kafka.copies()[number]:
                off, figures["drained in s"] = _moved(cluster, number)
                figures["copies moved away"] = sum(number in move.before for move in off)
            figures["copies left on it"] = context.kafka.copies()[number]
            pulumi.unset_broker(number)
            figures["shrunk in s"] = _updated(context, number)
        load.run_for(AFTER_S)
        figures["throttles left"] = len(cluster.throttled())
    missing = load.missing(context, start, began)
    figures["brokers"] = f"{number} to {number + 1} to {len(context.kafka.brokers())}"
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["retries"] = load.ledger.retries
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["missing"] = sum(map(len, missing.values()))
    return unmet(
        (bool(figures["copies of it"]), f"broker {number} got no copies"),
        (not figures["throttles left"], f"{figures['throttles left']} throttles are left"),
        (context.kafka.brokers() == before, f"brokers {context.kafka.brokers()} are there, not {before}"),
        *all_arrived(load, missing),
    )


def next_address(bootstrap: str) -> str:
    """The address after that of the last broker.

    Raises:
        CannotRunError: Brokers have names, for which an address cannot be made up.
    """
    last = bootstrap.split(",")[-1].rpartition(":")[0]
    try:
        return str(ipaddress.ip_address(last) + 1)
    except ValueError:
        raise CannotRunError(f"{last} is a name: a broker is added in the stack file, with a name in DNS") from None


def _updated(context: Context, brokers: int) -> float:
    """Bring the stack up, and wait until so many brokers are there."""
    say("pulumi up")
    began = time.monotonic()
    pulumi.up()
    wait_until(lambda: len(context.kafka.brokers()) == brokers, JOINED_S, f"{brokers} brokers")
    return round(time.monotonic() - began, 1)


def _moved(cluster: Cluster, *drain: int) -> tuple[tuple[Move, ...], float]:
    began = time.monotonic()
    moves = rebalance(cluster, Wish(drain=drain, bytes_per_s=BYTES_PER_S, limit_s=MOVED_S))
    return moves, round(time.monotonic() - began, 1)
