"""From a fault to a notice: with both Alertmanagers, with one of them, with the two cut off from each other (S2)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from lab.receivers.client import Receivers
from ops.context import Context
from ops.kube import wait_until
from tests.e2e import durations
from tests.support.alerts import CRITICAL, HIGH, Injector, collected, duplicates, partitioned, percentile
from tests.support.faults import scaled
from tests.support.results import recorded

WORKLOAD = "alertmanager"
MEMBERS = 2
BETWEEN_S = 6.0
CUT_OFF_S = 30.0
_LATE_S = 200.0


@pytest.fixture
def receivers() -> Receivers:
    """The doubles that stand for pagers, Slack, SNS and a mail server."""
    return Receivers.of_lab()


@contextmanager
def one_killed(context: Context) -> Iterator[str]:
    with scaled(context.kube, WORKLOAD, 1, MEMBERS):
        context.kube.wait_ready(WORKLOAD, 1, durations.READY)
        yield "one of two members stopped"
    context.kube.wait_ready(WORKLOAD, MEMBERS, durations.READY)


@contextmanager
def cut_off(context: Context) -> Iterator[str]:
    with partitioned() as how:
        # Not until each sees only itself: with gossip over TLS a member may never notice that its peer is lost.
        time.sleep(CUT_OFF_S)
        yield f"{how}; members that each saw: {members(context)}"
    wait_until(lambda: members(context) == [MEMBERS] * MEMBERS, 180, "the members to see each other again", 2)


def members(context: Context) -> list[int]:
    """How many members each member sees."""
    return [context.alertmanager(pod.name).cluster().members for pod in context.kube.pods(WORKLOAD)]


def measure(context: Context, receivers: Receivers, runs: int, figures: dict[str, Any]) -> None:
    """Raise ``runs`` Critical and High conditions at moments that no schedule knows, and count what comes of them."""
    start, chance = receivers.newest(), random.Random(runs)
    with Injector(context) as injector:
        for _ in range(runs):
            injector.raise_one(CRITICAL)
            injector.raise_one(HIGH)
            time.sleep(BETWEEN_S + chance.uniform(0, BETWEEN_S / 2))
            # A notice names the first of many alerts only, so what was told makes room.
            injector.end_told(receivers.since(start))
        found = collected(receivers, start, injector.raised, _LATE_S)
    for kind, label in ((CRITICAL, "critical"), (HIGH, "high")):
        latencies = [each.latency(found) for each in injector.raised if each.kind is kind]
        seen = [value for value in latencies if value is not None]
        figures[f"{label} runs"] = len(latencies)
        figures[f"{label} lost"] = len(latencies) - len(seen)
        if seen:
            figures[f"{label} s median, p95, worst"] = [
                round(value, 1) for value in (percentile(seen, 0.5), percentile(seen, 0.95), max(seen))
            ]
    figures["notices"] = sum(notice.channel in ("phone", "sms", "slack", "mail") for notice in found)
    figures["duplicates"] = duplicates(found)
    for kind, label in ((CRITICAL, "critical"), (HIGH, "high")):
        assert figures[f"{label} lost"] == 0
        assert figures[f"{label} s median, p95, worst"][1] <= kind.limit_s


CASES: dict[str, Callable[[Context], AbstractContextManager[str]]] = {
    "few": lambda context: nullcontext("both members"),
    "both": lambda context: nullcontext("both members"),
    "one-killed": one_killed,
    "partitioned": cut_off,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", list(CASES))
def test_a_notice_arrives_in_time(settled: Context, receivers: Receivers, case: str) -> None:
    situation = CASES[case](settled)
    with recorded(f"alert-latency-{case}", settled.kube) as figures, situation as how:
        figures["situation"] = how
        measure(settled, receivers, durations.FEW_ALERT_RUNS if case == "few" else durations.ALERT_RUNS, figures)
