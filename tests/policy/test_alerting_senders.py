"""Prometheus servers that send alerts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, Data, broken, cases, rule, said

FIRST = "ConfigMap mon/first, prometheus.yml:.alerting.alertmanagers"
SECOND = "ConfigMap mon/second, prometheus.yml:.alerting.alertmanagers"
SENDERS = cases("alerting_senders")


def test_found_alertmanagers_are_verified_by_the_name_that_they_are_to_have() -> None:
    path = "first/alerting/alertmanagers/0"
    discovered = broken(broken(GOOD, f"{path}/static_configs", GONE), f"{path}/dns_sd_configs", [{"names": ["x"]}])
    message = (
        "[0].tls_config.server_name: alerts go to any host of the platform that discovery names. "
        "Fix: set server_name to the name in the certificates of those that are told."
    )
    assert said(rule("alert-delivery-tls"), build(discovered)) == [FIRST + message, SECOND + message]
    named = broken(discovered, f"{path}/tls_config/server_name", "notifier.example")
    assert said(rule("alert-delivery-tls"), build(named)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), SENDERS)
def test_a_broken_sender_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    findings = said(rule(rule_id), build(broken(GOOD, f"first/alerting/alertmanagers/0/{path}", value)))
    assert findings == [FIRST + message, SECOND + message]


def test_alerts_of_a_prometheus_beside_an_alertmanager_go_somewhere() -> None:
    data = broken(GOOD, "first/alerting", {})
    message = (
        ": this Prometheus sends its alerts nowhere although the stack has an Alertmanager. "
        "Fix: list every Alertmanager under alerting.alertmanagers."
    )
    assert said(rule("alert-delivery-wired"), build(data)) == [FIRST + message, SECOND + message]


def test_a_prometheus_without_any_alertmanager_in_the_stack_needs_no_address() -> None:
    resources = [resource for resource in build(broken(GOOD, "first/alerting", {})) if resource.kind != "StatefulSet"]
    assert said(rule("alert-delivery-wired"), resources) == []


@pytest.mark.parametrize(
    "steps",
    [
        GONE,
        [{"action": "labeldrop", "regex": "cop"}],
        [{"action": "labelkeep", "regex": "copy|alertname"}],
        [{"target_label": "copy", "replacement": "x"}],
    ],
)
def test_labels_that_differ_between_replicas_do_not_leave(steps: Any) -> None:
    where = "prometheus.yml:.alerting.alert_relabel_configs"
    assert said(rule("alert-identity"), build(broken(GOOD, "first/alerting/alert_relabel_configs", steps))) == [
        f"ConfigMap mon/{name}, {where}: alerts leave with the label copy ({value}), which differs from replica to "
        "replica. Fix: drop it: {action: labeldrop, regex: copy}."
        for name, value in (("first", "one"), ("second", "two"))
    ]


@pytest.mark.parametrize(
    "steps",
    [
        [{"action": "labeldrop", "regex": "copy"}],
        [{"action": "labelkeep", "regex": "alertname|severity"}],
        [{"target_label": "copy", "replacement": ""}],
    ],
)
def test_every_way_to_drop_the_label_is_understood(steps: list[Data]) -> None:
    assert said(rule("alert-identity"), build(broken(GOOD, "first/alerting/alert_relabel_configs", steps))) == []
