"""A gateway is told to end while Kafka does not answer and its disk holds some: it waits, and leaves nothing (O1, S1).

Kafka's brokers stand still through their control groups, and go on in the instant in which they are let: so it is known
when Kafka answers again, sooner after the pod was told than the 30 s after which it would give up (ADR 55).
"""

from __future__ import annotations

import time
from typing import Any, Final

from components.gateway.config import DRAIN_STALLED_S
from ops.core.context import Context
from ops.core.kube import Pod, wait_until
from ops.drills.gate_target import WORKLOAD
from ops.drills.procedure import is_settled
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, must, unmet
from ops.drills.tools.ending import Ending, left_behind
from ops.drills.tools.freezer import frozen, groups
from ops.drills.tools.gateway_disks import on_disk
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.returning import Returning

STILL_AWAY_S: Final = DRAIN_STALLED_S / 3
"""Kafka stays away for so long after the gateway was told to end. The rest is for leaders and the next write."""
EMPTY_S: Final = 60.0
FILLED_S: Final = 60.0
"""A write that Kafka does not answer goes to disk after 5 s, and gateways tell of it after at most 5 s more."""
BEYOND_S: Final = 60.0
WHOLE_S: Final = 300.0
_LOOK_S: Final = 0.5
_BY_ITSELF: Final = frozenset({0, 1})
"""1: in good order, but for its last own metrics, which nobody takes any more: it sends them to itself."""


def end_gateway(context: Context, figures: dict[str, Any]) -> list[str]:
    """Freeze all brokers, tell the gateway to end whose disk holds most, let the brokers go on; count what is missing.

    Raises:
        CannotRunError: The brokers do not run on this machine.
    """
    kube, start = context.kube, context.kafka.end_offsets(TOPIC)
    brokers = groups(kube.pods("kafka"))
    wait_until(lambda: _is_empty(context), EMPTY_S, "the gateways' queues on disk to be empty")
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        with frozen(brokers):
            gone, gone_at = time.monotonic(), time.time()
            wait_until(lambda: not _is_empty(context), FILLED_S, "a gateway's queue on disk to hold something", _LOOK_S)
            victim, size = _fullest(context)
            ending, returning = Ending(kube, victim, BEYOND_S), Returning(kube, victim, durations.READY)
            ending.tell()
            told = time.monotonic()
            load.run_for(STILL_AWAY_S)
            waited = not ending.ended
        back = time.monotonic()
        figures["how"] = (
            f"{len(brokers)} brokers frozen at once, {victim.name} deleted with {ending.grace_s} s of grace"
        )
        figures["bytes on disk when told to end"] = size
        figures["Kafka away s"] = round(back - gone, 1)
        figures["of it after the gateway was told s"] = round(back - told, 1)
        figures["accepted meanwhile"] = load.ledger.count_between(gone_at, time.time())
        figures["ended after s"], figures["it may take s"] = ending.after(), ending.grace_s
        figures["exit codes"] = dict(ending.exit_codes)
        figures["bytes left behind"] = left_behind(ending.lines)
        load.run_for(durations.AFTER_FAULT)
    figures["gateway back after s"] = returning.after()
    whole = wait_until(lambda: is_settled(context), WHOLE_S, "all pods ready and all replicas in sync")
    figures["whole again after s"] = round(whole, 1)
    wait_until(lambda: _is_empty(context), durations.ARRIVAL, "the gateways' queues on disk to be empty")
    arrived = load.counts_in_kafka(start, durations.ARRIVAL)
    figures["doubled"] = load.doubled(arrived)
    return [
        *account(figures, "gateway", load, len(load.ledger.missing(arrived))),
        *problems(figures, victim.name, waited=waited),
    ]


def problems(figures: dict[str, Any], name: str, *, waited: bool) -> list[str]:
    """What did not hold of how the gateway ended.

    Args:
        figures: Of the run.
        name: The gateway's pod.
        waited: Whether it was still there when Kafka answered again.
    """
    took, grace, left = figures["ended after s"], figures["it may take s"], figures["bytes left behind"]
    codes = figures["exit codes"]
    return unmet(
        (waited, f"{name} ended while Kafka did not answer and its disk held what it had acknowledged"),
        (took < grace, f"{name} was ended by force after {grace} s"),
        (
            bool(codes) and set(codes.values()) <= _BY_ITSELF,
            f"{name} did not end by itself: exit codes {codes or 'unknown'}",
        ),
        (left is not None, f"the log of {name} was not read to its end: what it left on its disk is not known"),
        (not left, f"{name} left {left} bytes on its disk"),
        (figures["accepted meanwhile"] > 0, f"{WORKLOAD}s accepted nothing while Kafka did not answer"),
    )


def _fullest(context: Context) -> tuple[Pod, int]:
    """The gateway whose disk holds most, and how many bytes."""
    sizes = on_disk(context)
    pods = [pod for pod in context.kube.pods(WORKLOAD) if sizes.get(pod.name)]
    must(bool(pods), "no gateway that is ready holds anything on its disk any more")
    fullest = max(pods, key=lambda pod: sizes[pod.name])
    return fullest, sizes[fullest.name]


def _is_empty(context: Context) -> bool:
    """Whether no gateway that is ready holds anything on its disk, and there is one."""
    sizes = on_disk(context)
    return bool(sizes) and not any(sizes.values())
