"""Where Alertmanager sends what, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, broken, config_map, rule, rules_of, said, secret

ROUTES = "ConfigMap mon/routing, alertmanager.yaml:"
ROUTING: list[tuple[str, str, Any, str]] = [
    (
        "alertmanager-secrets",
        "global/slack_api_url",
        "https://hooks.example.com/T/B/x",
        ".global.slack_api_url: slack_api_url is written into a ConfigMap. "
        "Fix: put it into a Secret and name its file with slack_api_url_file.",
    ),
    (
        "alertmanager-secrets",
        "receivers/1/pagerduty_configs/0/routing_key",
        "0123",
        ".receivers[1].pagerduty_configs[0].routing_key: routing_key is written into a ConfigMap. "
        "Fix: put it into a Secret and name its file with routing_key_file.",
    ),
    (
        "alertmanager-secrets",
        "receivers/1/webhook_configs/0/http_config/basic_auth",
        {"username": "x", "password": "y"},
        ".receivers[1].webhook_configs[0].http_config.basic_auth.password: password is written into a ConfigMap. "
        "Fix: put it into a Secret and name its file with password_file.",
    ),
    (
        "alertmanager-secrets",
        "receivers/1/webhook_configs/0/url",
        "https://me:word@hook.example.com/x",
        ".receivers[1].webhook_configs[0].url: url is written into a ConfigMap. "
        "Fix: put it into a Secret and name its file with url_file.",
    ),
    (
        "alertmanager-receivers-tls",
        "receivers/0/email_configs/0/require_tls",
        False,
        ".receivers[0].email_configs[0].require_tls: mail leaves without TLS: require_tls is false. Fix: remove "
        "require_tls.",
    ),
    (
        "alertmanager-receivers-tls",
        "global/smtp_require_tls",
        False,
        ".global.smtp_require_tls: mail leaves without TLS: smtp_require_tls is false. Fix: remove smtp_require_tls.",
    ),
    (
        "alertmanager-receivers-tls",
        "receivers/1/webhook_configs/0/http_config/tls_config/insecure_skip_verify",
        True,
        ".receivers[1].webhook_configs[0].http_config.tls_config.insecure_skip_verify: a receiver's certificate is not "
        "verified: insecure_skip_verify is true. "
        "Fix: remove insecure_skip_verify and set ca_file where the receiver has a CA of its own.",
    ),
    (
        "alertmanager-receivers-tls",
        "receivers/1/pagerduty_configs/0/url",
        "http://events.example.com",
        ".receivers[1].pagerduty_configs[0].url: alerts go to http://events.example.com in clear text. "
        "Fix: give the receiver an https address.",
    ),
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
        "alertmanager-critical-prompt",
        "route/routes/0/mute_time_intervals",
        ["night"],
        ".route.routes[0].mute_time_intervals: Critical alerts are held back at times: mute_time_intervals is night. "
        "Fix: remove mute_time_intervals from their route.",
    ),
]


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), ROUTING)
def test_broken_routing_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    found = said(rule(rule_id), build(broken(GOOD, f"routing/{path}", value)))
    assert [each for each in found if each.startswith("ConfigMap")] == [ROUTES + message]


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


def test_a_secret_in_a_secret_is_right() -> None:
    data = broken(GOOD["routing"], "global/slack_api_url", "https://hooks.example.com/T/B/x")
    assert said(rule("alertmanager-secrets"), [secret("routing", **{"am.yml": data})]) == []


def test_without_a_route_for_critical_alerts_the_first_one_counts() -> None:
    data = broken(GOOD["routing"], "route/routes", [])
    assert said(rule("alertmanager-critical-prompt"), [config_map("r", **{"am.yml": data})])[0] == (
        "ConfigMap mon/r, am.yml:.route.group_wait: group_wait of Critical alerts is 30s, more than 5s. "
        "Fix: set group_wait to 5s or less on their route."
    )


def test_every_rule_about_routing_is_broken_here() -> None:
    assert {case[0] for case in ROUTING} | {"alertmanager-configured"} == {
        each.id for each in rules_of("alerting_routes")
    }
