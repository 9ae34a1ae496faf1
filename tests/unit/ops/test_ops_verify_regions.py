"""The checks of the pair of regions, against a platform that keeps its promises: each broken once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.dashboards.boards import DASHBOARDS
from ops import evidence
from ops.context import Context
from ops.verify import reading, regions
from ops.verify.registry import CHECKS

KINDS = ("rules", "dashboards", "topics", "permissions", "notices")
Answers = dict[str, list[tuple[dict[str, str], float]]]
NOTIFIES, PEER_NOTIFIES = "max(region_guard_notifies)", "max(region_guard_peer_notifies)"
PEER_AGE = "max(region_guard_peer_age_seconds)"
LEASE_AGE, EPOCH = "max(region_guard_lease_read_age_seconds)", "max(region_guard_lease_epoch)"
ISOLATED, ROLE = "max(region_guard_isolated)", "max by (role) (region_guard_role) == 1"
DIFFERS = "max by (definition) (region_guard_peer_differs)"
TASKS, LATE, BEHIND = (
    'sum(kafka_mirror_tasks{state="failed"})',
    "obs:mirror_latency:seconds",
    "sum(obs:mirror_lag:records)",
)


def answers(changes: Mapping[str, Any] | None = None) -> Answers:
    """What Thanos Query of a standby answers, query by query; None: nothing."""
    values: dict[str, Any] = {
        NOTIFIES: 0,
        PEER_NOTIFIES: 1,
        PEER_AGE: 4,
        LEASE_AGE: 1,
        EPOCH: 7,
        ISOLATED: 0,
        ROLE: [({"role": "standby"}, 1)],
        DIFFERS: [({"definition": kind}, 0) for kind in KINDS],
        TASKS: 0,
        LATE: [({"topic": "telemetry-metrics"}, 0.4), ({"topic": "alerts-raw"}, math.nan)],
        BEHIND: 12,
    }
    values |= changes or {}
    return {
        name: value if isinstance(value, list) else [] if value is None else [({}, value)]
        for name, value in values.items()
    }


def context(found: Answers) -> Context:
    """A platform whose Thanos Query knows these queries and no other."""

    def instant(expression: str) -> list[Any]:
        return [SimpleNamespace(labels=labels, value=float(value)) for labels, value in found[expression]]

    def number(expression: str) -> float | None:
        values = [each.value for each in instant(expression) if not math.isnan(each.value)]
        return sum(values) if values else None

    return cast(Context, SimpleNamespace(thanos=SimpleNamespace(instant=instant, number=number)))


@pytest.fixture
def drilled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Writes the evidence of a drill; without a call there is none."""
    read = evidence.read
    monkeypatch.setattr(evidence, "read", lambda name: read(name, tmp_path))

    def write(*, passed: bool = True, **figures: Any) -> None:
        shown = {
            regions.RTO: 210.5,
            regions.RPO: 3.2,
            **{getattr(regions, name): each for name, each in figures.items()},
        }
        evidence.write(
            regions.DRILL,
            passed=passed,
            figures={name: value for name, value in shown.items() if value is not None},
            versions={},
            folder=tmp_path,
        )

    return write


def test_a_standby_that_is_kept_in_step_passes() -> None:
    finding = regions.d2(context(answers()))
    assert finding.wrong == []
    assert finding.figures == [
        "5 of 5 kinds of definitions are the same",
        "1 topics, the slowest 0.40 s late, 12 records behind",
    ]


