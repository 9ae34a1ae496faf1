"""Whom Alertmanager sends to, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_alerting import GOOD, OUTSIDE, RECORD, build
from tests.policy.fixtures_servers import GONE, broken, config_map, rule, rules_of, said, secret

FILE = "ConfigMap mon/routing, alertmanager.yaml:"
HOOK = "receivers/1/webhook_configs/0/http_config"
RECORDED = "receivers/0/webhook_configs/0/http_config"
TOLD = ".receivers[0].webhook_configs[0].http_config"
BROKEN: list[tuple[str, str, Any, str]] = [
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
        "alertmanager-receivers-tls",
        f"{HOOK}/tls_config/min_version",
        "TLS10",
        ".receivers[1].webhook_configs[0].http_config.tls_config.min_version: min_version is TLS10, which allows "
        "broken versions of TLS. Fix: remove min_version.",
    ),
    (
        "alertmanager-receivers-tls",
        "receivers/0/email_configs/0/tls_config/min_version",
        "TLS11",
        ".receivers[0].email_configs[0].tls_config.min_version: min_version is TLS11, which allows broken versions of "
        "TLS. Fix: remove min_version.",
    ),
    (
        "alertmanager-receivers-tls",
        "global/smtp_tls_config",
        {"max_version": "TLS11"},
        ".global.smtp_tls_config.max_version: max_version is TLS11, which allows broken versions of TLS. Fix: remove "
        "max_version.",
    ),
    (
        "alertmanager-receivers-inside",
        f"{RECORDED}/tls_config",
        GONE,
        f"{TOLD}.tls_config: record.mon.svc.cluster.local is reached without TLS settings. "
        "Fix: set ca_file to the platform's CA.",
    ),
    (
        "alertmanager-receivers-inside",
        f"{RECORDED}/tls_config/ca_file",
        GONE,
        f"{TOLD}.tls_config.ca_file: no authority is named that record.mon.svc.cluster.local is verified by. "
        "Fix: set ca_file to the platform's CA.",
    ),
    (
        "alertmanager-receivers-inside",
        f"{RECORDED}/basic_auth",
        GONE,
        f"{TOLD}.basic_auth: record.mon.svc.cluster.local is shown no login that comes from a file. "
        "Fix: set basic_auth with username and password_file.",
    ),
    (
        "alertmanager-receivers-inside",
        "receivers/4/sns_configs/0/api_url",
        "https://sms.mon.svc:8443",
        ".receivers[4].sns_configs[0].http_config.basic_auth: sms.mon.svc is shown no login that comes from a file. "
        "Fix: set basic_auth with username and password_file.",
    ),
    (
        "alertmanager-receivers-authority",
        "receivers/0/email_configs/0/tls_config",
        GONE,
        ".receivers[0].email_configs[0].tls_config.ca_file: others of the file are verified by "
        "/etc/secrets/authority.crt, and this one of mail by every public authority. "
        "Fix: set ca_file to /etc/secrets/authority.crt.",
    ),
    (
        "alertmanager-receivers-authority",
        "receivers/2/webhook_configs/0/http_config/tls_config/ca_file",
        GONE,
        ".receivers[2].webhook_configs[0].http_config.tls_config.ca_file: others of the file are verified by "
        "/etc/secrets/authority.crt, and this one of heartbeat by every public authority. "
        "Fix: set ca_file to /etc/secrets/authority.crt.",
    ),
    (
        "alertmanager-notifications-recorded",
        "receivers/1/webhook_configs/2",
        GONE,
        ".receivers[1].webhook_configs: what phone is told is not recorded: others tell a Service of the cluster, "
        "too. Fix: give it the same webhook.",
    ),
]


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


def test_every_rule_about_receivers_is_broken_here() -> None:
    assert {case[0] for case in BROKEN} == {known_rule.id for known_rule in rules_of("alerting_receivers")}
