"""Times of Prometheus and Alertmanager that belong together (docs/adr/0021)."""

from __future__ import annotations

import re

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


@pytest.mark.parametrize("severity", list(Severity))
def test_every_look_at_a_group_finds_all_alerts_that_are_over(severity: Severity) -> None:
    longest_round = 10_000 if severity is Severity.CRITICAL else 30_000
    sent_again_every = -(-resend_delay() // longest_round) * longest_round
    assert sent_again_every < milliseconds(TIMINGS[severity].group_interval)


def test_a_critical_alert_is_raised_soon_enough_to_be_told_in_time() -> None:
    text = engine.recorded("local").one("ConfigMap", "prometheus-rules")["data"]["rules.yml"]
    late = {
        rule["alert"]
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("severity") == "critical"
        and "escalation" not in rule["labels"]
        and milliseconds(rule.get("for", "0s")) + milliseconds(group["interval"]) > LONGEST_HOLD_MS
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
