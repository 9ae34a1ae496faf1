"""What the realm needs, by what happens without it: the realm of the documentation, with one thing changed.

Every change is what Keycloak does by itself, or what its pages propose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.config.grafana_fake.directory_server import password_of
from tests.config.keycloak.harness import TRACE_GROUPS, Harness
from tests.config.keycloak_process import fill_form, realm
from tests.config.oauth_process import oauth_process
from tests.config.servers import eventually, free_port

pytestmark = pytest.mark.drill

CLEARANCE = "confidential"
TOKEN_S = 5
[GROUP] = TRACE_GROUPS[CLEARANCE]
Realm = dict[str, Any]


def _named(items: list[dict[str, Any]], name: str, key: str = "name") -> dict[str, Any]:
    [only] = [item for item in items if item[key] == name]
    return only


def _directory(content: Realm) -> dict[str, Any]:
    [provider] = content["components"]["org.keycloak.storage.UserStorageProvider"]
    config: dict[str, Any] = provider["config"]
    return config


def _unchanged(_: Realm) -> None:
    """Shows that the way of these tests works."""


def _no_scope(content: Realm) -> None:
    _named(content["clients"], "jaeger", "clientId")["defaultClientScopes"].remove("groups")


def _full_path(content: Realm) -> None:
    [mapper] = _named(content["clientScopes"], "groups")["protocolMappers"]
    mapper["config"]["full.path"] = "true"


def _untrusted_mail(content: Realm) -> None:
    _directory(content)["trustEmail"] = ["false"]


def _no_audience(content: Realm) -> None:
    client = _named(content["clients"], "ops", "clientId")
    client["protocolMappers"].remove(_named(client["protocolMappers"], "audience of the trace queries"))


def _short_tokens(content: Realm) -> None:
    content["accessTokenLifespan"] = TOKEN_S


def _default_cache(content: Realm) -> None:
    _directory(content)["cachePolicy"] = ["DEFAULT"]


@dataclass(frozen=True)
class Variant:
    """A realm that differs, and a proxy that asks it."""

    harness: Harness
    issuer: str
    proxy: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def sign_in(self, name: str) -> requests.Response:
        """Where somebody ends up who opens the traces."""
        with self.harness.browser() as browser:
            page = browser.get(f"{self.proxy}/search", timeout=60)
            if not page.url.startswith(self.issuer):
                return page
            return fill_form(browser, page, name, password_of(name))

    def ask_as_tool(self) -> int:
        """Status of an answer to the tool's own client."""
        answer = requests.post(
            f"{self.issuer}/protocol/openid-connect/token",
            data={"grant_type": "client_credentials"},
            auth=("ops", self.harness.passwords["OBS_TOOL_CLIENT_SECRET"]),
            verify=self.harness.ca,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return requests.get(
            f"{self.proxy}/api/services", headers=headers, verify=self.harness.ca, timeout=60, allow_redirects=False
        ).status_code


@contextmanager
def _variant(harness: Harness, change: Callable[[Realm], None]) -> Iterator[Variant]:
    port = free_port()
    name = f"{change.__name__.strip('_')}-{port}"
    content = realm({**harness.variables, "OBS_TRACES_CONFIDENTIAL_URL": f"https://localhost:{port}"})
    content["realm"] = name
    change(content)
    issuer = harness.keycloak.create_realm(content)
    with oauth_process(
        harness.folder,
        issuer=issuer,
        port=port,
        query_port=harness.query_ports[CLEARANCE],
        groups=[GROUP],
        client_secret=harness.passwords["OBS_JAEGER_CLIENT_SECRET"],
        name=f"proxy-{name}",
    ) as proxy:
        yield Variant(harness, issuer, proxy, harness.folder / f"proxy-{name}.log")


@pytest.mark.parametrize(
    ("change", "person", "tool", "reason"),
    [
        (_unchanged, 200, 200, ""),
        (_no_scope, 403, 200, "OAuth2 callback: invalid_scope"),
        (_full_path, 403, 200, "Invalid authentication via OAuth2: unauthorized"),
        (_untrusted_mail, 403, 200, "isn't verified"),
        (_no_audience, 200, 403, "invalid audience"),
    ],
)
def test_who_gets_in_where_the_realm_differs(
    harness: Harness, change: Callable[[Realm], None], person: int, tool: int, reason: str
) -> None:
    with _variant(harness, change) as variant:
        assert (variant.sign_in("admin-person").status_code, variant.ask_as_tool()) == (person, tool)
        assert reason in variant.log


def test_a_session_does_not_end_with_the_tokens_of_the_provider(harness: Harness) -> None:
    """So its length is the one of our settings; Keycloak's tokens live for five minutes by default."""
    with _variant(harness, _short_tokens) as variant, harness.browser() as browser:
        form = browser.get(f"{variant.proxy}/search", timeout=60)
        started = time.monotonic()
        fill_form(browser, form, "admin-person", password_of("admin-person"))
        eventually(lambda: time.monotonic() - started > TOKEN_S + 2, TOKEN_S + 5, "the tokens have ended")
        assert browser.get(f"{variant.proxy}/api/services", timeout=60).status_code == 200


@pytest.mark.parametrize(("change", "after"), [(_unchanged, 403), (_default_cache, 200)])
def test_whether_a_lost_group_is_noticed_at_the_next_login(
    harness: Harness, change: Callable[[Realm], None], after: int
) -> None:
    """With Keycloak's default people are kept in memory, with their groups, until somebody clears it."""
    with _variant(harness, change) as variant:
        harness.directory.set_member(GROUP, "crowd", "add")
        try:
            assert variant.sign_in("crowd").status_code == 200
        finally:
            harness.directory.set_member(GROUP, "crowd", "delete")
        assert variant.sign_in("crowd").status_code == after
