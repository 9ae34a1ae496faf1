"""oauth2-proxy with a structured file, as it stands before metrics and alerts."""

from __future__ import annotations

from typing import Any

import pytest

from components.login_proxy import OauthConfig, structured_config
from policy.model import Resource
from tests.policy.fixtures_servers import GONE, Data, all_said, broken, config_map, rule, said, workload

PROVIDER, UPSTREAM = "file/providers/0", "file/upstreamConfig/upstreams/0"
WHERE = "ConfigMap mon/door, structured.yaml:"
GOOD: Data = {
    "args": {
        "alpha-config": "/etc/door/structured.yaml",
        "cookie-secret-file": "/etc/secrets/cookie",
        "redirect-url": "https://metrics.example.com/oauth2/callback",
        "email-domain": "*",
    },
    "file": structured_config(
        OauthConfig(
            issuer="https://login.example.com",
            client_id="jaeger",
            url="https://metrics.example.com:4180",
            upstream="https://query.mon.svc.cluster.local:9090",
            groups=["metrics-readers"],
            cookie_name="metrics-login",
            requests="other",
            private_authority=True,
        )
    ),
}


def build(data: Data) -> list[Resource]:
    """The proxy with its file."""
    files = config_map("door", **{"structured.yaml": data["file"]})
    args = [f"--{key}={value}" for key, value in data["args"].items()]
    image = "quay.io/oauth2-proxy/oauth2-proxy:v7.15.6"
    return [files, workload("Deployment", "door", image, args=args, files={"/etc/door": files})]


def test_the_good_proxy_passes_every_rule() -> None:
    assert all_said(build(GOOD)) == []


@pytest.mark.parametrize(
    ("rule_id", "path", "value", "message"),
    [
        ("oauth-proxy-groups", f"{PROVIDER}/allowedGroups", GONE, "everybody with an account of the company gets in"),
        ("oauth-proxy-upstream", f"{PROVIDER}/code_challenge_method", GONE, "a stolen code is a login"),
        ("oauth-proxy-upstream", f"{PROVIDER}/code_challenge_method", "plain", "a stolen code is a login"),
        ("oauth-proxy-upstream", f"{PROVIDER}/oidcConfig/insecureSkipNonce", True, "a stolen token may be used again"),
        ("oauth-proxy-upstream", f"{PROVIDER}/oidcConfig/insecureSkipNonce", GONE, "a stolen token may be used again"),
        (
            "oauth-proxy-upstream",
            f"{PROVIDER}/oidcConfig/insecureAllowUnverifiedEmail",
            True,
            "mail addresses that nobody verified are taken",
        ),
        (
            "oauth-proxy-upstream",
            f"{PROVIDER}/oidcConfig/insecureSkipIssuerVerification",
            True,
            "tokens of any issuer are taken",
        ),
        ("oauth-proxy-upstream", "file/providers/+", {"id": "other"}, "a second provider is not looked at"),
        ("oauth-proxy-upstream", f"{UPSTREAM}/uri", "http://query:9090", "passes requests on in clear text"),
        ("oauth-proxy-upstream", "file/upstreamConfig/upstreams", [], "oauth2-proxy has nothing behind it"),
        ("oauth-proxy-upstream", f"{UPSTREAM}/insecureSkipTLSVerify", True, "certificate behind the proxy is not"),
        ("oauth-proxy-upstream", "file/injectRequestHeaders/0", GONE, "Authorization is kept"),
        ("oauth-proxy-upstream", "file/injectRequestHeaders/0/preserveRequestValue", True, "Authorization is kept"),
        ("oauth-proxy-upstream", "file/injectRequestHeaders/1", GONE, "Cookie is kept"),
        ("oauth-proxy-tls", "file/server/tls/cert", GONE, "the proxy has no certificate: tls_cert_file is not set"),
        ("oauth-proxy-tls", "file/server/bindAddress", "0.0.0.0:4181", "the proxy also listens without TLS"),
        ("oauth-proxy-secrets", f"{PROVIDER}/clientSecret", "word", "client_secret is written in clear text"),
        ("oauth-proxy-secrets", f"{PROVIDER}/clientSecretFile", GONE, "the proxy has no client_secret"),
        (
            "oauth-proxy-secrets",
            "file/injectRequestHeaders/0/values/0/secretSource",
            {"value": "d29yZA=="},
            "the proxy's own login behind it is written in clear text: Authorization",
        ),
        ("server-settings-agreed", f"{PROVIDER}/caFiles", ["/etc/other/ca.crt"], "caFiles has no /etc/tls/ca.crt"),
        ("server-settings-agreed", f"{PROVIDER}/oidcConfig/skipDiscovery", True, "skipDiscovery is not agreed on"),
    ],
)
def test_a_broken_proxy_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    messages = said(rule(rule_id), build(broken(GOOD, path, value)))
    assert any(message in line for line in messages), messages


def test_a_file_that_is_not_mounted_is_no_login() -> None:
    data = broken(GOOD, "args/alpha-config", "/etc/other/structured.yaml")
    for rule_id in ("oauth-proxy-upstream", "oauth-proxy-tls", "oauth-proxy-groups"):
        assert said(rule(rule_id), build(data)), rule_id


def test_the_own_login_may_stand_in_a_secret() -> None:
    messages = said(rule("oauth-proxy-secrets"), build(GOOD))
    assert messages == []
