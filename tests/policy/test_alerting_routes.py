"""Where Alertmanager sends what, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, broken, config_map, rule, rules_of, said

ROUTES = "ConfigMap mon/routing, alertmanager.yaml:"
ROUTING: list[tuple[str, str, Any, str]] = [
    (
        "alertmanager-receivers",
        "route/receiver",
        GONE,
        ".route.receiver: the first route has no receiver. Fix: name a receiver that people watch.",
    ),
    (
        "alertmanager-receivers",
        "route/receiver",
        "nobody",
        ".route.receiver: the first route's receiver nobody does not exist. "
        "Fix: name a receiver with at least one channel: what no other route takes arrives there.",
    ),
    (
        "alertmanager-receivers",
        "receivers/0/email_configs",
        GONE,
        ".route.receiver: the first route's receiver mail tells nobody. "
        "Fix: name a receiver with at least one channel: what no other route takes arrives there.",
    ),
    (
        "alertmanager-receivers",
        "route/routes/0/receiver",
        "nobody",
        ".route.routes[0].receiver: receiver nobody does not exist. Fix: name one of the receivers in the same file.",
    ),
    (
        "alertmanager-critical-prompt",
        "route/routes/0/group_wait",
        "15s",
        ".route.routes[0].group_wait: group_wait of Critical alerts is 15s, more than 5s. "
        "Fix: set group_wait to 5s or less on their route.",
    ),
    (
        "alertmanager-critical-prompt",
        "route/routes/0/group_wait",
        GONE,
        ".route.group_wait: group_wait of Critical alerts is 30s, more than 5s. "
        "Fix: set group_wait to 5s or less on their route.",
    ),
    (
        "alertmanager-critical-prompt",
        "route/routes/0/group_interval",
        GONE,
        ".route.routes[0].group_interval: group_interval of Critical alerts is 5m, the default, more than 1m. "
        "Fix: set group_interval to 1m or less on their route.",
    ),
    (
        "alertmanager-critical-prompt",
        "route/routes/0/repeat_interval",
        "12h",
        ".route.routes[0].repeat_interval: repeat_interval of Critical alerts is 12h, more than 1h. "
        "Fix: set repeat_interval to 1h or less on their route.",
    ),
    (
        "alertmanager-critical-ways",
        "receivers/1/pagerduty_configs",
        GONE,
        ".route.routes[0].receiver: Critical alerts go to phone, which notifies by sns_configs, webhook_configs. "
        "Fix: give the receiver 3 channels of different kinds.",
    ),
    (
        "alertmanager-critical-ways",
        "receivers/1/webhook_configs/0",
        GONE,
        ".route.routes[0].receiver: Critical alerts go to phone, which notifies by pagerduty_configs, sns_configs. "
        "Fix: give the receiver 3 channels of different kinds.",
    ),
    (
        "alertmanager-critical-ways",
        "route/routes/0/receiver",
        "report",
        ".route.routes[0].receiver: Critical alerts go to report, which notifies by no channel. "
        "Fix: give the receiver 3 channels of different kinds.",
    ),
    (
        "alertmanager-critical-prompt",
        "route/routes/0/mute_time_intervals",
        ["night"],
        ".route.routes[0].mute_time_intervals: Critical alerts are held back at times: mute_time_intervals is night. "
        "Fix: remove mute_time_intervals from their route.",
    ),
]


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


def test_without_a_route_for_critical_alerts_the_first_one_counts() -> None:
    data = broken(GOOD["routing"], "route/routes", [])
    assert said(rule("alertmanager-critical-prompt"), [config_map("r", **{"am.yml": data})])[0] == (
        "ConfigMap mon/r, am.yml:.route.group_wait: group_wait of Critical alerts is 30s, more than 5s. "
        "Fix: set group_wait to 5s or less on their route."
    )


def test_every_rule_about_routing_is_broken_here() -> None:
    assert {case[0] for case in ROUTING} | {"alertmanager-configured"} == {
        known_rule.id for known_rule in rules_of("alerting_routes")
    }
