"""Jaeger's and the agents' alerts, run by promtool; each of their causes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from components.agent.rules import RULES as AGENT_RULES
from components.jaeger.rules import RULES as JAEGER_RULES
from components.rules import Alert, rule_file
from lab.toolchain import tools
from tests.rules.scenario import Scenario, promtool_tests
from tests.rules.scenarios_agent import SCENARIOS as NODE_SCENARIOS
from tests.rules.scenarios_jaeger import FURTHER, SCENARIOS

GROUPS = (*JAEGER_RULES, *AGENT_RULES)
ALERTS: dict[str, Alert] = {alert.name: alert for group in GROUPS for alert in group.alerts}
RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools.path("promtool")), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def bare_rules(folder: Path) -> Path:
    """The rules without annotations, which promtool would compare word for word."""
    content = rule_file(GROUPS, "")
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    "scenario", [*SCENARIOS, *FURTHER], ids=lambda scenario: f"{scenario.alert}-{min(scenario.bad)[:24]}"
)
def test_the_alert_is_silent_just_before_fires_just_after_and_leaves_the_control_alone(
    scenario: Scenario, tmp_path: Path
) -> None:
    data = promtool_tests(scenario, str(bare_rules(tmp_path)), ALERTS[scenario.alert].data(""))
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(data))
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(rule_file(GROUPS, "https://runbooks.example.org/")))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_scenario_and_a_runbook() -> None:
    assert {scenario.alert for scenario in (*SCENARIOS, *NODE_SCENARIOS)} == set(ALERTS)
    for name in ALERTS:
        assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n")
