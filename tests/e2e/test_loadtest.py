"""Dashboards and load: fifty virtual users beside it, one Prometheus away, every panel right after it (S2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from components.dashboards.registry import DASHBOARDS
from components.telemetry.layers import Signal
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.dashboards.command import as_viewer, check, query_client, rows
from ops.dashboards.panel_queries import latencies, quantile, span
from ops.drills.procedures.chaos import out_of_memory
from ops.drills.tools import durations
from ops.drills.tools.faults import scaled
from ops.drills.tools.load import OtlpLoad
from ops.loadtest.bench import BenchSettings, measure
from ops.loadtest.virtual_users import (
    MEAN_S,
    P95_S,
    THINK_S,
    LoadTestResult,
    directly,
    run_virtual_users,
    through_grafana,
)
from tests.support.grafana import directory_credentials
from tests.support.results import recorded

"""The virtual users run on this machine as well, so nothing else may be."""


VIRTUAL_USERS = int(durations.seconds("VIRTUAL_USERS", 50))
LOADTEST_SECONDS = durations.seconds("LOADTEST_SECONDS", 90)
"""Each of them opens two or three dashboards."""
HISTORY_SECONDS = durations.seconds("HISTORY_SECONDS", 600)
HISTORY_RATE = 60_000.0
"""Points a second, the load that the platform is meant to sustain on this machine."""


@contextmanager
def one_prometheus_down(context: Context) -> Iterator[str]:
    """The first Prometheus is away, and back at the end."""
    workload = f"prometheus-{context.platform.prometheus_replicas[0]}"
    with scaled(context.kube, workload, 0, 1):
        wait_until(lambda: not context.kube.pods(workload), 60, f"{workload} to be gone")
        yield f"{workload} is down"
    context.kube.wait_ready(workload, 1, durations.READY)


CASES: dict[str, Callable[[Context], AbstractContextManager[str]]] = {
    "dashboard-load": lambda _: nullcontext("both Prometheus"),
    "dashboard-load-prometheus-down": one_prometheus_down,
}


def told(figures: dict[str, Any], outcome: LoadTestResult, load: OtlpLoad) -> None:
    """Note what was seen, and the load beside it."""
    figures |= {
        **outcome.figures(),
        "limits, average and P95 s": [MEAN_S, P95_S],
        "seconds that a user looks at a dashboard": THINK_S,
        "points of the load acknowledged meanwhile": len(load.ledger.acknowledged),
    }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", list(CASES))
def test_dashboards_load_within_their_limits_for_fifty_virtual_users(settled: Context, case: str) -> None:
    factories = through_grafana(settled, directory_credentials().inside, VIRTUAL_USERS)
    with recorded(case, settled.kube) as figures, CASES[case](settled) as situation:
        figures["situation"] = situation
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            outcome = run_virtual_users(factories, query_client(settled), seconds=LOADTEST_SECONDS)
        told(figures, outcome, load)
        assert load.ledger.acknowledged, "there was no load"
        assert outcome.wrong() == []


@pytest.mark.timeout(600)
def test_what_grafana_costs_is_seen_beside_the_read_address_alone(settled: Context) -> None:
    with recorded("dashboard-load-direct", settled.kube) as figures:
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            outcome = run_virtual_users(
                directly(settled, VIRTUAL_USERS), query_client(settled), seconds=LOADTEST_SECONDS
            )
        told(figures, outcome, load)
        assert outcome.wrong() == []


@pytest.mark.timeout(1500)
def test_every_panel_is_answered_after_ten_minutes_of_load(settled: Context) -> None:
    load = BenchSettings(
        signal=Signal.METRICS, rate=HISTORY_RATE, steps=0, window_s=HISTORY_SECONDS, limit_s=HISTORY_SECONDS + 300
    )
    with recorded("dashboards-after-load", settled.kube) as figures:
        began = time.time()
        measured = measure(settled, load, say)
        with as_viewer(settled) as viewer:
            checked_dashboards = check(viewer, DASHBOARDS, span("15m"))
        results = [result for _, results in checked_dashboards for result in results]
        times = latencies(results)
        problems = {result.panel.title: result.problems for result in results if result.problems}
        figures |= {
            "points/s": measured["points/s in the window"],
            "minutes": round(HISTORY_SECONDS / 60, 1),
            "panels": len(results),
            "queries": len(rows(checked_dashboards)),
            "panels that failed": len(problems),
            "why": problems,
            "mean s": round(sum(times) / len(times), 2),
            "P95 s": round(quantile(times, 0.95), 2),
            "slowest s": round(times[-1], 2),
            "out of memory": out_of_memory(settled.kube, began),
        }
        assert (problems, figures["out of memory"]) == ({}, [])
        assert figures["mean s"] <= MEAN_S
        assert figures["P95 s"] <= P95_S
