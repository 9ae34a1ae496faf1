"""The way to a trace through a real Keycloak: who gets in, who does not, and who no longer."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import parse_qs, urlparse

import pytest
import requests

from components.grafana.login import CALLBACK_PATH
from components.login_proxy import SESSION, callback_url
from components.telemetry.attributes import CLASSES
from ops.core import platform
from ops.core.web import Web
from ops.telemetry.traces import TraceReader, fetch_token
from services.audit.records import Line, Outcome
from services.audit.sources import traces
from stacks.stage_settings import Identity
from tests.config.grafana_fake.directory_server import SERVICE_PASSWORD, DirectoryServer, password_of
from tests.config.keycloak.harness import SHORT_S, TRACE_GROUPS, TRACE_ID, Harness, operation
from tests.config.keycloak_process import agree, fill_form, shows_form
from tests.config.servers import eventually

pytestmark = pytest.mark.drill

SESSION_S = 3600
LATE_S = 10
"""A look at three sessions, on a busy machine."""
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.mark.parametrize(("name", "clearance"), [("admin-person", "confidential"), ("editor", "internal")])
def test_a_person_of_the_group_sees_the_trace_of_their_clearance(harness: Harness, name: str, clearance: str) -> None:
    browser, page = harness.sign_in(name, clearance)
    assert page.url.startswith(harness.proxies[clearance]), page.text
    assert operation(harness.read(browser, clearance)) == f"{clearance}-work"


def test_one_login_is_enough_for_the_traces_of_every_lower_class(harness: Harness) -> None:
    browser, _ = harness.sign_in("admin-person", "confidential")
    assert not shows_form(harness.open(browser, "internal"))
    assert operation(harness.read(browser, "internal")) == "internal-work"


@pytest.mark.parametrize(
    ("name", "clearance"), [("editor", "confidential"), ("viewer", "internal"), ("outsider", "public")]
)
def test_a_person_without_the_group_gets_403_and_no_session(harness: Harness, name: str, clearance: str) -> None:
    browser, page = harness.sign_in(name, clearance)
    assert page.status_code == 403
    assert page.url.startswith(harness.proxies[clearance])
    assert harness.read(browser, clearance).status_code == 401


def test_a_wrong_password_shows_the_form_again(harness: Harness) -> None:
    browser, page = harness.sign_in("admin-person", "confidential", "wrong")
    assert shows_form(page)
    assert "Invalid username or password" in page.text
    assert harness.read(browser, "confidential").status_code == 401
    assert fill_form(browser, page, "admin-person", password_of("admin-person")).url.startswith(
        harness.proxies["confidential"]
    )


def test_nobody_is_sent_to_an_address_that_is_not_registered(harness: Harness) -> None:
    start = harness.browser().get(f"{harness.proxies['public']}/search", timeout=60, allow_redirects=False)
    registered = callback_url(harness.proxies["public"])
    query = {key: values[0] for key, values in parse_qs(urlparse(start.headers["Location"]).query).items()}
    assert query["redirect_uri"] == registered
    for other in (f"{registered}/more", "https://evil.example/oauth2/callback", f"{harness.grafana}{CALLBACK_PATH}"):
        answer = harness.browser().get(
            harness.keycloak.discovery()["authorization_endpoint"],
            params={**query, "redirect_uri": other},
            timeout=60,
            allow_redirects=False,
        )
        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_a_login_without_pkce_is_refused(harness: Harness) -> None:
    query = {
        "client_id": "jaeger",
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": callback_url(harness.proxies["public"]),
    }
    place = harness.keycloak.discovery()["authorization_endpoint"]
    answer = harness.browser().get(place, params=query, timeout=60, allow_redirects=False)
    assert (
        "Missing parameter: code_challenge_method"
        in parse_qs(urlparse(answer.headers["Location"]).query)["error_description"]
    )


def test_a_session_lasts_an_hour_and_is_not_prolonged(harness: Harness) -> None:
    """The longest that somebody keeps what they lost at the provider or in the directory."""
    browser, _ = harness.sign_in("admin-person", "confidential")
    [cookie] = [cookie for cookie in browser.cookies if cookie.name == "__Host-jaeger-query-confidential"]
    assert SESSION == "1h"
    assert 0 < (cookie.expires or 0) - time.time() <= SESSION_S
    before = cookie.value
    assert harness.read(browser, "confidential").status_code == 200
    assert [cookie.value for cookie in browser.cookies if cookie.name.endswith("confidential")] == [before]


@pytest.fixture(scope="module")
def ended(harness: Harness) -> dict[str, requests.Session]:
    """Person -> a browser that was signed in when the person lost the right, after its session has ended."""
    steps = {
        "disabled": lambda: harness.keycloak.disable("disabled"),
        "leaver": lambda: _remove(harness.directory, "leaver"),
        "mover": lambda: harness.directory.set_member(TRACE_GROUPS["public"][0], "mover", "delete"),
    }
    browsers: dict[str, requests.Session] = {}
    cookies: dict[str, str] = {}
    for name, step in steps.items():
        browsers[name], _ = harness.sign_in(name, "public")
        cookies[name] = browsers[name].cookies["__Host-jaeger-query-public"]
        assert _status(harness, cookies[name]) == 200
        step()
    last_s = time.monotonic()
    eventually(lambda: {_status(harness, cookie) for cookie in cookies.values()} == {401}, SHORT_S, "all sessions end")
    assert time.monotonic() - last_s <= SHORT_S + LATE_S
    return browsers


def _status(harness: Harness, cookie: str) -> int:
    """Of a read of the public trace by somebody who keeps a cookie for longer than a browser does."""
    headers = {"Cookie": f"__Host-jaeger-query-public={cookie}"}
    return requests.get(harness.trace_url("public"), headers=headers, verify=harness.ca, timeout=60).status_code


def _remove(directory: DirectoryServer, name: str) -> None:
    directory.set_member(TRACE_GROUPS["public"][0], name, "delete")
    directory.remove_person(name, "others")


@pytest.mark.parametrize("name", ["disabled", "leaver"])
def test_who_is_disabled_or_gone_from_the_directory_has_to_sign_in_and_cannot(
    harness: Harness, ended: dict[str, requests.Session], name: str
) -> None:
    """Keycloak's own session, from the time before, does not help."""
    browser = ended[name]
    page = harness.open(browser, "public")
    assert shows_form(page)
    assert shows_form(fill_form(browser, page, name, password_of(name)))
    assert harness.read(browser, "public").status_code == 401


