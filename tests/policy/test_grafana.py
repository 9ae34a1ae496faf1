"""Grafana's settings, in files and in variables."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_grafana import GOOD, INI, POD, build
from tests.policy.fixtures_servers import Data, all_said, broken, cases, rule, rules_of, said, secret


def variable(name: str, value: str) -> tuple[str, Data]:
    """One more environment entry."""
    return "env/+", {"name": name, "value": value}


CASES = cases("grafana")


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


@pytest.mark.parametrize(
    ("rule_id", "name", "value"),
    [
        ("grafana-login", "GF_AUTH_PROXY_ENABLED", "true"),
        ("grafana-login", "GF_AUTH_JWT_ENABLED", "true"),
        ("grafana-login", "GF_USERS_AUTO_ASSIGN_ORG_ROLE", "Admin"),
        ("grafana-login", "GF_USERS_VIEWERS_CAN_EDIT", "true"),
        ("grafana-browser", "GF_PANELS_DISABLE_SANITIZE_HTML", "true"),
        ("grafana-browser", "GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS", "some-app"),
    ],
)
def test_a_way_past_the_login_is_noticed(rule_id: str, name: str, value: str) -> None:
    assert len(said(rule(rule_id), build(broken(GOOD, *variable(name, value))))) == 1
