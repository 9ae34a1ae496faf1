"""The way to a trace, with the real oauth2-proxy and Jaeger and a fake provider: who gets in, and who does not."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import parse_qs, urlencode, urlparse

import bcrypt
import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey

from ops.core import platform
from ops.core.errors import OpsError
from ops.core.web import Web
from ops.telemetry.traces import TraceReader, fetch_token
from services.audit.records import Access, Line, Outcome
from services.audit.sources import traces
from tests.config.jaeger_process import Sent, files, in_memory, jaeger_process, query_data, trace
from tests.config.oauth_process import oauth_process
from tests.config.servers import eventually, free_port, running

TRACE_ID = bytes(range(16))
PASSWORD = "correct-horse-1"
CLIENT_SECRET = "client-secret-of-the-test"
TOOL_SECRET = "tool-secret-of-the-test"
ALLOWED, OTHER = "traces-confidential", "traces-public"


@dataclass(frozen=True)
class Harness:
    """Addresses of the running parts."""

    folder: Path
    issuer: str
    proxy: str

    @property
    def trace_url(self) -> str:
        return f"{self.proxy}/api/traces/{TRACE_ID.hex()}"

    def get(self, url: str, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(url, headers=headers, verify=self.ca, timeout=60, allow_redirects=False)

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.crt")

    def tool_token(self, client: str) -> str:
        answer = requests.post(
            f"{self.issuer}/token",
            data={"grant_type": "client_credentials"},
            auth=(client, TOOL_SECRET),
            verify=self.ca,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def sign_in(self, name: str, password: str = PASSWORD) -> tuple[requests.Session, requests.Response]:
        """What a browser does: follow to the form, fill it in, follow back."""
        browser = requests.Session()
        browser.trust_env = False
        browser.verify = self.ca
        form = browser.get(f"{self.proxy}/search", timeout=60)
        assert form.status_code == 200, form.text
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text))
        assert fields["code_challenge_method"] == "S256"
        return browser, browser.post(
            f"{self.issuer}/authorize", data={**fields, "username": name, "password": password}, timeout=60
        )


def _accounts(proxy: str) -> dict[str, object]:
    def user(name: str, *groups: str) -> dict[str, object]:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        return {"name": name, "password_hash": hashed, "email": f"{name}@example.org", "groups": groups}

    def tool(name: str, group: str, audience: str = "jaeger") -> dict[str, object]:
        return {"client_id": name, "secret": TOOL_SECRET, "groups": [group], "audiences": [audience]}

    return {
        "users": [user("carol", ALLOWED), user("peter", OTHER), user("nobody")],
        "clients": [
            {"client_id": "jaeger", "secret": CLIENT_SECRET, "redirects": [f"{proxy}/oauth2/callback"]},
            tool("ops", ALLOWED),
            tool("junior", OTHER),
            tool("stranger", ALLOWED, "something-else"),
        ],
    }


@contextmanager
def _provider(folder: Path, proxy: str) -> Iterator[str]:
    port = free_port()
    issuer = f"https://localhost:{port}"
    settings = {
        "issuer": issuer,
        "host": "127.0.0.1",
        "port": port,
        "cert_file": str(folder / "tls.crt"),
        "key_file": str(folder / "tls.key"),
        **_accounts(proxy),
    }
    (folder / "identity.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "lab.fakes.identity", f"--config={folder / 'identity.json'}"]
    root = str(Path(__file__).parents[2])
    with running(["env", f"PYTHONPATH={root}", *command], folder / "identity.log", port):
        yield issuer


@contextmanager
def _harness(folder: Path) -> Iterator[Harness]:
    search = files(folder, "https://localhost:1", "jaeger-query-confidential")
    config = in_memory(query_data(folder, search, "confidential"), folder)
    port = free_port()
    proxy = f"https://localhost:{port}"
    with ExitStack() as stack:
        jaeger = stack.enter_context(jaeger_process(folder, config))
        issuer = stack.enter_context(_provider(folder, proxy))
        stack.enter_context(
            oauth_process(
                folder,
                issuer=issuer,
                port=port,
                query_port=jaeger.query_port,
                groups=[ALLOWED],
                client_secret=CLIENT_SECRET,
            )
        )
        jaeger.send(trace([Sent(name="secret-work")], TRACE_ID))
        harness = Harness(folder, issuer, proxy)
        token = harness.tool_token("ops")
        eventually(lambda: harness.get(harness.trace_url, token).status_code == 200, 10, "the trace is found")
        yield harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with _harness(tmp_path_factory.mktemp("login")) as jaeger_setup:
        yield jaeger_setup


def test_a_user_with_the_group_signs_in_and_sees_the_trace(harness: Harness) -> None:
    browser, page = harness.sign_in("carol")
    assert page.status_code == 200, page.text
    assert page.url.startswith(harness.proxy)
    answer = browser.get(harness.trace_url, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["data"][0]["spans"][0]["operationName"] == "secret-work"


def test_the_session_cookie_is_for_this_host_only_and_out_of_the_reach_of_scripts(harness: Harness) -> None:
    browser, _ = harness.sign_in("carol")
    cookie = next(cookie for cookie in browser.cookies if cookie.name == "__Host-jaeger-query-confidential")
    assert cookie.secure
    assert cookie.path == "/"
    assert not cookie.domain_specified
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert 0 < (cookie.expires or 0) - time.time() <= 3600


@pytest.mark.parametrize("name", ["peter", "nobody"])
def test_a_user_without_the_group_gets_403_and_no_session(harness: Harness, name: str) -> None:
    browser, page = harness.sign_in(name)
    assert page.status_code == 403
    assert "secret-work" not in page.text
    assert browser.get(harness.trace_url, timeout=60).status_code == 401
    later = browser.get(f"{harness.proxy}/search", timeout=60)
    assert later.url.startswith(harness.issuer), "it shows the login form again"


def test_a_wrong_password_shows_the_form_again(harness: Harness) -> None:
    _, page = harness.sign_in("carol", "wrong")
    assert page.status_code == 401
    assert "Name or password is wrong" in page.text


def test_without_a_login_pages_lead_to_the_provider_and_the_api_answers_401(harness: Harness) -> None:
    page = harness.get(f"{harness.proxy}/search")
    assert page.status_code == 302
    assert page.headers["Location"].startswith(f"{harness.issuer}/authorize?")
    assert parse_qs(urlparse(page.headers["Location"]).query)["code_challenge_method"] == ["S256"]
    assert harness.get(harness.trace_url).status_code == 401
    assert harness.get(f"{harness.proxy}/api/v3/services").status_code == 401


def test_ops_trace_signs_in_and_reads(harness: Harness) -> None:
    login = platform.TraceLogin.model_validate(
        {
            "issuer": harness.issuer,
            "client_id": "ops",
            "client_secret": TOOL_SECRET,
            "authority": Path(harness.ca).read_text(),
        }
    )
    with closing(Web(harness.ca)) as web:
        token = fetch_token(web, cast(platform.Platform, SimpleNamespace(trace_login=login)))
        read_trace = TraceReader(web, harness.proxy, token, "confidential").one(TRACE_ID.hex())
        refused = TraceReader(web, harness.proxy, harness.tool_token("junior"), "confidential")
        with pytest.raises(OpsError, match="its groups lack confidential"):
            refused.one(TRACE_ID.hex())
    assert [span.name for span in read_trace.spans] == ["secret-work"]


def test_a_tool_with_the_group_reads_with_its_token(harness: Harness) -> None:
    answer = harness.get(harness.trace_url, harness.tool_token("ops"))
    assert answer.status_code == 200
    assert "secret-work" in answer.text


@pytest.mark.parametrize("path", ["/api/services", "/search", "/api/v3/services"])
def test_a_token_without_the_group_gets_403_on_every_path(harness: Harness, path: str) -> None:
    assert harness.get(harness.proxy + path, harness.tool_token("junior")).status_code == 403


def test_a_token_for_another_audience_is_refused(harness: Harness) -> None:
    assert harness.get(harness.trace_url, harness.tool_token("stranger")).status_code == 403


def test_a_forged_token_is_refused(harness: Harness) -> None:
    real = harness.tool_token("ops")
    claims = {
        "iss": harness.issuer,
        "sub": "ops",
        "aud": "jaeger",
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
        "groups": [ALLOWED],
    }
    own_key = ECKey.generate_key("P-256", private=True)
    forged = jwt.encode({"alg": "ES256", "kid": own_key.thumbprint()}, claims, own_key)
    head, _, signature = real.split(".")
    body = forged.split(".")[1]
    assert harness.get(harness.trace_url, forged).status_code == 403
    assert harness.get(harness.trace_url, f"{head}.{body}.{signature}").status_code == 403, (
        "a real signature, other claims"
    )
    assert harness.get(harness.trace_url, "eyJhbGciOiJub25lIn0." + body + ".").status_code == 403, "no signature"


def test_a_forged_cookie_is_refused(harness: Harness) -> None:
    browser, _ = harness.sign_in("carol")
    name = "__Host-jaeger-query-confidential"
    value = browser.cookies[name]
    cookie = f"{name}={value[:-6]}AAAAAA"
    answer = requests.get(harness.trace_url, headers={"Cookie": cookie}, verify=harness.ca, timeout=60)
    assert answer.status_code == 401


def test_headers_that_claim_an_identity_change_nothing(harness: Harness) -> None:
    claims = {"X-Forwarded-User": "carol", "X-Forwarded-Groups": ALLOWED, "X-Forwarded-Email": "carol@example.org"}
    answer = requests.get(harness.trace_url, headers=claims, verify=harness.ca, timeout=60)
    assert answer.status_code == 401


def test_the_provider_sends_nobody_to_an_address_that_is_not_registered(harness: Harness) -> None:
    page = harness.get(f"{harness.proxy}/search")
    query = {key: values[0] for key, values in parse_qs(urlparse(page.headers["Location"]).query).items()}
    other = harness.get(f"{harness.issuer}/authorize?" + urlencode({**query, "redirect_uri": "https://evil.example/"}))
    assert other.status_code == 400
    assert "Location" not in other.headers


def audited(harness: Harness) -> list[Access]:
    """What the audit log makes of the proxy's log."""
    told = (
        traces(Line(time=datetime.now(UTC), workload="jaeger-query-confidential", text=text))
        for text in (harness.folder / "proxy.log").read_text().splitlines()
    )
    return [access for access in told if access is not None]


