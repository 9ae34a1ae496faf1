"""Where Alertmanager sends what, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, broken, cases, config_map, rule, rules_of, said

ROUTES = "ConfigMap mon/routing, alertmanager.yaml:"
ROUTING = cases("alerting_routes")


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), ROUTING)
def test_broken_routing_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    findings = said(rule(rule_id), build(broken(GOOD, f"routing/{path}", value)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [ROUTES + message]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("args/config.file", GONE, "containers[0]: Alertmanager starts without --config.file. "),
        (
            "args/config.file",
            "/etc/other.yml",
            "containers[0].args[0]: Alertmanager's configuration /etc/other.yml is in no ConfigMap or Secret that is "
            "mounted there. ",
        ),
        (
            "routing/route",
            GONE,
            "containers[0].args[0]: Alertmanager's configuration /etc/am/alertmanager.yml is in no ConfigMap or Secret "
            "that is mounted there. ",
        ),
    ],
)
def test_every_alertmanager_has_its_configuration(path: str, value: Any, message: str) -> None:
    assert said(rule("alertmanager-configured"), build(broken(GOOD, path, value))) == [
        f"StatefulSet mon/notifier, spec.template.spec.{message}"
        "Fix: mount a file with route and receivers, and name it with --config.file."
    ]


@pytest.mark.parametrize("ending", [".conf", ".properties", ".ini", ".json", ".txt"])
def test_the_configuration_may_have_any_ending(ending: str) -> None:
    data = broken(GOOD["routing"], "route/routes", [])
    assert said(rule("alertmanager-critical-prompt"), [config_map("r", **{f"am{ending}": data})])


def test_without_a_route_for_critical_alerts_the_first_one_counts() -> None:
    data = broken(GOOD["routing"], "route/routes", [])
    assert said(rule("alertmanager-critical-prompt"), [config_map("r", **{"am.yml": data})])[0] == (
        "ConfigMap mon/r, am.yml:.route.group_wait: group_wait of Critical alerts is 30s, more than 5s. "
        "Fix: set group_wait to 5s or less on their route."
    )


def test_every_rule_about_routing_and_receivers_is_broken() -> None:
    broken_ones = {case[0] for case in [*ROUTING, *cases("alerting_receivers")]}
    assert broken_ones | {"alertmanager-configured", "alertmanager-inhibitions"} == {
        known_rule.id for known_rule in rules_of("alerting_routes")
    }
