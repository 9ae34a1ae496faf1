"""Restarts in reports, from a real Prometheus: Kubernetes' count where there is one, else what processes say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from services.reports import maintenance
from services.reports.metrics import QueryRunner, make_runner
from services.reports.model import Kind, period
from services.reports.queries import CONTAINER_RESTARTS, PROCESS_START, Query
from services.reports.recommendations import RULES
from tests.unit.services.reports import harness
from tests.unit.services.reports.harness import DAY, HOUR, TOKYO, Gauge, Series, at

START, END = at("2026-11-24 00:00"), at("2026-11-25 00:00")
RULE_EXPRESSIONS = {rule.name: rule for rule in RULES if rule.name in ("restarts", "process-restarts")}


def _steps(*times: float, first: float = 0.0) -> Callable[[float], float | None]:
    """A count that grows by one at each of some times."""
    return lambda time: first + sum(time >= step for step in times)


def _container(pod: str, value: Callable[[float], float | None], container: str = "main", uid: str = "u") -> Gauge:
    labels = {"job": "cluster-state", "instance": "10-0-0-1", "pod": pod, "container": container, "uid": uid}
    return Gauge(name=CONTAINER_RESTARTS, labels=labels, value=value)


def _between(start: float, end: float, value: Callable[[float], float | None]) -> Callable[[float], float | None]:
    return lambda time: value(time) if start <= time < end else None


NOON = START + 12 * HOUR
PROCESSES: list[Series] = [
    Gauge(name="up", labels={"job": job, "instance": instance}, value=lambda _: 1.0)
    for job, instance in (("kafka", "kafka-0"), ("gateway", "10-0-0-2"))
]
PROCESSES += [
    Gauge(
        name=PROCESS_START,
        labels={"job": "kafka", "instance": "kafka-0"},
        value=lambda time: START - DAY if time < NOON else NOON,
    )
]
CONTAINERS: list[Series] = [
    # A pod of the same name takes its place at noon, and counts from nothing.
    _container("kafka-0", _between(START, NOON, _steps(first=4)), uid="first"),
    _container("kafka-0", _between(NOON, END + 1, _steps()), uid="second"),
    _container("kafka-1", _steps(NOON, NOON + HOUR)),
    _container("gateway-6c9dfb4d8b-x2k7p", _steps(*(START + hour * HOUR for hour in range(2, 9)))),
    _container("gateway-6c9dfb4d8b-x2k7p", _steps(NOON), container="helper"),
    _container("otel-agent-zt8rw", _steps(NOON)),
    _container("backup-kafka-metadata-29400123-q5vjk", _steps(NOON)),
]


@contextmanager
def questions(folder: Path, series: list[Series]) -> Iterator[QueryRunner]:
    """Questions about the day, to a Prometheus that has some series."""
    with harness.prometheus(folder, series, START, END) as served:
        metrics = served.metrics()
        yield make_runner(metrics, period(Kind.DAILY, date(2026, 11, 24), TOKYO), END)
        metrics.close()


def _recommended(runner: QueryRunner) -> dict[str, dict[str, float]]:
    """Rule -> subject -> its value, where it is beyond the limit."""
    told: dict[str, dict[str, float]] = {}
    for name, rule in RULE_EXPRESSIONS.items():
        values = runner.by(Query(name=name, expr=rule.expr), rule.subject)
        told[name] = {subject: value for subject, value in values.items() if rule.applies(value)}
    return told


def test_what_kubernetes_counts_goes_by_workload_and_a_replaced_pod_is_no_restart(tmp_path: Path) -> None:
    with questions(tmp_path, [*PROCESSES, *CONTAINERS]) as runner:
        assert maintenance.restarts(runner) == maintenance.Restarts(
            metric=CONTAINER_RESTARTS,
            by_job={"kafka": 2, "gateway": 8, "otel-agent": 1, "backup-kafka-metadata": 1},
        )
        assert _recommended(runner) == {"restarts": {"gateway-6c9dfb4d8b-x2k7p": 8}, "process-restarts": {}}
        assert runner.problems == []


def test_without_the_state_of_the_cluster_processes_say_when_they_started(tmp_path: Path) -> None:
    often = Gauge(
        name=PROCESS_START,
        labels={"job": "thanos-query", "instance": "10-0-0-3"},
        value=lambda time: START + (time - START) // (3 * HOUR) * 3 * HOUR,
    )
    with questions(tmp_path, [*PROCESSES, often]) as runner:
        counted = maintenance.restarts(runner)
        assert (counted.metric, counted.by_job["kafka"]) == (PROCESS_START, 1)
        assert counted.by_job["thanos-query"] == pytest.approx(8, abs=1)
        told = _recommended(runner)
        assert told["restarts"] == {}
        assert list(told["process-restarts"]) == ["10-0-0-3"]
        assert runner.problems == []
