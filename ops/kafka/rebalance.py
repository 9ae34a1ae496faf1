"""Moves partitions by a plan: throttled, followed to the end, and left clean whoever began it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from components.sizes import size_text
from ops.core.errors import OpsError
from ops.core.terminal import clock, say
from ops.kafka.cluster import Cluster, Ongoing
from ops.kafka.plan import Layout, Move, Partition, plan

AT_ONCE: Final = 20
"""Partitions on their way at a time: what an interrupted command leaves, and what disks hold twice."""
_EVERY_S: Final = 2.0
_TOLD_EVERY_S: Final = 15.0
_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted.

    Attributes:
        drain: Brokers that must have nothing in the end.
        bytes_per_s: What moves may take of each broker.
        limit_s: Until the command gives up following.
        at_once: Partitions on their way at a time.
    """

    drain: tuple[int, ...] = ()
    bytes_per_s: int
    limit_s: float
    at_once: int = AT_ONCE


def look(cluster: Cluster, drain: Iterable[int] = ()) -> tuple[Layout, tuple[Move, ...]]:
    """Where everything is, and what moves.

    Raises:
        OpsError: A copy is missing that the moves would not bring back, or too few brokers would be left.
    """
    leaving = tuple(drain)
    state = cluster.state()
    known = set(state.layout.racks) | {broker for replicas in state.layout.replicas.values() for broker in replicas}
    if unknown := sorted(set(leaving) - known):
        raise OpsError(f"there is no broker {unknown[0]}: allowed are {', '.join(map(str, sorted(known)))}")
    if behind := state.behind(leaving):
        raise OpsError(
            f"{len(behind)} partitions have copies that are not in sync, {_named(behind)} among them: moving waits "
            "until they are (a broker that is lost for good: drain it)"
        )
    return state.layout, plan(state.layout, leaving)


def rebalance(cluster: Cluster, wish: Wish) -> tuple[Move, ...]:
    """Move until the plan is empty, then take throttles away and check. Safe to repeat, also while it runs.

    Returns:
        What was moved by this call.

    Raises:
        OpsError: Moves are refused, do not come to an end in time, or the end is not as planned.
    """
    deadline = time.monotonic() + wish.limit_s
    if ongoing := cluster.ongoing():
        say(f"{len(ongoing)} partitions are being moved already: following them")
        cluster.rate(wish.bytes_per_s)
        follow(cluster, deadline)
    if cluster.throttled():
        cluster.release()
    _, moves = look(cluster, wish.drain)
    if moves:
        copied = [move for move in moves if move.adding]
        try:
            if copied:
                cluster.throttle(copied, wish.bytes_per_s)
            for start in range(0, len(moves), wish.at_once):
                batch = moves[start : start + wish.at_once]
                say(f"partitions {start + 1} to {start + len(batch)} of {len(moves)}")
                cluster.move(batch)
                follow(cluster, deadline, batch)
        finally:
            if not cluster.ongoing():
                cluster.release()
        cluster.lead(move.partition for move in moves)
    verify(cluster, moves, wish.drain)
    return moves


def follow(cluster: Cluster, deadline: float, moves: Sequence[Move] = ()) -> None:
    """Wait until nothing is being moved, and tell how far it is.

    Args:
        cluster: Kafka.
        deadline: On the monotonic clock.
        moves: What is on its way, where it is known; their sizes tell how much is left.

    Raises:
        OpsError: It takes longer; moves go on, a further call follows them.
    """
    sizes = {move.partition: move.size for move in moves}
    began = last = time.monotonic()
    first: int | None = None
    while ongoing := cluster.ongoing():
        now = time.monotonic()
        if now >= deadline:
            raise OpsError(
                f"{len(ongoing)} partitions are still being moved, {_named(ongoing)} among them; they go on: repeat "
                "the command, which follows them and takes the throttle away (they do not get nearer: a larger "
                "--throttle)"
            )
        if first is None or now - last >= _TOLD_EVERY_S:
            last = now
            left = _left(cluster, ongoing, sizes)
            first = left if first is None else max(first, left)
            say(_progress(len(ongoing), left, first - left, now - began))
        time.sleep(_EVERY_S)


def verify(cluster: Cluster, moves: Sequence[Move], drain: Iterable[int] = ()) -> None:
    """Everything is where it was planned to be, whole, and unthrottled.

    Raises:
        OpsError: It is not; one line says what.
    """
    deadline = time.monotonic() + 60.0
    while True:
        state = cluster.state()
        elsewhere = [move.partition for move in moves if state.layout.replicas.get(move.partition) != move.after]
        full = [broker for broker in drain if state.layout.on(broker)]
        checks: tuple[tuple[Sequence[object], str], ...] = (
            (elsewhere, "partitions are not where they were planned to be"),
            (full, "of the brokers to drain have partitions: were topics or partitions added meanwhile? repeat"),
            (state.behind(), "partitions have copies that are not in sync"),
            (list(cluster.throttled()), "brokers and topics have throttles"),
        )
        wrong = [f"{len(items)} {problem}: {_named(items)}" for items, problem in checks if items]
        if not wrong:
            return
        if time.monotonic() >= deadline:
            raise OpsError("; ".join(wrong))
        time.sleep(_EVERY_S)


def _left(cluster: Cluster, ongoing: dict[Partition, Ongoing], sizes: dict[Partition, int]) -> int:
    """Bytes that are still to be copied, of partitions on their way."""
    copies = cluster.copies()
    left = 0
    for partition, state in ongoing.items():
        have = {broker: copies.get((partition, broker), 0) for broker in state.replicas}
        whole = max([sizes.get(partition, 0), *have.values()])
        left += sum(max(0, whole - have[broker]) for broker in state.adding)
    return left


def _progress(partitions: int, left: int, copied: int, seconds: float) -> str:
    text = f"{clock(seconds)}: {partitions} partitions on their way, {size_text(left)} to copy"
    return f"{text}, about {clock(left * seconds / copied)} left" if copied > 0 else text


def _named(items: Iterable[object]) -> str:
    """The first few, as people name them."""
    names = [f"{item[0]}/{item[1]}" if isinstance(item, tuple) else str(item) for item in items]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
