"""oauth2-proxy, configured by arguments, by a file and by variables."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_servers import (
    GONE,
    Data,
    all_said,
    broken,
    cases,
    config_map,
    rule,
    rules_of,
    said,
    workload,
)

GOOD: Data = {
    "args": {
        "config": "/etc/door/door.cfg",
        "upstream": "https://query:16686/",
        "cookie-secret-file": "/etc/secrets/cookie",
        "client-secret-file": "/etc/secrets/client",
        "tls-cert-file": "/tls/tls.crt",
        "tls-key-file": "/tls/tls.key",
        "https-address": "0.0.0.0:8443",
    },
    "file": {
        "redirect_url": '"https://traces.example.com/oauth2/callback"',
        "allowed_groups": '["traces-internal", "traces-confidential"]',
        "insecure_oidc_skip_nonce": "false",
        "code_challenge_method": '"S256"',
        "email_domains": '["*"]',
    },
    "env": [{"name": "OAUTH2_PROXY_CLIENT_ID", "value": "traces"}],
}


def build(data: Data) -> list[Resource]:
    """The proxy with its file."""
    files = config_map("door", **{"door.cfg": "".join(f"{key} = {value}\n" for key, value in data["file"].items())})
    args = [f"--{key}={value}" if value is not None else f"--{key}" for key, value in data["args"].items()]
    image = "quay.io/oauth2-proxy/oauth2-proxy:v7.15.6"
    return [files, workload("Deployment", "door", image, args=args, env=data["env"], files={"/etc/door": files})]


CASES = cases("tracing_login")


def test_the_good_proxy_passes_every_rule() -> None:
    assert all_said(build(GOOD)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), CASES)
def test_a_broken_proxy_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == [message]


def test_a_secret_from_a_secret_is_right() -> None:
    entry = {"name": "OAUTH2_PROXY_COOKIE_SECRET", "valueFrom": {"secretKeyRef": {"name": "door", "key": "cookie"}}}
    data = broken(broken(GOOD, "args/cookie-secret-file", GONE), "env/+", entry)
    assert said(rule("oauth-proxy-secrets"), build(data)) == []


def test_plain_http_that_is_sent_on_to_https_is_right() -> None:
    data = broken(broken(GOOD, "args/http-address", "0.0.0.0:4180"), "args/force-https", None)
    assert said(rule("oauth-proxy-tls"), build(data)) == []


def test_every_rule_about_the_proxy_is_broken_here() -> None:
    assert {case[0] for case in CASES} == {known_rule.id for known_rule in rules_of("tracing_login")}
