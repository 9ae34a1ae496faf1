"""Fifty people open dashboards during telemetry load, with both Prometheus and with one of them (S2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from ops.context import Context
from ops.dashboard.command import asker
from ops.kube import wait_until
from ops.people_crowd import MEAN_S, P95_S, THINK_S, Crowd, crowd
from ops.people_doors import directly, through_grafana
from tests.e2e import durations
from tests.support.faults import scaled
from tests.support.grafana import directory_logins
from tests.support.load import OtlpLoad
from tests.support.results import recorded

"""The people are on this machine as well, so nothing else may be."""


PEOPLE = int(durations.seconds("PEOPLE", 50))
PEOPLE_SECONDS = durations.seconds("PEOPLE_SECONDS", 90)
"""Each of them opens two or three dashboards."""


@contextmanager
def one_prometheus_down(context: Context) -> Iterator[str]:
    """The first Prometheus is away, and back at the end."""
    workload = f"prometheus-{context.platform.prometheus_replicas[0]}"
    with scaled(context.kube, workload, 0, 1):
        wait_until(lambda: not context.kube.pods(workload), 60, f"{workload} to be gone")
        yield f"{workload} is down"
    context.kube.wait_ready(workload, 1, durations.READY)


CASES: dict[str, Callable[[Context], AbstractContextManager[str]]] = {
    "people-load": lambda _: nullcontext("both Prometheus"),
    "people-prometheus-down": one_prometheus_down,
}


def told(figures: dict[str, Any], found: Crowd, load: OtlpLoad) -> None:
    """Note what was seen, and the load beside it."""
    figures |= {
        **found.figures(),
        "limits, average and P95 s": [MEAN_S, P95_S],
        "seconds that a person looks at a dashboard": THINK_S,
        "points of the load acknowledged meanwhile": len(load.ledger.acknowledged),
    }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", list(CASES))
def test_fifty_people_wait_no_longer_than_promised(settled: Context, case: str) -> None:
    ways = through_grafana(settled, directory_logins().inside, PEOPLE)
    with recorded(case, settled.kube) as figures, CASES[case](settled) as situation:
        figures["situation"] = situation
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            found = crowd(ways, asker(settled), seconds=PEOPLE_SECONDS)
        told(figures, found, load)
        assert load.ledger.acknowledged, "there was no load"
        assert found.wrong() == []


@pytest.mark.timeout(600)
def test_what_grafana_costs_is_seen_beside_the_read_address_alone(settled: Context) -> None:
    with recorded("people-direct", settled.kube) as figures:
        with OtlpLoad(settled) as load:
            load.run_for(durations.WARM_UP)
            found = crowd(directly(settled, PEOPLE), asker(settled), seconds=PEOPLE_SECONDS)
        told(figures, found, load)
        assert found.wrong() == []
