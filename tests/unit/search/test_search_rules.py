"""The search cluster's alerts, each from both sides."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from components.rules import rule_file
from components.search.rules import RULES
from lab.paths import CHECKOUT
from lab.toolchain import tools
from tests.rules.scenario import Scenario, promtool_tests
from tests.rules.scenarios_search import SCENARIOS

ALERTS = {alert.name: alert for group in RULES for alert in group.alerts}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.path("promtool")), *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(rule_file(RULES, "https://runbooks.example.org/")))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.alert)
def test_the_alert_is_silent_just_before_and_fires_just_after(scenario: Scenario, tmp_path: Path) -> None:
    content = rule_file(RULES, "")
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(content))
    data = promtool_tests(scenario, str(tmp_path / "rules.yml"), ALERTS[scenario.alert].data(""))
    (tmp_path / "test.yml").write_text(yaml.safe_dump(data))
    done = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_scenario_and_a_runbook() -> None:
    assert sorted(scenario.alert for scenario in SCENARIOS) == sorted(ALERTS)
    for name in ALERTS:
        text = (CHECKOUT / "docs" / "runbooks" / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert all(f"\n## {heading}\n" in text for heading in ("What it means", "What to look at", "What to do"))
