"""Times of Prometheus and Alertmanager that belong together (docs/adr/0021)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from components.alerting.escalation import TIMINGS, milliseconds
from components.prometheus.config import prometheus_command
from components.rules import Severity
from tests.support import engine

LONGEST_HOLD_MS = 15_000
"""Hold of an alert and the time until its rule is evaluated: the rest of 30 s is for scrapes and for telling."""


def resend_delay() -> int:
    [option] = [
        part
        for part in prometheus_command(retention_time="1d", retention_size="1GB", reads_at_once=2)
        if "resend-delay" in part
    ]
    return milliseconds(option.partition("=")[2])


def rule_groups(recording: engine.Recording) -> Iterator[dict[str, Any]]:
    """The groups of every rule file of a stack: those of Prometheus, and those of rulers."""
    for manifest in recording.kinds("ConfigMap"):
        for name, text in manifest.get("data", {}).items():
            if name.startswith("rules") and name.endswith(".yml"):
                yield from yaml.safe_load(text)["groups"]


@pytest.mark.parametrize("stack", [*engine.STACKS, "shards"])
def test_every_look_at_a_group_finds_all_alerts_that_are_over(stack: str) -> None:
    recording = engine.sharded() if stack == "shards" else engine.recorded(stack)
    late = dict[str, str]()
    seen = set[str]()
    for group in rule_groups(recording):
        interval = milliseconds(group["interval"])
        sent_again_every = -(-resend_delay() // interval) * interval
        for alert in (rule for rule in group["rules"] if "alert" in rule):
            seen.add(alert["alert"])
            looked_at_every = TIMINGS[Severity(alert["labels"]["severity"])].group_interval
            if sent_again_every >= milliseconds(looked_at_every):
                late[alert["alert"]] = f"{sent_again_every} ms, looked at every {looked_at_every}"
    assert {"SloBurnCritical", "Watchdog"} <= seen
    assert ("MirrorPartitionStalled" in seen) == (stack == "dr")
    assert late == {}


def records_ms(groups: list[dict[str, Any]], own: dict[str, Any], rule: dict[str, Any]) -> int:
    """How old the records of other groups that a rule reads may be; those of its own are made just before."""
    return max(
        (
            milliseconds(group["interval"])
            for group in groups
            for recording in group["rules"]
            if group is not own and "record" in recording and recording["record"] in rule["expr"]
        ),
        default=0,
    )


def test_a_critical_alert_is_raised_soon_enough_to_be_told_in_time() -> None:
    text = engine.recorded("local").one("ConfigMap", "prometheus-rules")["data"]["rules.yml"]
    groups = yaml.safe_load(text)["groups"]
    late = {
        rule["alert"]
        for group in groups
        for rule in group["rules"]
        if rule.get("labels", {}).get("severity") == "critical"
        and "escalation" not in rule["labels"]
        and milliseconds(rule.get("for", "0s")) + milliseconds(group["interval"]) + records_ms(groups, group, rule)
        > LONGEST_HOLD_MS
    }
    [row] = [
        line for line in (engine.CHECKOUT / "docs/escalation.md").read_text().splitlines() if "hold longer" in line
    ]
    assert late == set(re.findall(r"`(\w+)`", row)) - {"ThanosRulersDown"}


def test_the_replicas_of_prometheus_are_updated_one_after_the_other() -> None:
    recording = engine.recorded("local")
    order = [
        recorded.name for recorded in recording.of("kubernetes:apps/v1:StatefulSet") if "prometheus" in recorded.name
    ]
    assert order == ["prometheus-primary", "prometheus-secondary"]
