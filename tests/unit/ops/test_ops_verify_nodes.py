"""The check of what agents tell of their nodes: nodes and measurements that are missing are named."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.agent.rules import RULES
from components.rules import Recording
from ops.checks import visualization
from ops.checks.grace_period import GRACE_PERIOD
from ops.core.context import Context
from ops.core.rows import Finding
from tests.unit.ops.dashboard_fakes import query_client
from tests.unit.ops.visualization_platform import OLD, Platform, agent, measurements, platforms

CPU, DISK = visualization.NODE_RECORDINGS["CPU"], visualization.NODE_RECORDINGS["disk"]


@pytest.fixture
def platform_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes platforms."""
    return platforms(tmp_path, monkeypatch)


def finding_of(**differs: Any) -> Finding:
    """What the check says of a platform, from what is different there."""
    finding = Finding()
    visualization.nodes_measured(context(**differs), finding)
    return finding


def context(**differs: Any) -> Context:
    return Platform(folder=Path(), urls=["https://grafana"], **differs).context


def test_the_recordings_are_all_that_the_agents_rules_make_of_nodes() -> None:
    recorded = [rule.record for group in RULES for rule in group.rules if isinstance(rule, Recording)]
    assert sorted(visualization.NODE_RECORDINGS.values()) == sorted(recorded)


def test_nodes_that_are_all_measured_pass() -> None:
    finding = finding_of()
    assert (finding.wrong, finding.waits) == ([], [])
    assert finding.figures == ["2 nodes with an agent"]
    assert finding.seen == ["CPU, disk, load, memory of node-a, node-b"]


def test_a_node_that_nothing_is_told_of_is_named() -> None:
    assert [line.partition(" (was due")[0] for line in finding_of(measured=measurements("node-a")).wrong] == [
        f"no {what} of node node-b: {recording} has no value there"
        for what, recording in visualization.NODE_RECORDINGS.items()
    ]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "node-a, node-b"),
        ({"node-a": 0.0}, "node-b"),
        ({"node-a": 0.1, "node-b": math.nan}, "node-b"),
        ({"node-a": 0.1, "gone": 0.1}, "node-b"),
    ],
)
def test_a_measurement_that_is_missing_is_named(values: dict[str, float], missing: str) -> None:
    finding = finding_of(measured={**measurements("node-a", "node-b"), DISK: values})
    [wrong] = finding.wrong
    assert wrong.startswith(f"no disk of node {missing}: {DISK} has no value there")


def test_a_node_whose_agent_is_new_is_waited_for_and_others_are_not() -> None:
    started = datetime.now(UTC) - timedelta(minutes=1)
    finding = finding_of(
        agents=[agent("node-a"), agent("node-b"), agent("new", started=started)],
        measured={**measurements("node-a", "node-b", "new"), CPU: {"node-a": 0.1}},
    )
    [wrong], [wait] = finding.wrong, finding.waits
    assert wrong.startswith(f"no CPU of node node-b: {CPU} has no value there (was due at ")
    assert (wait.what, wait.due) == ("CPU of node new", started + visualization.MEASURED_WITHIN)


def test_nodes_of_a_young_platform_are_waited_for() -> None:
    created = datetime.now(UTC)
    finding = finding_of(created=created, measured=measurements())
    assert finding.wrong == []
    assert {wait.due for wait in finding.waits} == {created + GRACE_PERIOD}


def test_a_node_has_the_agent_that_does_not_end_and_the_older_one_of_two() -> None:
    new = datetime.now(UTC)
    pods = [agent("node-a", started=new), agent("node-a"), agent("node-b", ends=True), agent(None), agent("node-c")]
    assert visualization.agents(context(agents=pods)) == {"node-a": OLD, "node-c": OLD}


def test_an_agent_that_no_kubelet_has_seen_starts_now() -> None:
    finding = finding_of(agents=[agent("node-a", started=None)], measured=measurements())
    assert finding.wrong == []
    assert {wait.what for wait in finding.waits} == {f"{what} of node node-a" for what in visualization.NODE_RECORDINGS}


def test_a_platform_without_agents_is_told() -> None:
    assert finding_of(agents=()).wrong == ["no pod of otel-agent has a node"]


def test_the_row_asks_for_panels_and_nodes(
    platform_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_client, address = query_client({})
    monkeypatch.setattr(address, "_found", lambda _: [({"x": "1"}, 1.0)])
    monkeypatch.setattr(visualization, "as_viewer", lambda _: nullcontext(panel_client))
    with platform_factory() as (platform, _):
        passed = visualization.CHECKS["G4"](platform.context)
    with platform_factory(measured={**measurements("node-a", "node-b"), CPU: {"node-a": 0.1}}) as (platform, _):
        [wrong] = visualization.CHECKS["G4"](platform.context).wrong
    assert passed.wrong == []
    assert "panels with data" in passed.figures[0]
    assert "2 nodes with an agent" in passed.figures
    assert wrong.startswith(f"no CPU of node node-b: {CPU} has no value there")
