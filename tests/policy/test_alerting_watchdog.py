"""The alert that always fires."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, broken, rule, said

FILE = "ConfigMap mon/routing, alertmanager.yaml:"
BEATS: list[tuple[str, Any, str]] = [
    (
        "receivers/2/webhook_configs/0",
        {"url": "https://record.mon.svc/x"},
        ".route.routes[2].receiver: Watchdog goes to heartbeat, which tells nobody outside the platform. "
        "Fix: give it a webhook to the switch outside.",
    ),
    (
        "route/routes/2/repeat_interval",
        GONE,
        ".route.routes[2].repeat_interval: Watchdog leaves too seldom: repeat_interval is 4h, more than 1m. "
        "Fix: set repeat_interval to 1m or less on its route.",
    ),
    (
        "route/routes/2/group_interval",
        "5m",
        ".route.routes[2].group_interval: Watchdog leaves too seldom: group_interval is 5m, more than 1m. "
        "Fix: set group_interval to 1m or less on its route.",
    ),
    (
        "route/routes/2/active_time_intervals",
        ["office"],
        ".route.routes[2].active_time_intervals: Watchdog is held back at times: active_time_intervals is office. "
        "Fix: remove active_time_intervals from its route.",
    ),
    (
        "inhibit_rules/0/target_matchers",
        GONE,
        ".inhibit_rules[0].target_matchers: other alerts may keep Watchdog quiet. "
        "Fix: name the alerts that it is for in target_matchers.",
    ),
    (
        "inhibit_rules/0/target_matchers",
        ['severity=~"low|medium"'],
        ".inhibit_rules[0].target_matchers: other alerts may keep Watchdog quiet. "
        "Fix: name the alerts that it is for in target_matchers.",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), BEATS)
def test_a_heartbeat_that_may_stay_away_is_noticed(path: str, value: Any, message: str) -> None:
    findings = said(rule("watchdog-leaves"), build(broken(GOOD, f"routing/{path}", value)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [FILE + message]


def test_a_heartbeat_without_a_route_is_noticed() -> None:
    routes = [GOOD["routing"]["route"]["routes"][index] for index in (0, 1)]
    findings = said(rule("watchdog-leaves"), build(broken(GOOD, "routing/route/routes", routes)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [
        f"{FILE}.route.routes: no route is for Watchdog, so it goes where on-call is notified, and the switch hears "
        'nothing. Fix: add a first route with the matcher alertname="Watchdog".'
    ]


def test_a_heartbeat_that_another_route_takes_first_is_noticed() -> None:
    low = {"matchers": ["severity=low"], "receiver": "report"}
    routes = [low, *GOOD["routing"]["route"]["routes"]]
    findings = said(rule("watchdog-leaves"), build(broken(GOOD, "routing/route/routes", routes)))
    assert (
        f"{FILE}.route.routes[0].receiver: Watchdog goes to report, which tells nobody outside the platform. "
        "Fix: give it a webhook to the switch outside."
    ) in findings


def test_a_stack_in_which_nothing_always_fires_is_noticed() -> None:
    data = broken(GOOD, "rules/groups/0/rules/5", GONE)
    findings = said(rule("watchdog-fires"), build(data))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [
        f"{FILE}.route.routes: no rule of the stack has the alert Watchdog, whose silence calls people. "
        "Fix: add a rule Watchdog that is always true."
    ]


def test_rules_that_are_not_known_yet_are_not_called_missing() -> None:
    unknown = Resource("kubernetes:core/v1:ConfigMap", "new", {"data": UNKNOWN})
    with pytest.raises(UnknownValueError):
        said(rule("watchdog-fires"), [*build(broken(GOOD, "rules/groups/0/rules/5", GONE)), unknown])


def test_without_an_alertmanager_nothing_has_to_fire() -> None:
    data = broken(GOOD, "rules/groups/0/rules/5", GONE)
    resources = [resource for resource in build(data) if resource.object_name in ("first", "second")]
    assert said(rule("watchdog-fires"), resources) == []
