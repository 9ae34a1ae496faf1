"""Every alert: checked and run by promtool, tested from both sides, with a runbook."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import re
from pathlib import Path

import pytest
import yaml

from components.alerting.escalation import escalated
from components.alerting.inhibitions import PLATFORM, collected
from components.clusterstate.rules import cluster_state_rules, volume_rules
from components.kafka.rules import kafka_rules
from components.probes.rules import probe_rules
from components.prometheus.rules import prometheus_rules
from components.rules import ID_LABEL, Alert, Inhibition, RuleGroup, any_of, rule_file
from tests.rules import (
    scenarios_escalation,
    scenarios_kafka,
    scenarios_probes,
    scenarios_prometheus,
)
from tests.rules.promtool import accepted, verdicts
from tests.rules.scenario import Scenario, needed, promtool_tests

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
MADE: dict[str, tuple[RuleGroup, ...]] = {
    "clusterstate": (*cluster_state_rules(nodes=True), *volume_rules()),
    "kafka": kafka_rules(
        min_insync_replicas=scenarios_kafka.MIN_INSYNC_REPLICAS, volume_bytes=scenarios_kafka.VOLUME_BYTES
    ),
    "probes": probe_rules(scenarios_probes.RENEW_BEFORE),
    "prometheus": prometheus_rules(
        scenarios_prometheus.JOBS,
        volume_bytes=scenarios_prometheus.VOLUME_BYTES,
        memory_bytes=scenarios_prometheus.MEMORY_BYTES,
        ruled=True,
    ),
}
"""Rules that are made for a platform; every other ``components/<part>/rules.py`` has them as ``RULES``."""
MODULES = {
    path.parent.name: importlib.import_module(f"components.{path.parent.name}.rules")
    for path in sorted((ROOT / "components").glob("*/rules.py"))
}
"""Every part that has rules: none is listed, so none can be forgotten."""
GROUPS_OF: dict[str, tuple[RuleGroup, ...]] = {part: MADE.get(part) or module.RULES for part, module in MODULES.items()}
GROUPS: tuple[RuleGroup, ...] = tuple(group for groups in GROUPS_OF.values() for group in groups)
INHIBITIONS: tuple[Inhibition, ...] = tuple(
    inhibition for module in MODULES.values() for inhibition in getattr(module, "INHIBITIONS", ())
)
ALL: tuple[RuleGroup, ...] = escalated((*GROUPS, *scenarios_escalation.GROUPS))
"""What Prometheus loads, and the samples."""
ALERTS: dict[str, Alert] = {alert.name: alert for group in ALL for alert in group.alerts}
OWN = sorted(alert.name for group in GROUPS for alert in group.alerts)
SAMPLES = {alert.name for group in scenarios_escalation.GROUPS for alert in group.alerts}
TWINS = sorted(name for name, alert in ALERTS.items() if alert.original)
SCENARIOS: tuple[Scenario, ...] = tuple(
    scenario
    for path in sorted(Path(__file__).parent.glob("scenarios_*.py"))
    for scenario in importlib.import_module(f"tests.rules.{path.stem}").SCENARIOS
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    path.write_text(yaml.safe_dump(rule_file(ALL, "https://runbooks.example.org/")))
    return path


def test_promtool_accepts_all_rules(rules: Path) -> None:
    accepted("check", "rules", "--lint=all", "--lint-fatal", str(rules))


@pytest.fixture(scope="module")
def against(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Number of a scenario -> what promtool has against it."""
    folder = tmp_path_factory.mktemp("scenarios")
    files = {number: _written(folder / str(number), scenario) for number, scenario in enumerate(SCENARIOS)}
    judged = verdicts(files.values())
    return {number: judged[file] for number, file in files.items()}


def _written(folder: Path, scenario: Scenario) -> Path:
    """The file of a scenario's tests, beside the rules that it needs."""
    folder.mkdir()
    twin = f"{scenario.alert}Escalated"
    waiting = [twin] if twin in ALERTS else []
    (folder / "rules.yml").write_text(json.dumps(needed(ALL, scenario.alert, *waiting)))
    path = folder / "test.yml"
    path.write_text(json.dumps(promtool_tests(scenario, "rules.yml", ALERTS[scenario.alert].data(""), waiting)))
    return path


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=[scenario.alert for scenario in SCENARIOS])
def test_the_alert_is_silent_just_before_fires_just_after_and_leaves_the_control_alone(
    number: int, against: dict[int, str]
) -> None:
    assert against[number] == ""


def test_every_alert_has_a_scenario() -> None:
    assert sorted({scenario.alert for scenario in SCENARIOS if not scenario.original} - SAMPLES) == OWN


@pytest.mark.parametrize("part", sorted(MODULES))
def test_the_platform_has_the_rules_and_inhibitions_of_every_part(part: str) -> None:
    text = (ROOT / "stacks" / "rules.py").read_text()
    assert f"from components.{part}.rules import " in text
    if hasattr(MODULES[part], "INHIBITIONS"):
        assert f"from components.{part}.rules import INHIBITIONS" in text


@pytest.mark.parametrize("name", TWINS)
def test_an_escalated_alert_is_its_original_later_and_for_somebody_else_within_the_delay(name: str) -> None:
    twin = ALERTS[name]
    original = ALERTS[twin.original]
    promised, group_wait, contact = {
        "critical": (300, 1, "senior-manager"),
        "high": (1800, 10, "on-call-engineer"),
        "medium": (14400, 120, "team-leader"),
    }[original.severity]
    ours, theirs = original.data("https://runbooks.example.org"), twin.data("https://runbooks.example.org")
    assert theirs["alert"] == f"{original.name}Escalated"
    assert theirs["expr"] == ours["expr"]
    every = next(_seconds(group.interval) for group in ALL if twin in group.alerts)
    assert _seconds(theirs["for"]) % every == 0, "an evaluation would round it up"
    waits = _seconds(theirs["for"]) - math.ceil(_seconds(ours["for"]) / every) * every
    # Until the next scrape, until the next evaluation, the route's wait, the other Alertmanager, the wires.
    notification = waits + 15 + every + group_wait + 3 + 2
    assert promised - every < notification <= promised
    assert theirs["labels"] == {**ours["labels"], "escalation": contact}
    assert theirs["labels"][ID_LABEL].startswith(f"{original.name}{{{{")
    assert theirs["annotations"]["runbook_url"] == f"https://runbooks.example.org/{original.name}.md"


@pytest.mark.parametrize("name", sorted(name for name, alert in ALERTS.items() if not alert.original))
def test_every_alert_of_the_three_upper_priorities_escalates(name: str) -> None:
    alert = ALERTS[name]
    assert (f"{name}Escalated" in TWINS) == (alert.severity != "low" and name != "Watchdog")


def test_every_inhibition_names_alerts_and_gives_its_reason() -> None:
    for inhibition in collected(ALL, (*PLATFORM, *INHIBITIONS)):
        assert inhibition.reason.endswith("."), f"inhibition of {inhibition.targets} has no reason"


def test_no_inhibition_is_said_twice() -> None:
    pairs = [
        pair
        for inhibition in (*PLATFORM, *INHIBITIONS)
        for pair in itertools.product(inhibition.source, inhibition.targets)
    ]
    assert sorted({pair for pair in pairs if pairs.count(pair) > 1}) == []


def _seconds(duration: str) -> float:
    """The length of a duration, read here once more and not by the code under test."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", duration))


@pytest.mark.parametrize("name", OWN)
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
    json.dumps(rule_file(ALL, ""))