def test_a_primary_shows_parity_and_the_copy_of_the_drill(drilled: Callable[..., None]) -> None:
    found = answers({ROLE: [({"role": "primary"}, 1)], LATE: None, TASKS: None, BEHIND: None})
    assert regions.d2(context(found)).wrong == ["drill region-drill was never run: run `make e2e`"]
    drilled()
    finding = regions.d2(context(found))
    assert finding.wrong == []
    assert "run it with the other region's stack" in finding.seen[0]
    assert "RPO s 3.2" in finding.seen[1]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({PEER_AGE: None}, "no other region was ever seen: nothing is kept in step with anything"),
        ({PEER_AGE: 61}, "the other region says nothing since 61 s, at most 60 s"),
        (
            {DIFFERS: [({"definition": kind}, kind == "rules") for kind in KINDS]},
            "the regions differ in rules: `ops regions parity` says how",
        ),
        ({DIFFERS: [({"definition": kind}, 0) for kind in KINDS[1:]]}, "nobody compares rules"),
        ({TASKS: None}, "no mirror runs"),
        ({TASKS: 2}, "2 tasks of the mirror have failed"),
        ({LATE: [({"topic": "telemetry-logs"}, 0.1)]}, "no record of telemetry-metrics has arrived lately"),
        ({LATE: [({"topic": "telemetry-metrics"}, math.nan)]}, "no record of telemetry-metrics has arrived lately"),
        ({LATE: [({"topic": "telemetry-metrics"}, 31)]}, "telemetry-metrics arrives 31.0 s late, at most 30 s"),
    ],
)
def test_a_region_that_is_not_kept_in_step_is_found(changes: dict[str, Any], wrong: str) -> None:
    assert regions.d2(context(answers(changes))).wrong == [wrong]


def test_a_pair_of_which_one_tells_people_and_a_drill_within_its_limits_pass(drilled: Callable[..., None]) -> None:
    drilled()
    finding = regions.d3(context(answers()))
    assert finding.wrong == []
    assert finding.figures == ["epoch 7", "RTO 210.5 s", "RPO 3.2 s"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({NOTIFIES: 1}, "number of regions that tell people is 2.0, must be 1.0"),
        ({PEER_NOTIFIES: 0}, "number of regions that tell people is 0.0, must be 1.0"),
        ({LEASE_AGE: 121}, "the lease was not read for 121 s"),
        ({LEASE_AGE: None}, "there is no region guard"),
        ({ISOLATED: 1}, "the region is cut off from the witness and every pager"),
        ({PEER_AGE: None}, "no other region was ever seen: nothing is kept in step with anything"),
    ],
)
def test_a_pair_that_could_not_take_over_is_found(
    changes: dict[str, Any], wrong: str, drilled: Callable[..., None]
) -> None:
    drilled()
    assert regions.d3(context(answers(changes))).wrong == [wrong]


@pytest.mark.parametrize(
    ("figures", "wrong"),
    [
        ({"RTO": 300.1}, ["RTO was 300.1 s, at most 300 s"]),
        ({"RPO": 15.5}, ["RPO was 15.5 s, at most 15 s"]),
        ({"RPO": None}, ["region-drill has no figure RPO s"]),
        ({"RTO": "soon"}, ["region-drill has no figure RTO s"]),
    ],
)
def test_a_drill_beyond_its_limits_fails_although_it_says_that_it_passed(
    figures: dict[str, Any], wrong: list[str], drilled: Callable[..., None]
) -> None:
    drilled(**figures)
    assert regions.d3(context(answers())).wrong == wrong


def test_a_drill_that_failed_or_never_ran_is_found(drilled: Callable[..., None]) -> None:
    assert regions.d3(context(answers())).wrong == ["drill region-drill was never run: run `make e2e`"]
    drilled(passed=False)
    [wrong] = regions.d3(context(answers())).wrong
    assert wrong.startswith("drill failed: region-drill: RTO s 210.5")


def test_rows_of_the_regions_are_no_longer_absent() -> None:
    assert {"D2", "D3", "G4"} <= set(CHECKS)


@pytest.mark.parametrize("part", ["region_guard_peer_", "obs:mirror_"])
def test_the_operations_dashboards_show_whether_the_other_region_could_take_over(part: str) -> None:
    assert part in reading.SUBJECTS.values()
    asked = [
        query.expr
        for board in DASHBOARDS
        if board.name in reading.OPERATIONS
        for panel in board.panels
        for query in panel.queries
    ]
    assert any(part in each for each in asked)