def request_lines(harness: Harness) -> list[str]:
    """Lines of the proxy's log about requests."""
    return [line for line in (harness.folder / "proxy.log").read_text().splitlines() if line.startswith("access ")]


def as_written(harness: Harness, path: str, token: str) -> tuple[int, str]:
    """Status and body of a path that nobody tidies up on its way to the proxy."""
    where = urlparse(harness.proxy)
    trust = ssl.create_default_context(cafile=harness.ca)
    with closing(http.client.HTTPSConnection(str(where.hostname), where.port, timeout=60, context=trust)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def test_the_audit_log_learns_who_read_which_trace_and_who_was_refused(harness: Harness) -> None:
    refused = "f" * 32
    assert harness.get(harness.trace_url, harness.tool_token("ops")).status_code == 200
    assert harness.get(harness.trace_url.replace(TRACE_ID.hex(), refused)).status_code == 401
    assert harness.get(f"{harness.proxy}/api/traces?service=x&tags=person", harness.tool_token("ops")).status_code < 500
    assert harness.get(f"{harness.proxy}/api/traces/12?name=person", harness.tool_token("ops")).status_code < 500
    browser, answer = harness.sign_in("carol")
    assert answer.status_code < 400
    browser.get(harness.trace_url, timeout=60)

    def seen(target: str) -> set[tuple[str, Outcome]]:
        return {(access.who, access.outcome) for access in audited(harness) if access.target == target}

    # The proxy writes its line after the answer.
    eventually(
        lambda: ("carol@example.org", Outcome.ALLOWED) in seen(f"trace:{TRACE_ID.hex()}"), 10, "the last read is told"
    )
    told, read = audited(harness), seen(f"trace:{TRACE_ID.hex()}")
    assert {who for who, outcome in read if outcome is Outcome.ALLOWED} >= {"carol@example.org"}
    assert len({who for who, outcome in read if outcome is Outcome.ALLOWED and who != "-"}) >= 2, read
    assert seen(f"trace:{refused}") == {("-", Outcome.REFUSED)}
    assert seen("traces:search")
    assert seen("trace:other")
    logins = {(access.who, access.outcome) for access in told if access.action == "log in"}
    assert ("carol@example.org", Outcome.ALLOWED) in logins
    assert {access.origin for access in told} == {"127.0.0.1"}


def test_a_search_of_the_newer_api_which_answers_with_whole_traces_is_a_search(harness: Harness) -> None:
    def searches() -> int:
        return sum(access.action == "search traces" for access in audited(harness))

    before = searches()
    answer = harness.get(f"{harness.proxy}/api/v3/traces?query.service_name=person", harness.tool_token("ops"))
    assert answer.status_code not in (401, 403)
    eventually(lambda: searches() == before + 1, 10, "the search is told")


@pytest.mark.parametrize(
    "path",
    [
        *("/%61pi/traces/ID", "/api/%74races/ID", "/api%2ftraces/ID", "//api/traces/ID", "/./api/traces/ID"),
        *("/api//traces/ID", "/API/traces/ID", "/static/../api/traces/ID", "/static/%2e%2e/api/traces/ID"),
        *("/trace/..%2fapi/traces/ID", "/api/services/%2e%2e/traces/ID", "/api/traces/%30ID"),
    ],
)
def test_no_way_to_write_the_path_of_a_trace_reads_it_without_a_record(harness: Harness, path: str) -> None:
    def reads() -> int:
        return sum(access.action == "read trace" for access in audited(harness))

    written = path.replace("%30ID", f"%{TRACE_ID.hex()[0].encode().hex()}{TRACE_ID.hex()[1:]}")
    written = written.replace("ID", TRACE_ID.hex())
    before = reads()
    _, body = as_written(harness, written, harness.tool_token("ops"))
    if "secret-work" in body:
        eventually(lambda: reads() > before, 10, "the read is told")


@pytest.mark.parametrize("path", ["/%61pi/traces/ID", "/api/%74races/ID", "/elsewhere"])
def test_a_path_that_is_not_known_is_told_as_a_read(harness: Harness, path: str) -> None:
    def reads() -> int:
        return sum(access.target == "trace:other" for access in audited(harness))

    before = reads()
    as_written(harness, path.replace("ID", TRACE_ID.hex()), harness.tool_token("ops"))
    eventually(lambda: reads() == before + 1, 10, "the read is told")


@pytest.mark.parametrize(
    "path", ["/", "/search?service=x", f"/trace/{TRACE_ID.hex()}", "/static/none.js", "/dependencies"]
)
def test_a_page_is_no_read(harness: Harness, path: str) -> None:
    before = len(request_lines(harness))
    harness.get(f"{harness.proxy}{path}", harness.tool_token("ops"))
    eventually(lambda: len(request_lines(harness)) > before, 10, "the page is told")
    assert [line.rpartition(" ")[2] for line in request_lines(harness)[before:]] == ["page"]


def test_nothing_secret_is_in_the_logs(harness: Harness) -> None:
    token = harness.tool_token("ops")
    harness.get(f"{harness.trace_url}?name=person", token)
    text = "".join((harness.folder / name).read_text() for name in ("proxy.log", "identity.log", "jaeger.log"))
    for secret in (PASSWORD, CLIENT_SECRET, TOOL_SECRET, token, "search-secret", "name=person"):
        assert secret not in text
