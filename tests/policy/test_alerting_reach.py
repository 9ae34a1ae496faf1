"""Where the alerts of the rules arrive, compared with amtool, and what is said of alerts that arrive badly."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.toolchain import tools
from policy.rules._alerting import Routing
from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, Data, broken, config_map, rule, said

FILE = "ConfigMap mon/routing, alertmanager.yaml:"
REACH: list[tuple[str, Any, str]] = [
    (
        "route/routes/0",
        GONE,
        ".route.routes: no route takes critical alerts (DiskFull). "
        "Fix: add a route for them: the first one is for what nobody foresaw.",
    ),
    (
        "route/routes/3",
        GONE,
        ".route.routes: no route takes low alerts (Sums). "
        "Fix: add a route for them: the first one is for what nobody foresaw.",
    ),
    (
        "route/routes/0/group_wait",
        "1m",
        ".route.routes[0].group_wait: critical alerts wait for 1m before anybody is told, more than 5s (DiskFull). "
        "Fix: set group_wait to 5s or less on their route.",
    ),
    (
        "route/group_wait",
        "3m",
        ".route.group_wait: high alerts wait for 3m before anybody is told, more than 2m (Slow). "
        "Fix: set group_wait to 2m or less on their route.",
    ),
    (
        "route/routes/1/mute_time_intervals",
        ["night"],
        ".route.routes[1].mute_time_intervals: high alerts are held back at times: mute_time_intervals is night "
        "(Slow). Fix: remove mute_time_intervals from their route.",
    ),
]
NESTED: Data = {
    "receiver": "root",
    "routes": [
        {
            "matchers": ['{team="a", severity=~"critical|high"}'],
            "receiver": "a",
            "continue": True,
            "routes": [
                {"matchers": ['region!~"eu-.*"'], "receiver": "a-far"},
                {"match": {"region": "eu-1"}, "receiver": "a-near", "continue": True},
                {"matchers": ["severity=critical"], "receiver": "a-critical"},
            ],
        },
        {"matchers": ['region=""'], "receiver": "nowhere"},
        {"match_re": {"team": "a|b"}, "receiver": "teams", "continue": True},
        {"matchers": ['severity!="low"'], "receiver": "loud"},
    ],
}


@pytest.mark.parametrize(("path", "value", "message"), REACH)
def test_an_alert_that_arrives_badly_is_noticed(path: str, value: Any, message: str) -> None:
    findings = said(rule("alert-reaches-people"), build(broken(GOOD, f"routing/{path}", value)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [FILE + message]


def test_a_receiver_that_only_programs_hear_is_noticed_for_each_priority() -> None:
    findings = said(rule("alert-reaches-people"), build(broken(GOOD, "routing/receivers/4/sns_configs", GONE)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [
        f"{FILE}.route.routes[4].receiver: {severity} alerts arrive at boss, which tells no people ({name}). "
        "Fix: give it a channel that leaves the cluster."
        for severity, name in (("critical", "DiskFullEscalated"), ("high", "SlowEscalated"))
    ]


def test_several_alerts_on_one_bad_route_are_one_finding() -> None:
    again = broken(GOOD, "rules/groups/0/rules/+", GOOD["rules"]["groups"][0]["rules"][4] | {"alert": "Trends"})
    findings = said(rule("alert-reaches-people"), build(broken(again, "routing/route/routes/3", GONE)))
    assert [finding for finding in findings if finding.startswith("ConfigMap")] == [
        f"{FILE}.route.routes: no route takes low alerts (Sums and 1 more). "
        "Fix: add a route for them: the first one is for what nobody foresaw."
    ]


@pytest.mark.parametrize("route", [GOOD["routing"]["route"], NESTED], ids=["fixture", "nested"])
def test_alerts_arrive_where_amtool_says(route: Data, tmp_path: Path) -> None:
    names = {child["receiver"] for child in _routes(route)}
    content = {"route": route, "receivers": [{"name": name} for name in sorted(names)]}
    content["time_intervals"] = [{"name": "night", "time_intervals": [{"weekdays": ["saturday"]}]}]
    text = yaml.safe_dump(content)
    (tmp_path / "am.yml").write_text(text)
    alerts = [
        {"alertname": name, "team": team, "severity": severity, "region": region, "escalation": contact}
        for name, team, severity, region, contact in (
            ("X", "a", "critical", "eu-1", ""),
            ("X", "a", "high", "us-1", "boss"),
            ("X", "a", "high", "eu-2", "nobody"),
            ("X", "a", "low", "", "senior"),
            ("X", "b", "medium", "eu-1", ""),
            ("Watchdog", "c", "low", "eu-1", ""),
            ("X", "c", "page", "us-1", ""),
        )
    ]
    sets = [frozenset((k, v) for k, v in alert.items() if v) for alert in alerts]
    taken = Routing(config_map("r"), "am.yml", text).taken(sets)
    ours = [[route.of("receiver").text() for route in path] for path in taken]
    assert ours == [_amtool(tmp_path / "am.yml", alert_labels) for alert_labels in sets]


def _amtool(file: Path, labels: frozenset[tuple[str, str]]) -> list[str]:
    words = [f"{key}={value}" for key, value in sorted(labels)]
    command = [str(tools.path("amtool")), "config", "routes", "test", f"--config.file={file}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip().split(",")


def _routes(route: Data) -> list[Data]:
    return [route, *(inner for child in route.get("routes", []) for inner in _routes(child))]
