"""The checks of the pair of regions, against a platform that keeps its promises: each broken once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.dashboards.registry import DASHBOARDS
from ops.checks import recovery, visualization
from ops.checks.command import CHECKS
from ops.core.context import Context
from ops.core.platform import Platform
from ops.core.rows import Check, Setup
from ops.evidence import files as evidence

KINDS = ("rules", "dashboards", "topics", "permissions", "passwords", "notifications", "catalogue", "groups")
Answers = dict[str, list[tuple[dict[str, str], float]]]
NOTIFIES, PEER_NOTIFIES = "max(failover_agent_notifies)", "max(failover_agent_peer_notifies)"
PEER_AGE = "max(failover_agent_peer_age_seconds)"
LEASE_AGE, EPOCH = "max(failover_agent_lease_read_age_seconds)", "max(failover_agent_lease_epoch)"
ISOLATED, ROLE = "max(failover_agent_isolated)", "max by (role) (failover_agent_role) == 1"
DIFFERS = "max by (definition) (failover_agent_peer_differs)"
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


def context(answers_by_expression: Answers) -> Context:
    """A platform whose Thanos Query knows these queries and no other."""

    def instant(expression: str) -> list[Any]:
        return [
            SimpleNamespace(labels=labels, value=float(value)) for labels, value in answers_by_expression[expression]
        ]

    def number(expression: str) -> float | None:
        values = [sample.value for sample in instant(expression) if not math.isnan(sample.value)]
        return sum(values) if values else None

    thanos, platform = SimpleNamespace(instant=instant, number=number), Platform.model_construct()
    return cast(Context, SimpleNamespace(thanos=thanos, platform=platform))


def test_a_standby_that_is_kept_in_step_passes() -> None:
    finding = recovery.d2(context(answers()))
    assert finding.wrong == []
    assert finding.figures == [
        "8 of 8 kinds of definitions are identical",
        "1 topics, the slowest 0.40 s late, 12 records behind",
    ]


def test_a_primary_shows_parity_and_relies_on_the_drill_for_the_copy() -> None:
    answer_table = answers({ROLE: [({"role": "primary"}, 1)], LATE: None, TASKS: None, BEHIND: None})
    finding = recovery.d2(context(answer_table))
    assert finding.wrong == []
    assert "run it with the other region's stack" in finding.seen[0]
    assert set(finding.drills) == {recovery.DRILL}


@pytest.mark.parametrize("check", [recovery.d2, recovery.d3])
@pytest.mark.parametrize(
    ("scope", "command"), [("checkout", "make up-dr"), ("", "pulumi up --stack dr --policy-pack policy")]
)
def test_a_region_alone_is_not_set_up_and_says_how(
    check: Check, scope: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(evidence.SCOPE_VARIABLE, scope)
    finding = check(context(answers({PEER_AGE: None})))
    assert finding.wrong == []
    assert finding.setups == [Setup(what="no second region has reported", command=command)]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({PEER_AGE: 61}, "the other region last reported 61 s ago, at most 60 s"),
        (
            {DIFFERS: [({"definition": kind}, kind == "rules") for kind in KINDS]},
            "the regions differ in rules: `ops regions parity` shows the differences",
        ),
        ({DIFFERS: [({"definition": kind}, 0) for kind in KINDS[1:]]}, "not compared: rules"),
        ({TASKS: None}, "no mirror is running"),
        ({TASKS: 2}, "2 tasks of the mirror have failed"),
        ({LATE: [({"topic": "telemetry-logs"}, 0.1)]}, "no record of telemetry-metrics has arrived recently"),
        ({LATE: [({"topic": "telemetry-metrics"}, math.nan)]}, "no record of telemetry-metrics has arrived recently"),
        ({LATE: [({"topic": "telemetry-metrics"}, 31)]}, "telemetry-metrics arrives 31.0 s late, at most 30 s"),
    ],
)
def test_a_region_that_is_not_kept_in_step_is_found(changes: dict[str, Any], wrong: str) -> None:
    assert recovery.d2(context(answers(changes))).wrong == [wrong]


def test_a_pair_of_which_one_notifies_people_passes_with_the_drill() -> None:
    finding = recovery.d3(context(answers()))
    assert finding.wrong == []
    assert finding.figures == ["epoch 7"]
    assert finding.drills == {recovery.DRILL: (recovery.RTO, recovery.RPO)}


def test_the_drills_targets_are_the_catalogs() -> None:
    targets = {target.figure: target.at_most for target in evidence.catalog().entry(recovery.DRILL).targets}
    assert (targets[recovery.RTO], targets[recovery.RPO]) == (300, 15)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({NOTIFIES: 1}, "number of regions that notify is 2.0, must be 1.0"),
        ({PEER_NOTIFIES: 0}, "number of regions that notify is 0.0, must be 1.0"),
        ({LEASE_AGE: 121}, "the lease was last read 121 s ago"),
        ({LEASE_AGE: None}, "no failover agent reports"),
        ({ISOLATED: 1}, "the region reaches neither the witness nor any pager"),
    ],
)
def test_a_pair_that_could_not_take_over_is_found(changes: dict[str, Any], wrong: str) -> None:
    assert recovery.d3(context(answers(changes))).wrong == [wrong]


def test_rows_of_the_regions_are_no_longer_absent() -> None:
    assert {"D2", "D3", "G4"} <= set(CHECKS)


@pytest.mark.parametrize("part", ["failover_agent_peer_", "obs:mirror_"])
def test_the_operations_dashboards_show_whether_the_other_region_could_take_over(part: str) -> None:
    assert part in visualization.SUBJECTS.values()
    expressions = [
        query.expr
        for dashboard in DASHBOARDS
        if dashboard.name in visualization.OPERATIONS
        for panel in dashboard.panels
        for query in panel.queries
    ]
    assert any(part in expression for expression in expressions)
