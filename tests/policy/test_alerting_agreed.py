"""Alerts as they were agreed on, and the table of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policy.model import Resource
from policy.rules import RULES
from policy.rules._agreed import ALERTS_FILE, agreed_alerts
from policy.rules._alerting import metrics_of
from tests.policy.test_agreed import config_map, problems
from tests.support import agreed_alerts as table
from tests.support import choices, engine
from tests.support.agreed_recordings import resources

KEPT = {rule.id: rule for rule in RULES}["alert-kept"]
DISK = {
    "alert": "KafkaUnderMinIsr",
    "expr": " or ".join(agreed_alerts()["KafkaUnderMinIsr"]["reads"][0]),
    "for": f"{agreed_alerts()['KafkaUnderMinIsr']['for']}s",
    "labels": {"severity": "critical"},
}


def rules(alert: dict[str, Any], **group: Any) -> Resource:
    """A file with one alert."""
    return config_map("rules.yml", {"groups": [{"name": "kafka", "interval": "5s", "rules": [alert], **group}]})


@pytest.mark.parametrize(
    ("changed", "group", "problem"),
    [
        ({}, {}, ""),
        ({"for": "0s"}, {"interval": "1s"}, ""),
        ({"alert": "AnotherOne", "for": "24h"}, {}, ""),
        ({"for": "24h"}, {}, "the alert KafkaUnderMinIsr comes later: 86400 s instead of"),
        ({}, {"interval": "1h"}, "the alert KafkaUnderMinIsr comes later: 3600 s instead of"),
        ({"labels": {"severity": "low"}}, {}, "the alert KafkaUnderMinIsr is less urgent: low instead of critical"),
        ({"labels": {}}, {}, "the alert KafkaUnderMinIsr is less urgent: nothing instead of critical"),
        ({"expr": "vector(0) > 1"}, {}, "the alert KafkaUnderMinIsr is about something else: it does not read"),
        ({}, {"query_offset": "1d"}, "query_offset is not agreed on"),
        ({"keep_firing_for": "1h"}, {}, "keep_firing_for is not agreed on"),
    ],
)
def test_an_alert_that_became_weaker_is_noticed(changed: dict[str, Any], group: dict[str, Any], problem: str) -> None:
    told = problems("alert-agreed", rules(DISK | changed, **group))
    assert len(told) == bool(problem)
    assert not problem or told[0].startswith(problem)


@pytest.mark.parametrize(
    ("old", "new"), [("< 600", "< 1000000000000"), ("< 600", "< 600 or vector(1)"), ("min(", "max("), ("", "")]
)
def test_an_alert_that_keeps_more_urgent_ones_quiet_is_true_when_agreed_on(old: str, new: str) -> None:
    [expression] = agreed_alerts()["PlatformStarting"]["exactly"]
    starting = {
        "alert": "PlatformStarting",
        "expr": expression.replace(old, new),
        "for": "10s",
        "labels": {"severity": "low"},
    }
    told = problems("alert-agreed", rules(starting))
    problem = "the alert PlatformStarting, which keeps more urgent ones quiet, is true at other times than agreed on"
    assert told == ([problem] if new else [])


def test_an_alert_in_a_file_that_is_not_loaded_is_gone() -> None:
    assert KEPT.stack is not None
    whole = resources(engine.recorded("local"))
    assert list(KEPT.stack(whole, {})) == []
    moved = []
    for resource in whole:
        data = dict(resource.props.get("data") or {}) if resource.kind == "ConfigMap" else {}
        name = next((name for name, text in data.items() if "alert: KafkaDiskFull\n" in text), "")
        if not name:
            moved.append(resource)
            continue
        content = yaml.safe_load(data[name])
        taken: dict[str, Any] = {"groups": []}
        for group in content["groups"]:
            rules_of_group = [rule for rule in group["rules"] if rule.get("alert") == "KafkaDiskFull"]
            if rules_of_group:
                taken["groups"].append({**group, "rules": rules_of_group})
                group["rules"] = [rule for rule in group["rules"] if rule not in rules_of_group]
        data |= {name: yaml.safe_dump(content), "spare.yaml": yaml.safe_dump(taken)}
        moved.append(Resource(resource.type, resource.name, {**resource.props, "data": data}))
    told = [finding.problem for finding in KEPT.stack(moved, {})]
    assert told == ["alerts are gone that every such stack has: KafkaDiskFull"]


def test_an_alert_that_is_gone_is_noticed() -> None:
    assert KEPT.stack is not None
    names = [name for name, known in agreed_alerts().items() if known["with"] == []]
    whole = [{"alert": name, "expr": "up", "labels": {"severity": "high"}} for name in names]
    for gone, problem in ((0, None), (1, names[0]), (3, f"{names[0]} and 2 more")):
        resource = config_map("rules.yml", {"groups": [{"name": "all", "rules": whole[gone:]}]})
        told = [finding.problem for finding in KEPT.stack([resource], {})]
        assert told == ([f"alerts are gone that every such stack has: {problem}"] if problem else [])
    assert list(KEPT.stack([config_map("a", "b")], {})) == [], "a stack without alerts has none to keep"


def without(alert: str, resource: Resource) -> Resource:
    """The resource, whose rule files lack an alert."""
    files = {}
    for name, text in (resource.props.get("data") or {}).items() if resource.kind == "ConfigMap" else ():
        content = yaml.safe_load(text) if f"alert: {alert}\n" in text else {}
        for group in content.get("groups", ()):
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != alert]
        files[name] = yaml.safe_dump(content) if content else text
    return Resource(resource.type, resource.name, {**resource.props, "data": files}) if files else resource


@pytest.mark.parametrize(
    ("alert", "names"),
    [
        ("PostgresDown", ("a database elsewhere", "rights in the namespace alone", "one region")),
        ("NodeNotReady", ("a database elsewhere", "rights in the namespace alone", "one region")),
        ("FailoverAgentDown", ("a database elsewhere", "rights in the namespace alone", "one region")),
        ("JobFailed", ("no state of the cluster", "no phone and no Slack")),
        ("IncidentsNotClosed", ("no state of the cluster", "no phone and no Slack")),
    ],
)
def test_an_alert_of_a_part_is_kept_where_the_part_is_and_nowhere_else(alert: str, names: tuple[str, ...]) -> None:
    assert KEPT.stack is not None
    assert list(KEPT.stack(resources(choices.recorded("local", names)), {})) == []
    whole = resources(engine.recorded("local"))
    assert list(KEPT.stack(whole, {})) == []
    told = [finding.problem for finding in KEPT.stack([without(alert, one) for one in whole], {})]
    assert told == [f"alerts are gone that every such stack has: {alert}"]


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('sum by (job) (rate(a_total{job="b_total"}[5m])) > 1 and on (job) c', {"a_total", "c"}),
        ("max(a:b:c offset 5m) / ignoring(x) group_left(y) d unless bool_x == 0", {"a:b:c", "d", "bool_x"}),
        ('{__name__=~"one|two",job="x"} - time()', {"one", "two"}),
        ("vector(0) > 1e9", set()),
        ("histogram_quantile(0.9, sum(rate(a_bucket[1m])) without (le)) > Inf", {"a_bucket"}),
    ],
)
def test_what_an_expression_reads_is_known(expression: str, metrics: set[str]) -> None:
    assert metrics_of(expression) == metrics


def test_the_table_is_what_the_committed_stack_files_render() -> None:
    assert ALERTS_FILE.read_text(encoding="utf-8") == table.text(), "run python -m tests.support.agreed_alerts"
