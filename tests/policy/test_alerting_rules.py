"""Alerts of Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_alerting import GOOD, build, prometheus
from tests.policy.fixtures_servers import GONE, all_said, broken, cases, rule, rules_of, said

ALERTS = cases("alerting_rules")
NOTHING = (
    "prometheus.yml:.rule_files: this Prometheus knows Alertmanagers and evaluates no alert: rule_files names no "
    "mounted file with one. Fix: mount the rule file and name it in rule_files."
)


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), ALERTS)
def test_a_broken_alert_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    findings = said(rule(rule_id), build(broken(GOOD, f"rules/groups/0/rules/2/{path}", value)))
    assert findings == [f"ConfigMap mon/first, {message}", f"ConfigMap mon/second, {message}"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("first/rule_files", GONE),
        ("first/rule_files", ["/etc/prom/others.yml"]),
        ("rules/groups/0/rules", [{"record": "up:sum", "expr": "sum(up)"}]),
    ],
)
def test_a_prometheus_that_evaluates_nothing_is_noticed(path: str, value: Any) -> None:
    assert said(rule("alert-rules-loaded"), build(broken(GOOD, path, value))) == [
        f"ConfigMap mon/{name}, {NOTHING}" for name in ("first", "second")
    ]


@pytest.mark.parametrize("pattern", ["all.rules.yml", "/etc/prom/all.rules.yml", "/etc/prom/*.yml"])
def test_rule_files_are_found_as_prometheus_finds_them(pattern: str) -> None:
    assert said(rule("alert-rules-loaded"), build(broken(GOOD, "first/rule_files", [pattern]))) == []


def test_a_prometheus_without_alertmanagers_needs_no_alerts() -> None:
    quiet = broken(broken(GOOD, "first/alerting", GONE), "first/rule_files", GONE)
    assert said(rule("alert-rules-loaded"), build(quiet)) == []


def test_rule_files_that_are_not_known_yet_are_not_called_missing() -> None:
    resources = [resource for resource in build(GOOD) if resource.object_name == "first"]
    props = {**resources[0].props, "data": {**resources[0].props["data"], "all.rules.yml": UNKNOWN}}
    with pytest.raises(UnknownValueError, match="ConfigMap mon/first"):
        said(rule("alert-rules-loaded"), [Resource(resources[0].type, "first", props), resources[1]])


def test_alerts_that_are_not_known_yet_are_not_said_to_be_lacking() -> None:
    resources = build(GOOD)
    index = next(
        i for i, resource in enumerate(resources) if (resource.kind, resource.object_name) == ("ConfigMap", "second")
    )
    props = {**resources[index].props, "data": {**resources[index].props["data"], "all.rules.yml": UNKNOWN}}
    resources[index] = Resource(resources[index].type, "second", props)
    with pytest.raises(UnknownValueError, match="ConfigMap mon/second"):
        said(rule("alert-rules-alike"), resources)


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        ("groups/0/rules/2", GONE, "Slow"),
        ("groups/0/rules", [], "DiskFull and 5 more"),
        ("groups/0/rules/2/labels/severity", "medium", "Slow"),
    ],
)
def test_an_alert_that_only_one_prometheus_evaluates_is_noticed(path: str, value: Any, names: str) -> None:
    others = [resource for resource in build(GOOD) if resource.object_name != "second"]
    second = prometheus("second", GOOD["first"], broken(GOOD["rules"], path, value), GOOD["prometheus"])
    findings = said(rule("alert-rules-alike"), [*others, *second])
    assert [finding for finding in findings if "mon/second" in finding] == [
        f"ConfigMap mon/second, prometheus.yml:.rule_files: another Prometheus of the stack evaluates {names}, and "
        "this one does not, or with other labels. Fix: give every Prometheus the same rule files."
    ]


def test_recordings_and_files_of_other_kinds_are_no_alerts() -> None:
    data = broken(GOOD, "rules/groups/0/rules/6", {"record": "a", "expr": "b", "labels": {}})
    assert all_said(build(data), ["alerting_rules"]) == []


def test_every_rule_about_alerts_is_broken() -> None:
    elsewhere = {
        *("alert-rules-loaded", "alert-rules-alike", "alert-reaches-people"),
        *("alert-escalates", "alert-escalation-routed", "alert-escalation-remembered"),
        *("watchdog-fires", "watchdog-leaves"),
    }
    assert {case[0] for case in ALERTS} | elsewhere == {known_rule.id for known_rule in rules_of("alerting_rules")}