def test_who_lost_the_group_gets_403_without_a_new_login(harness: Harness, ended: dict[str, requests.Session]) -> None:
    page = harness.open(ended["mover"], "public")
    assert page.status_code == 403
    assert page.url.startswith(harness.proxies["public"])
    assert harness.read(ended["mover"], "public").status_code == 401


@pytest.fixture(scope="module")
def tool_login(harness: Harness) -> platform.TraceLogin:
    """How `ops trace` signs in."""
    return platform.TraceLogin.model_validate(
        {
            "issuer": harness.keycloak.issuer,
            "client_id": "ops",
            "client_secret": harness.passwords["OBS_TOOL_CLIENT_SECRET"],
            "authority": harness.keycloak.ca.read_text(),
        }
    )


@pytest.mark.parametrize("clearance", CLASSES)
def test_ops_trace_reads_with_its_own_client(harness: Harness, tool_login: platform.TraceLogin, clearance: str) -> None:
    with closing(Web(harness.ca)) as web:
        token = fetch_token(web, cast(platform.Platform, SimpleNamespace(trace_login=tool_login)))
        read = TraceReader(web, harness.proxies[clearance], token, clearance).one(TRACE_ID.hex())
    assert [span.name for span in read.spans] == [f"{clearance}-work"]


def test_a_person_gets_a_token_of_their_own_for_ops_trace(harness: Harness) -> None:
    """What ``--token-file`` takes where a stack has no client for tools: by a code that a browser confirms."""
    document, client = harness.keycloak.discovery(), {"client_id": "ops-people"}
    begun = requests.post(document["device_authorization_endpoint"], data=client, verify=harness.ca, timeout=60)
    assert begun.status_code == 200, begun.text
    with harness.browser() as browser:
        form = browser.get(begun.json()["verification_uri_complete"], timeout=60)
        page = agree(browser, fill_form(browser, form, "editor", password_of("editor")))
        assert page.status_code == 200
    given = requests.post(
        document["token_endpoint"],
        data={**client, "grant_type": DEVICE_GRANT, "device_code": begun.json()["device_code"]},
        verify=harness.ca,
        timeout=60,
    )
    assert given.status_code == 200, given.text
    token = given.json()["access_token"]
    with closing(Web(harness.ca)) as web:
        read_trace = TraceReader(web, harness.proxies["internal"], token, "internal").one(TRACE_ID.hex())
    assert [span.name for span in read_trace.spans] == ["internal-work"]
    assert harness.with_token("confidential", token).status_code == 403


def test_the_audit_log_learns_who_read_a_trace(harness: Harness, tool_login: platform.TraceLogin) -> None:
    browser, _ = harness.sign_in("editor", "internal")
    assert harness.read(browser, "internal").status_code == 200
    with closing(Web(harness.ca)) as web:
        token = fetch_token(web, cast(platform.Platform, SimpleNamespace(trace_login=tool_login)))
    assert harness.with_token("internal", token).status_code == 200

    def readers() -> set[str]:
        lines = (harness.folder / "proxy-internal.log").read_text().splitlines()
        accesses = (traces(Line(time=datetime.now(UTC), workload="jaeger-query-internal", text=text)) for text in lines)
        return {
            access.who
            for access in accesses
            if access and access.outcome is Outcome.ALLOWED and access.target == f"trace:{TRACE_ID.hex()}"
        }

    eventually(lambda: readers() >= {"editor@example.com", "ops"}, 10, "both reads are in the log")


def test_what_the_proxies_ask_for_is_what_the_realm_offers(harness: Harness) -> None:
    document = harness.keycloak.discovery()
    identity = Identity.model_validate(
        {
            "issuer": document["issuer"],
            "client_id": "jaeger",
            "tool_client_id": "ops",
            "networks": ["127.0.0.0/8"],
        },
        strict=False,
    )
    assert identity.port == urlparse(harness.keycloak.url).port
    assert {"openid", "email", "profile", "groups"} <= set(document["scopes_supported"])
    assert "S256" in document["code_challenge_methods_supported"]


def test_no_password_is_in_a_log_or_on_a_command_line(harness: Harness) -> None:
    texts = [harness.keycloak.log, Path(f"/proc/{harness.keycloak.process.pid}/cmdline").read_text()]
    texts += [(harness.folder / f"proxy-{name}.log").read_text() for name in CLASSES]
    known = (
        *harness.passwords.values(),
        harness.keycloak.password,
        password_of("admin-person"),
        SERVICE_PASSWORD,
    )
    for text in texts:
        assert not [secret for secret in known if secret in text]
