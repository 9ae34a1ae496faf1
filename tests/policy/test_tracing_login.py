"""oauth2-proxy, configured by arguments, by a file and by variables."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_servers import GONE, Data, all_said, broken, config_map, rule, rules_of, said, workload

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


POD = "Deployment mon/door, spec.template.spec.containers[0]"
FILE = "ConfigMap mon/door, door.cfg:"
CERTIFICATE = "to the workload's certificate."

CASES: list[tuple[str, str, Any, str]] = [
    (
        "oauth-proxy-upstream",
        "args/upstream",
        "http://query:16686/",
        f"{POD}.args[1]: the proxy passes requests on in clear text: upstream is http://query:16686/. "
        "Fix: give the upstream an https address.",
    ),
    (
        "oauth-proxy-upstream",
        "args/upstream",
        GONE,
        f"{POD}: oauth2-proxy has nothing behind it: upstream is not set. Fix: name it with https.",
    ),
    (
        "oauth-proxy-upstream",
        "args/ssl-upstream-insecure-skip-verify",
        None,
        f"{POD}.args[7]: the certificate behind the proxy is not verified: ssl_upstream_insecure_skip_verify is true. "
        "Fix: remove ssl_upstream_insecure_skip_verify.",
    ),
    (
        "oauth-proxy-upstream",
        "file/ssl_insecure_skip_verify",
        "true",
        f"{FILE} ssl_insecure_skip_verify: the identity provider's certificate is not verified: "
        "ssl_insecure_skip_verify is True. Fix: remove ssl_insecure_skip_verify.",
    ),
    (
        "oauth-proxy-upstream",
        "env/0",
        {"name": "OAUTH2_PROXY_INSECURE_OIDC_SKIP_ISSUER_VERIFICATION", "value": "true"},
        f"{POD}.env[0]: tokens of any issuer are taken: insecure_oidc_skip_issuer_verification is true. "
        "Fix: remove insecure_oidc_skip_issuer_verification.",
    ),
    (
        "oauth-proxy-upstream",
        "args/insecure-oidc-allow-unverified-email",
        "true",
        f"{POD}.args[7]: mail addresses that nobody verified are taken: insecure_oidc_allow_unverified_email is true. "
        "Fix: remove insecure_oidc_allow_unverified_email.",
    ),
    (
        "oauth-proxy-upstream",
        "args/redis-insecure-skip-tls-verify",
        "true",
        f"{POD}.args[7]: the session store's certificate is not verified: redis_insecure_skip_tls_verify is true. "
        "Fix: remove redis_insecure_skip_tls_verify.",
    ),
    (
        "oauth-proxy-upstream",
        "file/insecure_oidc_skip_nonce",
        GONE,
        f"{POD}: a stolen token may be used again: insecure_oidc_skip_nonce is true by default. "
        "Fix: set insecure_oidc_skip_nonce to false.",
    ),
    (
        "oauth-proxy-tls",
        "args/tls-cert-file",
        GONE,
        f"{POD}: the proxy has no certificate: tls_cert_file is not set. Fix: set tls_cert_file {CERTIFICATE}",
    ),
    (
        "oauth-proxy-tls",
        "args/tls-key-file",
        GONE,
        f"{POD}: the proxy has no certificate: tls_key_file is not set. Fix: set tls_key_file {CERTIFICATE}",
    ),
    (
        "oauth-proxy-tls",
        "file/redirect_url",
        '"http://traces.example.com/oauth2/callback"',
        f"{FILE} redirect_url: logins do not come back over TLS: redirect_url is "
        "http://traces.example.com/oauth2/callback. Fix: set redirect_url to the https address that browsers use.",
    ),
    (
        "oauth-proxy-tls",
        "file/redirect_url",
        GONE,
        f"{POD}: logins do not come back over TLS: redirect_url is not set. "
        "Fix: set redirect_url to the https address that browsers use.",
    ),
    (
        "oauth-proxy-tls",
        "args/http-address",
        "0.0.0.0:4180",
        f"{POD}.args[7]: the proxy also listens without TLS: http_address is 0.0.0.0:4180. "
        "Fix: remove http_address, or set force_https.",
    ),
    (
        "oauth-proxy-tls",
        "file/cookie_secure",
        "false",
        f"{FILE} cookie_secure: the session cookie can be stolen: cookie_secure is False. Fix: remove cookie_secure.",
    ),
    (
        "oauth-proxy-tls",
        "args/cookie-httponly",
        "false",
        f"{POD}.args[7]: the session cookie can be stolen: cookie_httponly is false. Fix: remove cookie_httponly.",
    ),
    (
        "oauth-proxy-tls",
        "args/cookie-samesite",
        "none",
        f"{POD}.args[7]: other sites may use the session cookie: cookie_samesite is none. Fix: set cookie_samesite "
        "to lax.",
    ),
    (
        "oauth-proxy-groups",
        "file/allowed_groups",
        GONE,
        f"{POD}: everybody with an account of the company gets in: allowed_group is not set. "
        "Fix: list the groups that may see traces.",
    ),
    (
        "oauth-proxy-groups",
        "args/skip-auth-regex",
        "^/api",
        f"{POD}.args[7]: ^/api gets past the login: skip_auth_regex. Fix: remove skip_auth_regex.",
    ),
    (
        "oauth-proxy-groups",
        "file/skip_auth_routes",
        '["GET=^/api"]',
        f"{FILE} skip_auth_routes: GET=^/api gets past the login: skip_auth_route. Fix: remove skip_auth_route.",
    ),
    (
        "oauth-proxy-groups",
        "args/trusted-ip",
        "10.0.0.0/8",
        f"{POD}.args[7]: 10.0.0.0/8 gets past the login: trusted_ip. Fix: remove trusted_ip.",
    ),
    (
        "oauth-proxy-secrets",
        "args/cookie-secret-file",
        GONE,
        f"{POD}: the proxy has no cookie_secret. Fix: name its file with cookie_secret_file.",
    ),
    (
        "oauth-proxy-secrets",
        "args/cookie-secret",
        "0123456789abcdef",
        f"{POD}.args[7]: cookie_secret is written in clear text. Fix: name its file with cookie_secret_file.",
    ),
    (
        "oauth-proxy-secrets",
        "env/0",
        {"name": "OAUTH2_PROXY_CLIENT_SECRET", "value": "word"},
        f"{POD}.env[0]: client_secret is written in clear text. Fix: name its file with client_secret_file.",
    ),
]


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
