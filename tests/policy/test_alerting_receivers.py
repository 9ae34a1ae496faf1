"""Whom Alertmanager sends to, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, OUTSIDE, RECORD, build
from tests.policy.fixtures_servers import broken, cases, config_map, rule, said, secret

FILE = "ConfigMap mon/routing, alertmanager.yaml:"
BROKEN = cases("alerting_receivers")


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), BROKEN)
def test_a_broken_receiver_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    findings = said(rule(rule_id), build(broken(GOOD, f"routing/{path}", value)))
    assert [finding for finding in findings if finding.startswith("ConfigMap mon/routing")] == [FILE + message]


def test_a_secret_in_a_secret_is_right() -> None:
    data = broken(GOOD["routing"], "global/slack_api_url", "https://hooks.example.com/T/B/x")
    assert said(rule("alertmanager-secrets"), [secret("routing", **{"am.yml": data})]) == []


def test_receivers_outside_that_public_authorities_sign_need_no_other() -> None:
    webhook = {"url": "https://hook.example.com/x", "http_config": {"tls_config": {"min_version": "TLS12"}}}
    data = {**GOOD["routing"], "receivers": [{"name": "mail", "webhook_configs": [webhook, RECORD]}]}
    assert said(rule("alertmanager-receivers-authority"), [config_map("r", **{"am.yml": data})]) == []


def test_settings_for_all_receivers_count_for_those_without_their_own() -> None:
    mail = {"name": "mail", "email_configs": [{"to": "x"}], "webhook_configs": [{"url": RECORD["url"]}]}
    hook = {"name": "hook", "webhook_configs": [{"url": "https://hook.example.com", "http_config": {}}]}
    shared = {"http_config": RECORD["http_config"], "smtp_tls_config": OUTSIDE}
    data = {**GOOD["routing"], "global": shared, "receivers": [mail, hook]}
    resources = [config_map("r", **{"am.yml": data})]
    assert said(rule("alertmanager-receivers-inside"), resources) == []
    assert said(rule("alertmanager-receivers-authority"), resources) == [
        "ConfigMap mon/r, am.yml:.receivers[1].webhook_configs[0].http_config.tls_config.ca_file: others of the file "
        "are verified by /etc/secrets/authority.crt, and this one of hook by every public authority. "
        "Fix: set ca_file to /etc/secrets/authority.crt."
    ]


def test_a_mail_server_inside_is_verified_too() -> None:
    mail = {"name": "mail", "email_configs": [{"to": "x", "smarthost": "mail.mon.svc:587"}]}
    data = {**GOOD["routing"], "receivers": [mail]}
    assert said(rule("alertmanager-receivers-inside"), [config_map("r", **{"am.yml": data})]) == [
        "ConfigMap mon/r, am.yml:.receivers[0].email_configs[0].tls_config: mail.mon.svc is reached without TLS "
        "settings. Fix: set ca_file to the platform's CA."
    ]


def test_without_a_record_anywhere_none_is_asked_for() -> None:
    data = {**GOOD["routing"], "receivers": [{"name": "mail", "email_configs": [{"to": "x"}]}]}
    assert said(rule("alertmanager-notifications-recorded"), [config_map("r", **{"am.yml": data})]) == []
