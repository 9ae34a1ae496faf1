"""Sizes for a load, from measured costs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import Load, broker_volume, topic
from ops import scaling
from ops.core import platform
from ops.core.autoscalers import Recommendation, Size
from ops.core.errors import OpsError
from ops.evidence import files as evidence
from ops.scaling import (
    BENCHES,
    BROKER_VOLUME,
    Costs,
    breaks_first,
    catalogue_days,
    comparison,
    costs,
    note,
    plan,
    rows,
)

DAYS = catalogue_days()
COSTS: dict[Signal, dict[str, float]] = {
    Signal.METRICS: {"gateway": 3.0, "kafka": 12.0, "prometheus-primary": 6.0, "prometheus-secondary": 9.0},
    Signal.TRACES: {"gateway": 30.0, "kafka": 24.0, "sampler": 60.0},
    Signal.LOGS: {"kafka": 6.0, "log-indexer": 12.0, "other workloads": -1.0},
}


def run(signal: Signal) -> evidence.Evidence:
    """A run of a bench."""
    name, item = BENCHES[signal]
    some = evidence.newest(name)
    assert some is not None
    measured = {**COSTS[signal], "all": 999.0, "load generator": 5.0}
    return some.model_copy(update={"figures": {f"CPU s per million {item}": measured}})


@pytest.fixture
def measured() -> Costs:
    return costs({signal: run(signal) for signal in Signal})


def test_cores_are_the_costs_of_all_signals_at_the_planned_use(measured: Costs) -> None:
    sizes = plan(Load(points=1e6, spans=1e5, log_records=1e5), DAYS, measured)
    cores = {row.workload: round(row.cores, 3) for row in sizes.rows}
    assert cores["kafka"] == pytest.approx((12.0 + 2.4 + 0.6) / 0.6)
    assert cores["gateway"] == pytest.approx((3.0 + 3.0) / 0.6)
    assert cores["other workloads"] == 0.0, "a negative cost is an error of measurement"
    assert "all" not in cores
    assert "load generator" not in cores
    assert sizes.cores == pytest.approx(sum(cores.values()))
    assert [row.cores for row in sizes.rows] == sorted(cores.values(), reverse=True)


def test_there_are_as_many_brokers_as_cores_or_volumes_need(measured: Costs) -> None:
    small = plan(Load(points=1000, spans=0, log_records=0), DAYS, measured)
    assert next(row.pods for row in small.rows if row.workload == "kafka") == 3
    load = Load(points=1e6, spans=0, log_records=0)
    kafka = next(row for row in plan(load, DAYS, measured).rows if row.workload == "kafka")
    assert kafka.volume <= BROKER_VOLUME
    assert broker_volume(load, DAYS, brokers=kafka.pods - 1, copies=3) > BROKER_VOLUME, "one fewer would be too few"
    short = plan(load, dict.fromkeys(DAYS, 0.01), measured)
    assert next(row.pods for row in short.rows if row.workload == "kafka") == 5, "20 cores, four a pod"


def test_what_one_process_cannot_do_is_divided(measured: Costs) -> None:
    rows = {row.workload: row for row in plan(Load(points=2e6, spans=0, log_records=0), DAYS, measured).rows}
    assert rows["prometheus-secondary"].limit == "prometheus.shards: 2"
    assert rows["prometheus-secondary"].pods == 2
    workload, rate = breaks_first(measured)[Signal.METRICS]
    assert workload == "prometheus-secondary"
    assert rate == pytest.approx(16 * 0.6 / 9.0 * 1e6)
    fits = {row.workload: row for row in plan(Load(points=1e5, spans=0, log_records=0), DAYS, measured).rows}
    assert not any(row.limit for row in fits.values())


def test_partitions_follow_bytes_and_readers_and_never_fall(measured: Costs) -> None:
    few = plan(Load(points=1, spans=1, log_records=1), DAYS, measured).partitions
    assert few == {name: topic(name).partitions for name in TOPIC_OF_SIGNAL.values()}
    many = plan(Load(points=1e7, spans=2e6, log_records=1), DAYS, measured).partitions
    assert many["telemetry-metrics"] == 39, "200 MB a second, 5 MiB each"
    assert many["telemetry-traces"] == 50, "200 cores of samplers, four a pod"


def test_a_signal_that_was_never_measured_is_one_line() -> None:
    newest = {signal: run(signal) for signal in Signal}
    with pytest.raises(OpsError, match=r"no run of bench-logs has the cost of log records: `ops bench --signal logs`"):
        costs({**newest, Signal.LOGS: None})


def test_the_page_has_a_row_for_each_multiple_and_what_is_full_first(measured: Costs) -> None:
    lines = comparison(measured).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == [
        "| 100,000, 10,000, 20,000",
        "| 1,000,000, 100,000, 200,000",
        "| 10,000,000, 1,000,000, 2,000,000",
    ]
    assert "points: prometheus-secondary, at 1,066,667 a second" in lines[-1]


SMALL = Size(
    workload="grafana",
    container="grafana",
    request={"cpu": 0.05, "memory": 2.0**28},
    limit={"memory": 2.0**29},
    target={"cpu": 0.2, "memory": 2.0**28 + 2.0**20},
    upper={"cpu": 1.5, "memory": 2.0**30},
)
"""A container that requests too little CPU, and memory within what the recommender tells apart."""


def recommendation(*sizes: Size) -> Recommendation:
    """What the autoscaler of a workload says."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    return Recommendation(workload=sizes[0].workload, since=since, mode="Off", pods=2, sizes=sizes, problem="")


def test_a_container_below_its_recommended_size_is_named() -> None:
    assert SMALL.below == ("cpu",)
    assert rows([SMALL]) == [
        ("grafana", "grafana", "50m, 256Mi", "512Mi", "200m, 257Mi", "1,500m, 1Gi", "cpu"),
    ]
    assert note([recommendation(SMALL)]) == "requests too little: grafana/grafana"
    enough = replace(SMALL, target={"cpu": 0.05, "memory": 2.0**20})
    assert note([recommendation(enough)]) == "no container requests less than is recommended"


def test_what_is_not_recommended_is_said_in_one_line() -> None:
    new = replace(SMALL, workload="kafka", target={}, upper={})
    assert note([]).startswith("no sizes are recommended: set autoscaling.recommendations")
    assert note([recommendation(new)]) == "no sizes are recommended yet: the recommender needs a few minutes"
    both = [recommendation(SMALL), recommendation(new)]
    assert note(both) == "requests too little: grafana/grafana; not recommended yet: kafka"


@pytest.fixture
def no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise OpsError("no stack: select one")

    monkeypatch.setattr(platform, "load", load)


@pytest.mark.usefixtures("no_stack")
def test_a_plan_needs_no_cluster() -> None:
    done = CliRunner().invoke(scaling.scale_app, ["plan"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "recommended sizes were not read: no stack: select one"


@pytest.mark.usefixtures("no_stack")
def test_the_command_prints_for_machines() -> None:
    done = CliRunner().invoke(scaling.scale_app, ["plan", "--points", "1e6", "--retention", "7d", "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["load"] == {"points": 1e6, "spans": 10_000, "log_records": 20_000}
    assert set(printed["days"].values()) == {7.0}
    assert printed["containers"] == []
    assert {row["workload"] for row in printed["workloads"]} >= {"gateway", "kafka", "prometheus-primary"}


@pytest.mark.parametrize("retention", ["x", "30", "0d", "-1d"])
def test_a_retention_that_is_no_number_of_days_is_one_line(retention: str) -> None:
    with pytest.raises(OpsError, match="allowed is a number of days such as 30d"):
        scaling.days_of(retention)
