"""Alerts that nobody acknowledges."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, broken, rule, said

FILE = "all.rules.yml:.groups[0].rules"
AGAIN = "with the same alert_id and the label escalation"
TWINS: list[tuple[str, Any, str]] = [
    (
        "1",
        GONE,
        f"{FILE}[0]: nobody else is ever notified of DiskFull, which is critical. "
        f"Fix: raise it again in its group after 5m, {AGAIN}.",
    ),
    (
        "3/labels/alert_id",
        "other",
        f"{FILE}[2]: nobody else is ever notified of Slow, which is high. "
        f"Fix: raise it again in its group after 30m, {AGAIN}.",
    ),
    (
        "1/for",
        "6m",
        f"{FILE}[1].for: DiskFull is raised again later than 5m after it fires: DiskFullEscalated waits for 6m, and "
        "DiskFull for 0s. Fix: set it to 5m more than that of DiskFull.",
    ),
    (
        "2/for",
        GONE,
        f"{FILE}[3].for: Slow is raised again later than 30m after it fires: SlowEscalated waits for 31m, and Slow for "
        "0s. Fix: set it to 30m more than that of Slow.",
    ),
    (
        "3/expr",
        "vector(1)",
        f"{FILE}[3].expr: SlowEscalated is about something else than Slow, which it raises again. "
        "Fix: give both the same expression.",
    ),
    (
        "3/labels/severity",
        "low",
        f"{FILE}[3].labels.severity: SlowEscalated has another priority than Slow, which it raises again. "
        "Fix: set it to high.",
    ),
]
ROUTES = "ConfigMap mon/routing, alertmanager.yaml:.route.routes"


def told(message: str) -> list[str]:
    """What is said about the file of both replicas."""
    return [f"ConfigMap mon/{name}, {message}" for name in ("first", "second")]


@pytest.mark.parametrize(("path", "value", "message"), TWINS)
def test_an_alert_that_does_not_escalate_in_time_is_noticed(path: str, value: Any, message: str) -> None:
    data = broken(GOOD, f"rules/groups/0/rules/{path}", value)
    assert said(rule("alert-escalates"), build(data)) == told(message)


def test_an_escalation_in_another_group_is_none() -> None:
    twin = GOOD["rules"]["groups"][0]["rules"][1]
    moved = broken(broken(GOOD, "rules/groups/0/rules/1", GONE), "rules/groups/+", {"name": "late", "rules": [twin]})
    assert said(rule("alert-escalates"), build(moved)) == told(
        f"{FILE}[0]: nobody else is ever notified of DiskFull, which is critical. "
        f"Fix: raise it again in its group after 5m, {AGAIN}."
    )


def test_a_shorter_delay_is_right() -> None:
    assert said(rule("alert-escalates"), build(broken(GOOD, "rules/groups/0/rules/1/for", "10s"))) == []


@pytest.mark.parametrize(
    ("path", "value", "contact", "name"),
    [
        ("rules/groups/0/rules/1/labels/escalation", "nobody", "nobody", "DiskFullEscalated"),
        ("routing/route/routes/4", GONE, "senior", "DiskFullEscalated"),
        ("routing/route/routes/4/match_re", {"escalation": ".+"}, "senior", "DiskFullEscalated"),
        ("routing/route/routes/4/match_re", {"escalation": "senior"}, "boss", "SlowEscalated"),
        ("routing/route/routes/1/matchers", ["severity=high"], "boss", "SlowEscalated"),
    ],
)
def test_a_contact_without_a_route_of_their_own_is_noticed(path: str, value: Any, contact: str, name: str) -> None:
    findings = said(rule("alert-escalation-routed"), build(broken(GOOD, path, value)))
    assert next(finding for finding in findings if finding.startswith("ConfigMap")) == (
        f"{ROUTES}: no route is for {contact}, whom {name} is raised for. "
        f'Fix: add a route with the matcher escalation="{contact}" before those that go by priority.'
    )


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        (
            GONE,
            "",
            "a restart forgets how long alerts with a shorter wait than 10m have been true, which is what Prometheus "
            "does by itself",
        ),
        ("5m", "[2]", "a restart forgets how long alerts with a shorter wait than 5m have been true"),
        ("soon", "[2]", "a restart forgets how long alerts with a shorter wait than soon have been true"),
    ],
)
def test_a_prometheus_that_forgets_at_a_restart_is_noticed(value: Any, where: str, message: str) -> None:
    data = broken(GOOD, "prometheus/rules.alert.for-grace-period", value)
    assert said(rule("alert-escalation-remembered"), build(data)) == [
        f"StatefulSet mon/{name}, spec.template.spec.containers[0].command{where}: {message}. "
        "Fix: set --rules.alert.for-grace-period to 1m or less."
        for name in ("first", "second")
    ]


def test_a_prometheus_without_escalations_may_forget() -> None:
    low = [alert for alert in GOOD["rules"]["groups"][0]["rules"] if "escalation" not in alert.get("labels", {})]
    data = broken(broken(GOOD, "rules/groups/0/rules", low), "prometheus/rules.alert.for-grace-period", GONE)
    assert said(rule("alert-escalation-remembered"), build(data)) == []
