"""The setting of a further login: what a stack file may say, and the one line for what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.settings import SettingsError, parse
from stacks.stage_settings import Oidc
from tests.support import engine

PROVIDER: dict[str, Any] = {
    "issuer": "https://login.example.com/obs",
    "client_id": "grafana",
    "authorize_url": "https://login.example.com/obs/authorize",
    "token_url": "https://login.example.com/obs/token",
    "userinfo_url": "https://login.example.com/obs/userinfo",
    "networks": ["10.0.0.0/8"],
    "groups": {"viewer": "monitoring-viewers", "editor": "monitoring-editors", "admin": "monitoring-admins"},
}


def parsed(**changes: Any) -> Oidc | None:
    settings = engine.stack_settings("prod")
    settings["grafana"]["oidc"] = {**PROVIDER, **changes}
    return parse(settings, "Pulumi.prod.yaml").grafana.oidc


@pytest.mark.parametrize("stack", engine.STACKS)
def test_no_stack_has_a_further_login_unless_somebody_says_so(stack: str) -> None:
    assert parse(engine.stack_settings(stack), f"Pulumi.{stack}.yaml").grafana.oidc is None


@pytest.mark.parametrize(("port", "expected"), [("", 443), (":8443", 8443)])
def test_pods_reach_the_provider_at_the_port_of_its_addresses(port: str, expected: int) -> None:
    place = f"https://login.example.com{port}"
    provider = parsed(token_url=f"{place}/token", userinfo_url=f"{place}/userinfo")
    assert provider is not None
    assert (provider.port, provider.groups.editor) == (expected, "monitoring-editors")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"authorize_url": "https://login.example.org/authorize"},
            "settings.grafana: allowed is an oidc.authorize_url under one domain with external_endpoint.host "
            "(grafana.region-a.obs.example.com)",
        ),
        (
            {"userinfo_url": "https://login.example.com:8443/userinfo"},
            "settings.grafana.oidc: allowed is one port, 1 to 65535, in both token_url and userinfo_url",
        ),
        (
            {"token_url": "https://login.example.com:70000/", "userinfo_url": "https://login.example.com:70000/"},
            "settings.grafana.oidc: allowed is one port, 1 to 65535, in both token_url and userinfo_url",
        ),
        (
            {"groups": {**PROVIDER["groups"], "admin": "monitoring-editors"}},
            "settings.grafana.oidc.groups: allowed is a group of its own for each role",
        ),
        (
            {"groups": {**PROVIDER["groups"], "viewer": "it's"}},
            'settings.grafana.oidc.groups.viewer is "it\'s": allowed is 1 to 40 lower-case letters',
        ),
        ({"token_url": "http://login.example.com/"}, "settings.grafana.oidc.token_url is 'http://login.example.com/'"),
        ({"networks": []}, "settings.grafana.oidc.networks: allowed is a list of at least 1"),
    ],
)
def test_a_mistake_is_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(**change)
    [said] = str(caught.value).splitlines()
    assert said.startswith(f"Pulumi.prod.yaml: {line}"), said
