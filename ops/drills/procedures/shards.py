"""Metrics are given to two shards and to three by the stack's settings, under load, and back to what they were (P4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from components.consumers import consumer_name
from components.shards import server_names
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import caught_up
from ops.core.kube import wait_until
from ops.core.terminal import say, uninterrupted
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import METRIC, TOPIC, OtlpLoad
from ops.drills.tools.notifications import (
    CRITICAL,
    FIRING,
    HIGH,
    RESOLVED,
    Injector,
    NotificationRecord,
    Raised,
    collected,
    status,
)

SHARDS: Final = (2, 3)
DIVIDED_S: Final = 300.0
"""Until every server has the series of its shard, and no other one has them."""
SETTLED_S: Final = 20
"""A series that moved is in its old shard too for as long as a sample of it is so young."""
TOLD_S: Final = 120.0
_LOOK_S: Final = 2.0
_SENDERS: Final = f'last_over_time(target_info{{layer!=""}}[{SETTLED_S}s])'

Held = Mapping[str, frozenset[str]]
"""Server -> senders of the layers whose series got a sample in the last seconds."""


def add_shards(context: Context, figures: dict[str, Any]) -> list[str]:
    """Divide the layers' series over more servers under load, raise alerts meanwhile, and count what is missing."""
    before = context.platform.prometheus_shards
    if before != 1:
        raise CannotRunError(f"prometheus.shards is {before}: the drill begins with 1")
    record = NotificationRecord.of_environment()
    start, newest, began = context.kafka.end_offsets(TOPIC), record.newest(), time.time()
    took: dict[str, float] = {}
    divided: dict[str, float] = {}
    told: dict[str, Raised] = {}
    view = View(context)
    try:
        with Injector(context.otlp) as injector:
            with OtlpLoad(context, give_up_after=240) as load:
                load.run_for(durations.WARM_UP)
                held = injector.raise_one(HIGH)
                told["1"] = injector.raise_one(CRITICAL)
                wait_until(lambda: _told(record, newest, held), TOLD_S, "a High that lasts to be told", _LOOK_S)
                with view.asked(load.run_id):
                    for shards in SHARDS:
                        took[str(shards)], divided[str(shards)] = _grown(context, shards)
                        told[str(shards)] = injector.raise_one(CRITICAL)
                        load.run_for(max(durations.AFTER_FAULT, SETTLED_S))
            with reopened(context) as now:
                figures["shards"] = f"{before} to {' to '.join(map(str, SHARDS))}"
                senders = _held(now)
                figures["senders in two shards"] = twice(senders, now.platform.prometheus_replicas, SHARDS[-1])
                figures["senders of the fullest shard"], figures["senders"] = spread(senders, now)
                missing = load.missing(now, start, began)
                figures["points left out by the read address"] = len(_left_out(now, load, began))
            lasted = collected(record, newest, injector.raised, TOLD_S)
    finally:
        with uninterrupted():
            pulumi.set_shards(before)
            took[f"back to {before}"] = _up()
    with reopened(context) as again:
        divided[f"back to {before}"] = _divided(again)
    figures["acknowledged"], figures["retries"] = len(load.ledger.acknowledged), load.ledger.retries
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["pulumi up s"], figures["divided after s"] = took, divided
    figures["missing"] = {place: len(numbers) for place, numbers in missing.items()}
    figures |= view.figures()
    latencies = {shards: raised.latency(lasted) for shards, raised in told.items()}
    figures["Critical told after s"] = {shards: None if s is None else round(s, 1) for shards, s in latencies.items()}
    about = held.notifications(lasted)
    figures["notices of the High that lasted"] = sum(status(notice) == FIRING for notice in about)
    figures["ends of it told meanwhile"] = sum(status(notice) == RESOLVED for notice in about)
    return problems(figures, all_arrived(load, missing))


