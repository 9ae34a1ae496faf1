"""The realm of the documentation fits what the components ask of a provider; tests/config/keycloak runs it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from components.grafana.login import CALLBACK_PATH, oidc_settings
from components.jaeger.query import REQUESTS
from components.login_proxy import OauthConfig, callback_url, oauth_options
from components.telemetry.attributes import CLASSES
from lab.paths import CHECKOUT
from stacks.stage_settings import Identity, Oidc, SignIn
from tests.config.keycloak_process import REALM_FILE, realm_variables
from tests.unit.grafana.stubs import oidc

PAGE = CHECKOUT / "docs" / "operations" / "identity.md"
REALM: dict[str, Any] = json.loads(REALM_FILE.read_text())
CLIENTS = {client["clientId"]: client for client in REALM["clients"]}


def _stack_file() -> dict[str, Any]:
    block = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    content: dict[str, Any] = yaml.safe_load(block[1].replace("HOST", "login.example.com"))
    return content


def test_people_are_sent_back_to_our_pages_alone() -> None:
    assert CLIENTS["jaeger"]["redirectUris"] == [
        *(callback_url(f"${{OBS_TRACES_{name.upper()}_URL}}") for name in CLASSES),
        *(callback_url(f"${{OBS_{name.upper()}_LOGIN_URL}}") for name in SignIn.model_fields),
    ]
    assert CLIENTS["grafana"]["redirectUris"] == [f"${{OBS_GRAFANA_URL}}{CALLBACK_PATH}"]
    assert [CLIENTS[name]["redirectUris"] for name in ("ops", "ops-people")] == [[], []]


def test_every_scope_that_is_asked_for_is_given() -> None:
    proxy = OauthConfig(
        issuer="https://login.example.com/realms/obs",
        client_id="jaeger",
        url="https://traces.example.com:4180",
        upstream="http://127.0.0.1:16686/",
        groups=["everybody"],
        cookie_name="jaeger-query-public",
        requests=REQUESTS,
        private_authority=False,
    )
    for client, scopes in (("jaeger", oauth_options(proxy)["scope"]), ("grafana", oidc_settings(oidc())["scopes"])):
        assert set(str(scopes).split()) - {"openid"} <= set(CLIENTS[client]["defaultClientScopes"])


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_has_one_way_in_and_no_password_in_the_file(client: str) -> None:
    content = CLIENTS[client]
    device = content.get("attributes", {}).get("oauth2.device.authorization.grant.enabled") == "true"
    assert [content["standardFlowEnabled"], content["serviceAccountsEnabled"], device].count(True) == 1
    assert not content["implicitFlowEnabled"]
    assert not content["directAccessGrantsEnabled"]
    assert not content["fullScopeAllowed"]
    assert content["publicClient"] is ("secret" not in content)
    assert re.fullmatch(r"\$\{OBS_\w+_CLIENT_SECRET\}", content.get("secret", "${OBS_NO_CLIENT_SECRET}"))
    if content["standardFlowEnabled"]:
        assert content["attributes"]["pkce.code.challenge.method"] == "S256"


def test_the_page_names_every_variable_and_no_other() -> None:
    assert set(re.findall(r"`(OBS_\w+)`", PAGE.read_text())) == realm_variables()


def test_the_page_shows_settings_that_a_stack_file_takes() -> None:
    content = _stack_file()
    identity = Identity.model_validate(content["traces"]["identity"], strict=False)
    pages = SignIn.model_validate(content["sign_in"], strict=False)
    assert pages.metrics.groups != pages.alerts.groups
    login = Oidc.model_validate(content["grafana"]["oidc"], strict=False)
    assert {identity.client_id, identity.tool_client_id, login.client_id} <= set(CLIENTS)
    assert identity.issuer == login.issuer
    assert identity.issuer.endswith(f"/realms/{REALM['realm']}")
