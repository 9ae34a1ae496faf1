"""What a real Keycloak gives Grafana about people, and what our settings make of it.

Grafana itself is not to be had here: the role is what its expression, which our settings hand to it, makes of real
claims. Grafana takes a text for a role; without one it refuses, which ``role_attribute_strict`` says.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlparse

import jmespath
import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from components.contracts import OidcEndpoint
from components.grafana.login import CALLBACK_PATH, Groups, OidcLogin, oidc_settings
from stacks.stage_settings import Oidc
from tests.config.grafana_fake.directory_server import password_of
from tests.config.keycloak.harness import TRACE_GROUPS, Harness
from tests.config.keycloak_process import fill_form

pytestmark = pytest.mark.drill

ROLES = {"viewer": "Viewer", "editor": "Editor", "admin-person": "Admin", "outsider": None}
ROLE_GROUPS = Groups(viewer="monitoring-viewers", editor="monitoring-editors", admin="monitoring-admins")


@dataclass(frozen=True)
class Tokens:
    """What Grafana gets about a person."""

    access: str
    identity: str
    claims: dict[str, Any]
    userinfo: dict[str, Any]


@pytest.fixture(scope="module")
def grafana_login(harness: Harness) -> OidcLogin:
    """Grafana's provider, from what the realm says of itself, through the settings of a stack file."""
    document = harness.keycloak.discovery()
    settings = Oidc.model_validate(
        {
            "issuer": document["issuer"],
            "client_id": "grafana",
            "authorize_url": document["authorization_endpoint"],
            "token_url": document["token_endpoint"],
            "userinfo_url": document["userinfo_endpoint"],
            "networks": ["127.0.0.0/8"],
            "groups": {"viewer": ROLE_GROUPS.viewer, "editor": ROLE_GROUPS.editor, "admin": ROLE_GROUPS.admin},
        },
        strict=False,
    )
    assert settings.port == urlparse(harness.keycloak.url).port
    return OidcLogin(
        endpoint=OidcEndpoint(
            issuer=settings.issuer,
            port=settings.port,
            client_id=settings.client_id,
            client_secret=harness.passwords["OBS_GRAFANA_CLIENT_SECRET"],
            networks=settings.networks,
        ),
        authorize_url=settings.authorize_url,
        token_url=settings.token_url,
        userinfo_url=settings.userinfo_url,
        groups=Groups(**settings.groups.model_dump()),
    )


def _tokens(harness: Harness, login: OidcLogin, name: str) -> Tokens:
    """Sign in as Grafana's page does, with the settings that we render for it."""
    settings = oidc_settings(login)
    assert settings["use_pkce"] == "true"
    redirect, verifier = f"{harness.grafana}{CALLBACK_PATH}", secrets.token_urlsafe(48)
    state = secrets.token_urlsafe(16)
    browser = harness.browser()
    form = browser.get(
        settings["auth_url"],
        params={
            "client_id": settings["client_id"],
            "response_type": "code",
            "redirect_uri": redirect,
            "scope": settings["scopes"],
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        },
        timeout=60,
    )
    back = fill_form(browser, form, name, password_of(name), follow=False).headers["Location"]
    assert back.startswith(f"{redirect}?")
    answer = {key: values[0] for key, values in parse_qs(urlparse(back).query).items()}
    assert answer["state"] == state
    given = requests.post(
        settings["token_url"],
        data={
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect,
            "code_verifier": verifier,
        },
        auth=(settings["client_id"], harness.passwords["OBS_GRAFANA_CLIENT_SECRET"]),
        verify=harness.ca,
        timeout=60,
    )
    assert given.status_code == 200, given.text
    access, identity = given.json()["access_token"], given.json()["id_token"]
    about = requests.get(
        settings["api_url"], headers={"Authorization": f"Bearer {access}"}, verify=harness.ca, timeout=60
    )
    assert about.status_code == 200, about.text
    keys = requests.get(harness.keycloak.discovery()["jwks_uri"], verify=harness.ca, timeout=60).json()
    claims = jwt.decode(identity, KeySet.import_key_set(keys), algorithms=["RS256"]).claims
    return Tokens(access, identity, claims, about.json())


@pytest.mark.parametrize(("name", "role"), ROLES.items())
def test_the_groups_of_a_person_give_the_role_in_grafana_and_no_group_none(
    harness: Harness, grafana_login: OidcLogin, name: str, role: str | None
) -> None:
    settings, tokens = oidc_settings(grafana_login), _tokens(harness, grafana_login, name)
    assert settings["role_attribute_strict"] == "true"
    for content in (tokens.claims, tokens.userinfo):
        found_role = jmespath.search(settings["role_attribute_path"], content)
        assert (found_role if isinstance(found_role, str) else None) == role
        assert isinstance(jmespath.search(settings["groups_attribute_path"], content), list)


def test_grafana_gets_the_same_person_that_is_in_the_directory(harness: Harness, grafana_login: OidcLogin) -> None:
    tokens = _tokens(harness, grafana_login, "viewer")
    settings = oidc_settings(grafana_login)
    for content in (tokens.claims, tokens.userinfo):
        assert jmespath.search(settings["login_attribute_path"], content) == "viewer"
        assert content["email"] == "viewer@example.com"
        assert content["email_verified"] is True
    assert tokens.claims["iss"] == grafana_login.endpoint.issuer
    assert tokens.claims["aud"] == grafana_login.endpoint.client_id


def test_a_token_for_another_audience_is_refused(harness: Harness, grafana_login: OidcLogin) -> None:
    """Of somebody who has the group: what Grafana holds does not open the traces."""
    tokens = _tokens(harness, grafana_login, "admin-person")
    assert set(TRACE_GROUPS["confidential"]) <= set(tokens.claims["groups"])
    for token in (tokens.access, tokens.identity):
        assert harness.with_token("confidential", token).status_code == 403
