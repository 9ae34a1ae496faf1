"""Every alert: checked and run by promtool, tested from both sides, with a runbook."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from components.prometheus.rules import prometheus_rules
from components.rules import Alert, RuleGroup, any_of, rule_file
from lab.toolchain import tools
from tests.rules.scenario import Scenario, promtool_tests
from tests.rules.scenarios_prometheus import JOBS

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
KAFKA_RULES: tuple[RuleGroup, ...] = importlib.import_module("components.kafka.rules").RULES
RULE_MODULES = ("gateway", "agent", "consumers", "search", "jaeger", "sampler", "servicegraph", "logs", "masking")
GROUPS: tuple[RuleGroup, ...] = (
    *KAFKA_RULES,
    *(group for part in RULE_MODULES for group in importlib.import_module(f"components.{part}.rules").RULES),
    *prometheus_rules(JOBS),
)
ALERTS: dict[str, Alert] = {alert.name: alert for group in GROUPS for alert in group.alerts}
SCENARIOS: tuple[Scenario, ...] = tuple(
    scenario
    for part in ("kafka", "gateway", "consumers", "prometheus", "search", "jaeger", "sampler", "logs", "masking")
    for scenario in importlib.import_module(f"tests.rules.scenarios_{part}").SCENARIOS
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    path.write_text(yaml.safe_dump(rule_file(GROUPS, "https://runbooks.example.org/")))
    return path


@pytest.fixture(scope="module")
def bare_rules(rules: Path) -> Path:
    """The rules without annotations: promtool would compare those word for word."""
    content = yaml.safe_load(rules.read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    path = rules.with_name("bare.yml")
    path.write_text(yaml.safe_dump(content))
    return path


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.path("promtool")), *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_all_rules(rules: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.alert)
def test_the_alert_is_silent_just_before_fires_just_after_and_leaves_the_control_alone(
    scenario: Scenario, bare_rules: Path, tmp_path: Path
) -> None:
    data = promtool_tests(scenario, str(bare_rules), ALERTS[scenario.alert].data(""))
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(data))
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_scenario() -> None:
    assert sorted(scenario.alert for scenario in SCENARIOS) == sorted(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_runbook_that_says_what_to_do(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert f"\n{heading}\n" in text, f"{name}.md lacks the section {heading!r}"


def test_a_name_that_occurs_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="occurs twice"):
        rule_file([GROUPS[0], GROUPS[0]], "")


def test_conditions_are_joined() -> None:
    assert any_of(["a", "b"]) == "a or b"


def test_rules_are_plain_data() -> None:
    json.dumps(rule_file(GROUPS, ""))
