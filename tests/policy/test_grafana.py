"""Grafana's settings, in files and in variables."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_grafana import GOOD, INI, POD, build
from tests.policy.fixtures_servers import GONE, Data, all_said, broken, rule, rules_of, said, secret

FROM_SECRET = "Fix: read it from a Secret: a GF_..__FILE variable, secretKeyRef or $__file{...}."


def variable(name: str, value: str) -> tuple[str, Data]:
    """One more environment entry."""
    return "env/+", {"name": name, "value": value}


CASES: list[tuple[str, str, Any, str]] = [
    (
        "grafana-audit",
        "ini/server/router_logging",
        GONE,
        f"{POD} ([server] router_logging): the audit log is told of no request that succeeds: [server] router_logging "
        "is false, the default. Fix: set it to true.",
    ),
    (
        "grafana-audit",
        "ini/log/mode",
        "file",
        f"{INI} [log] mode: the audit log cannot read Grafana's log: [log] mode is file. Fix: set it to console.",
    ),
    (
        "grafana-audit",
        "ini/log.console/format",
        "text",
        f"{INI} [log.console] format: the audit log cannot read Grafana's log, which clients can forge as well: "
        "[log.console] format is text. Fix: set it to json.",
    ),
    (
        "grafana-audit",
        "ini/log/filters",
        "context:error",
        f"{INI} [log] filters: requests may be left out of Grafana's log: [log] filters is context:error. "
        "Fix: add context:info.",
    ),
    (
        "grafana-tls",
        "ini/server/protocol",
        "http",
        f"{INI} [server] protocol: Grafana speaks clear text: [server] protocol is http. "
        "Fix: set it to https, with cert_file and cert_key.",
    ),
    (
        "grafana-tls",
        "ini/server/protocol",
        GONE,
        f"{POD} ([server] protocol): Grafana speaks clear text: [server] protocol is http, the default. "
        "Fix: set it to https, with cert_file and cert_key.",
    ),
    (
        "grafana-tls",
        *variable("GF_SERVER_PROTOCOL", "http"),
        f"{POD}.env[3]: Grafana speaks clear text: [server] protocol is http. "
        "Fix: set it to https, with cert_file and cert_key.",
    ),
    (
        "grafana-tls",
        "ini/server/cert_key",
        GONE,
        f"{POD} ([server] cert_key): Grafana has no certificate: [server] cert_key is not set. "
        "Fix: set it to the workload's certificate.",
    ),
    (
        "grafana-tls",
        "ini/server/cert_file",
        "",
        f"{INI} [server] cert_file: Grafana has no certificate: [server] cert_file is empty. "
        "Fix: set it to the workload's certificate.",
    ),
    (
        "grafana-database",
        "ini/database/type",
        GONE,
        f"{POD} ([database] type): replicas of Grafana share nothing: [database] type is sqlite3, the default. "
        "Fix: set it to postgres.",
    ),
    (
        "grafana-database",
        "ini/database/ssl_mode",
        "require",
        f"{INI} [database] ssl_mode: the database's identity is not verified: [database] ssl_mode is require. "
        "Fix: set it to verify-full.",
    ),
    (
        "grafana-database",
        "ini/database/ssl_mode",
        GONE,
        f"{POD} ([database] ssl_mode): the database's identity is not verified: [database] ssl_mode is disable, the "
        "default. Fix: set it to verify-full.",
    ),
    (
        "grafana-database",
        "ini/database/ca_cert_path",
        GONE,
        f"{POD} ([database] ca_cert_path): no authority is named that the database is verified by: [database] "
        "ca_cert_path is not set. Fix: set it to the platform's CA.",
    ),
    (
        "grafana-database",
        *variable("GF_DATABASE_URL", "postgres://g@db/g?sslmode=require"),
        f"{POD}.env[3]: PostgreSQL's identity is not verified: sslmode is require. "
        "Fix: append ?sslmode=verify-full&sslrootcert=<file of the platform CA>.",
    ),
    (
        "grafana-login",
        "ini/auth.anonymous",
        {"enabled": "true"},
        f"{INI} [auth.anonymous] enabled: everybody sees dashboards without a login: [auth.anonymous] enabled is true. "
        "Fix: set it to false.",
    ),
    (
        "grafana-login",
        *variable("GF_AUTH_ANONYMOUS_ENABLED", "1"),
        f"{POD}.env[3]: everybody sees dashboards without a login: [auth.anonymous] enabled is 1. Fix: set it to "
        "false.",
    ),
    (
        "grafana-login",
        "ini/users",
        {"allow_sign_up": "true"},
        f"{INI} [users] allow_sign_up: everybody may make an account: [users] allow_sign_up is true. "
        "Fix: set it to false.",
    ),
    (
        "grafana-login",
        "ini/security/disable_brute_force_login_protection",
        "true",
        f"{INI} [security] disable_brute_force_login_protection: passwords may be tried without end: [security] "
        "disable_brute_force_login_protection is true. Fix: set it to false.",
    ),
    (
        "grafana-browser",
        "ini/security/cookie_secure",
        GONE,
        f"{POD} ([security] cookie_secure): the session cookie also travels in clear text: [security] cookie_secure is "
        "false, the default. Fix: set it to true.",
    ),
    (
        "grafana-browser",
        "ini/security/cookie_samesite",
        "none",
        f"{INI} [security] cookie_samesite: other sites may use the session cookie: [security] cookie_samesite is "
        "none. "
        "Fix: set it to strict.",
    ),
    (
        "grafana-browser",
        "ini/security/cookie_samesite",
        GONE,
        f"{POD} ([security] cookie_samesite): other sites may use the session cookie: [security] cookie_samesite is "
        "lax, the default. Fix: set it to strict.",
    ),
    (
        "grafana-browser",
        "ini/security/strict_transport_security",
        GONE,
        f"{POD} ([security] strict_transport_security): browsers may come back without TLS: [security] "
        "strict_transport_security is false, the default. Fix: set it to true.",
    ),
    (
        "grafana-browser",
        "ini/security/allow_embedding",
        "true",
        f"{INI} [security] allow_embedding: other sites may show Grafana in a frame and steal clicks: [security] "
        "allow_embedding is true. Fix: set it to false.",
    ),
    (
        "grafana-sharing",
        "ini/security/disable_gravatar",
        GONE,
        f"{POD} ([security] disable_gravatar): hashes of mail addresses go to a public service: [security] "
        "disable_gravatar is false, the default. Fix: set it to true.",
    ),
    (
        "grafana-sharing",
        "ini/snapshots",
        GONE,
        f"{POD} ([snapshots] external_enabled): dashboards with data may be published on a public server: [snapshots] "
        "external_enabled is true, the default. Fix: set it to false.",
    ),
    (
        "grafana-sharing",
        "ini/public_dashboards/enabled",
        "true",
        f"{INI} [public_dashboards] enabled: dashboards may be published without a login: [public_dashboards] enabled "
        "is true. Fix: set it to false.",
    ),
    (
        "grafana-alerting",
        "ini/unified_alerting/enabled",
        "",
        f"{INI} [unified_alerting] enabled: every replica evaluates alerts of its own: [unified_alerting] enabled is "
        "true. Fix: set it to false.",
    ),
    (
        "grafana-secrets",
        "env/0/value",
        "",
        f"{POD} ([security] admin_password): the administrator's password is the one that everybody knows: [security] "
        "admin_password is admin, the default. Fix: set GF_SECURITY_ADMIN_PASSWORD__FILE to a file of a Secret.",
    ),
    (
        "grafana-alerting",
        "ini/unified_alerting",
        GONE,
        f"{POD} ([unified_alerting] enabled): every replica evaluates alerts of its own: [unified_alerting] enabled is "
        "true, the default. Fix: set it to false.",
    ),
    (
        "grafana-secrets",
        "env/0",
        GONE,
        f"{POD} ([security] admin_password): the administrator's password is the one that everybody knows: [security] "
        "admin_password is admin, the default. Fix: set GF_SECURITY_ADMIN_PASSWORD__FILE to a file of a Secret.",
    ),
    (
        "grafana-secrets",
        "env/0",
        {"name": "GF_SECURITY_ADMIN_PASSWORD", "value": "admin"},
        f"{POD}.env[0]: [security] admin_password is written in clear text. {FROM_SECRET}",
    ),
    (
        "grafana-secrets",
        "env/1",
        GONE,
        f"{POD} ([security] secret_key): the key of stored secrets is the one that everybody knows: [security] "
        "secret_key is the published one, the default. Fix: set GF_SECURITY_SECRET_KEY__FILE to a file of a Secret.",
    ),
    (
        "grafana-secrets",
        "ini/smtp/password",
        "word",
        f"{INI} [smtp] password: [smtp] password is written in clear text. {FROM_SECRET}",
    ),
    (
        "grafana-secrets",
        *variable("GF_AUTH_AZUREAD_CLIENT_SECRET", "word"),
        f"{POD}.env[3]: GF_AUTH_AZUREAD_CLIENT_SECRET is written in clear text. {FROM_SECRET}",
    ),
]


def test_the_good_grafana_passes_every_rule() -> None:
    assert all_said(build(GOOD)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), CASES)
def test_a_broken_grafana_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == [message]


def test_variables_win_over_files() -> None:
    path, entry = variable("GF_SERVER_PROTOCOL", "https")
    data = broken(broken(GOOD, "ini/server/protocol", "http"), path, entry)
    assert said(rule("grafana-tls"), build(data)) == []


def test_a_grafana_of_another_name_is_known_by_its_settings() -> None:
    data = broken(broken(GOOD, "image", "example/face:1"), "ini/server/protocol", "http")
    assert [text[: len(INI)] for text in said(rule("grafana-tls"), build(data))] == [INI]


def test_a_default_password_in_a_secret_is_still_the_default() -> None:
    resources = build(
        broken(
            GOOD,
            "env/0",
            {"name": "GF_SECURITY_ADMIN_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "made", "key": "db"}}},
        )
    )
    resources[1] = secret("made", key="0123456789", db="admin")
    assert said(rule("grafana-secrets"), resources) == [
        f"{POD}.env[0]: the administrator's password is the one that everybody knows: [security] admin_password is "
        "admin. Fix: set GF_SECURITY_ADMIN_PASSWORD__FILE to a file of a Secret."
    ]


def test_every_rule_about_settings_is_broken_here() -> None:
    assert {case[0] for case in CASES} == {known_rule.id for known_rule in rules_of("grafana")}