def problems(figures: Mapping[str, Any], arrived: list[tuple[bool, str]]) -> list[str]:
    """What did not hold, from the figures of a run."""
    late = {n: s for n, s in figures["Critical told after s"].items() if s is None or s > CRITICAL.limit_s}
    series, fewest, most = (figures[f"{what} of the load read"] for what in ("series", "fewest series", "most series"))
    return unmet(
        *arrived,
        (not late, f"a Critical was told too late, at shards -> seconds: {late}"),
        (
            figures["notices of the High that lasted"] == 1,
            f"a High that lasted was told {figures['notices of the High that lasted']} times, must be once",
        ),
        (not figures["ends of it told meanwhile"], "a High that lasted was told to have ended"),
        (
            not figures["senders in two shards"],
            f"{figures['senders in two shards']} senders are in two shards at once",
        ),
        (
            fewest == most == series,
            f"the read address had between {fewest} and {most} series of the load, which has {series}",
        ),
        (not figures["failed questions"], f"{figures['failed questions']} questions to the read address failed"),
    )


class View:
    """Asks the read address once a second for the number of series of a load: fewer is a gap, more is a double."""

    def __init__(self, context: Context, every_s: float = 1.0) -> None:
        self._context, self._every_s = context, every_s
        self._counts: list[int] = []
        self._failed = 0
        self._ended = threading.Event()

    @contextmanager
    def asked(self, run_id: str) -> Iterator[None]:
        """Ask inside the block."""
        thread = threading.Thread(target=self._ask, args=(f'count({METRIC}{{run="{run_id}"}})',))
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(60)

    def figures(self) -> dict[str, Any]:
        """What was seen."""
        counts = self._counts or [0]
        return {
            "questions": len(self._counts) + self._failed,
            "failed questions": self._failed,
            "series of the load read": counts[0],
            "fewest series of the load read": min(counts),
            "most series of the load read": max(counts),
        }

    def _ask(self, query: str) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._counts.append(int(self._context.thanos.number(query) or 0))
            except OpsError:
                self._failed += 1


@contextmanager
def reopened(context: Context) -> Iterator[Context]:
    """The platform as its stack describes it now: servers that were added have logins of their own."""
    with Context(platform_module.load(), context.kube) as now:
        yield now


def twice(held: Held, replicas: tuple[str, ...], shards: int) -> int:
    """Senders that more than one shard of a replica has."""
    count = 0
    for replica in replicas:
        seen: set[str] = set()
        for server in server_names([replica], shards):
            count += len(seen & held[server])
            seen |= held[server]
    return count


def spread(held: Held, context: Context) -> tuple[int, int]:
    """Senders of the fullest shard of a replica, and of all."""
    of_replica = server_names(context.platform.prometheus_replicas[:1], context.platform.prometheus_shards)
    counts = [len(held[server]) for server in of_replica]
    return max(counts), sum(counts)


def _grown(context: Context, shards: int) -> tuple[float, float]:
    """Seconds that the update took, and from its end until the series are divided."""
    pulumi.set_shards(shards)
    took = _up()
    with reopened(context) as now:
        return took, _divided(now)


def _up() -> float:
    say("pulumi up")
    began = time.monotonic()
    pulumi.up()
    return round(time.monotonic() - began, 1)


def _divided(context: Context) -> float:
    """Wait until each shard has its own part in every replica; seconds that it took."""
    platform = context.platform
    groups = [consumer_name(replica) for replica in platform.prometheus_replicas]

    def divided() -> bool:
        held = _held(context)
        return (
            all(held.values())
            and not twice(held, platform.prometheus_replicas, platform.prometheus_shards)
            and caught_up(context.kafka, groups)
        )

    what = f"every sender to be in one of {platform.prometheus_shards} shards"
    return round(wait_until(divided, DIVIDED_S, what, _LOOK_S), 1)


def _held(context: Context) -> Held:
    return {
        server: frozenset(
            ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            for sample in context.prometheus(server).instant(_SENDERS)
        )
        for server in context.platform.prometheus_servers
    }


def _told(record: NotificationRecord, newest: int, raised: Raised) -> bool:
    return raised.latency(record.since(newest)) is not None


def _left_out(context: Context, load: OtlpLoad, began: float) -> set[tuple[int, int]]:
    """Acknowledged numbers that the read address leaves out of raw samples, although the servers have them."""
    window = int(time.time() - began + 60)
    return load.ledger.missing(load.in_prometheus(context.thanos, window, 0.0))
