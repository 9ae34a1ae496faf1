"""The personal logins in front of metrics and alerts, with the real oauth2-proxy, Thanos Query and Alertmanager, and a
fake provider: who gets in, what is passed on, and what the audit log learns.
"""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests
import yaml

from components.alertmanager.config import alertmanager_command
from components.login_proxy import CALLBACK_PATH, OauthConfig, oauth_command, structured_config
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from components.web_access import web_config
from lab.toolchain import tools
from services.audit.login_proxies import alerts, metrics
from services.audit.records import Access, Line, Outcome
from tests.config import blocks_process
from tests.config.oauth_process import login_config, login_process, provider_process, sign_in
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port, running

PASSWORD, CLIENT_SECRET, TOOL_SECRET = "correct-horse-2", "client-secret-of-the-test", "tool-secret-of-the-test"
OWN = ("people", "upstream-password-of-the-login")
READERS, OPERATORS = "metrics-readers", "alerts-operators"
SPY = "spy"


class _Spy(ThreadingHTTPServer):
    """A server that keeps the headers of each request."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.seen: list[dict[str, str]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Answer(BaseHTTPRequestHandler):
    server: _Spy

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers.items()))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Harness:
    """Addresses of the running parts."""

    folder: Path
    issuer: str
    urls: dict[str, str]
    spy: _Spy
    configs: dict[str, OauthConfig] = field(default_factory=dict)

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.crt")

    def call(self, method: str, login: str, path: str, token: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method,
            f"{self.urls[login]}{path}",
            headers={**headers, **options.pop("headers", {})},
            verify=self.ca,
            timeout=60,
            allow_redirects=False,
            **options,
        )

    def sign_in(self, login: str, name: str) -> tuple[requests.Session, requests.Response]:
        return sign_in(f"{self.urls[login]}/", self.issuer, self.ca, name, PASSWORD)

    def tool_token(self, client: str) -> str:
        data, auth = {"grant_type": "client_credentials"}, (client, TOOL_SECRET)
        answer = requests.post(f"{self.issuer}/token", data=data, auth=auth, verify=self.ca, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def log(self, login: str) -> str:
        return (self.folder / f"{login}.log").read_text()

    def audited(self, login: str) -> list[Access]:
        """What the audit log makes of a login's log."""
        read: Callable[[Line], Access | None] = {METRICS_LOGIN: metrics, ALERTS_LOGIN: alerts}[login]
        lines = self.log(login).splitlines()
        told = (read(Line(time=datetime.now(UTC), workload=login, text=text)) for text in lines)
        return [access for access in told if access is not None]

    def tells(self, login: str, **expected: object) -> Access:
        """The access that the log tells of, soon: the proxy writes its line after the answer."""

        def fitting() -> list[Access]:
            wanted = expected.items()
            return [one for one in self.audited(login) if all(getattr(one, key) == value for key, value in wanted)]

        eventually(lambda: bool(fitting()), 10, f"{login} tells of {expected}")
        return fitting()[-1]


def _accounts(urls: dict[str, str]) -> dict[str, object]:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

    def user(name: str, *groups: str) -> dict[str, object]:
        return {"name": name, "password_hash": hashed, "email": f"{name}@example.org", "groups": groups}

    return {
        "users": [user("carol", READERS, OPERATORS), user("rita", READERS), user("nobody")],
        "clients": [
            {
                "client_id": "jaeger",
                "secret": CLIENT_SECRET,
                "redirects": [f"{url}{CALLBACK_PATH}" for url in urls.values()],
            },
            {"client_id": "ops", "secret": TOOL_SECRET, "groups": [READERS, OPERATORS], "audiences": ["jaeger"]},
        ],
    }


def _alertmanager(folder: Path, stack: ExitStack) -> str:
    """A real Alertmanager of its own that tells nobody."""
    port, place = free_port(), folder / "alertmanager"
    place.mkdir()
    hashed = bcrypt.hashpw(OWN[1].encode(), bcrypt.gensalt(4)).decode()
    (place / "web.yml").write_text(yaml.safe_dump(web_config({OWN[0]: hashed}, str(folder))))
    (place / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    rendered = alertmanager_command(peers=[], cluster="test", external_url="https://alerts.example.org", directory=".")
    gossip = ("cluster.advertise-address", "cluster.tls-config")
    command = blocks_process.local(
        "alertmanager",
        [option for option in rendered if not option.removeprefix("--").startswith(gossip)],
        {
            "config.file": str(place / "alertmanager.yml"),
            "web.config.file": str(place / "web.yml"),
            "web.listen-address": f"127.0.0.1:{port}",
            "storage.path": str(place / "data"),
            "cluster.listen-address": "",
        },
    )
    stack.enter_context(running(command, place / "alertmanager.log", port))
    return f"https://localhost:{port}"


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("sign-in")
    write_certificates(folder)
    ports = {name: free_port() for name in (METRICS_LOGIN, ALERTS_LOGIN, SPY)}
    urls = {name: f"https://localhost:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        thanos = stack.enter_context(blocks_process.query(folder / "query", folder, [], dict([OWN])))
        alertmanager = _alertmanager(folder, stack)
        spy = _Spy(folder)
        stack.callback(spy.server_close)
        stack.callback(spy.shutdown)
        threading.Thread(target=spy.serve_forever, daemon=True).start()
        issuer = stack.enter_context(provider_process(folder, _accounts(urls)))
        harness = Harness(folder, issuer, urls, spy)
        for name, workload, upstream, group in (
            (METRICS_LOGIN, METRICS_LOGIN, thanos.url, READERS),
            (ALERTS_LOGIN, ALERTS_LOGIN, alertmanager, OPERATORS),
            (SPY, METRICS_LOGIN, f"https://localhost:{spy.server_address[1]}", READERS),
        ):
            config = harness.configs[name] = login_config(
                folder,
                workload=workload,
                issuer=issuer,
                port=ports[name],
                upstream=upstream,
                groups=[group],
                client_secret=CLIENT_SECRET,
            )
            stack.enter_context(login_process(config, folder, OWN, name))
        yield harness


def test_somebody_in_the_group_signs_in_and_queries_metrics(harness: Harness) -> None:
    browser, page = harness.sign_in(METRICS_LOGIN, "rita")
    assert page.status_code == 200, page.text
    assert page.url.startswith(harness.urls[METRICS_LOGIN])
    answer = browser.get(f"{harness.urls[METRICS_LOGIN]}/api/v1/query?query=40%2B2", timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["result"][1] == "42"
    told = harness.tells(METRICS_LOGIN, target="metrics:query", who="rita@example.org")
    assert (told.action, told.outcome, told.origin) == ("query", Outcome.ALLOWED, "127.0.0.1")
    assert harness.tells(METRICS_LOGIN, action="log in", who="rita@example.org").outcome is Outcome.ALLOWED


@pytest.mark.parametrize(("login", "name"), [(METRICS_LOGIN, "nobody"), (ALERTS_LOGIN, "rita")])
def test_somebody_without_the_group_gets_403_and_no_session(harness: Harness, login: str, name: str) -> None:
    browser, page = harness.sign_in(login, name)
    assert page.status_code == 403
    assert browser.get(f"{harness.urls[login]}/api/v1/query?query=1", timeout=60).status_code == 401
    assert harness.tells(login, action="log in", who=f"{name}@example.org").outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("login", "path"), [(METRICS_LOGIN, "/api/v1/query?query=1"), (ALERTS_LOGIN, "/api/v2/silences")]
)
def test_without_a_session_pages_lead_to_the_provider_and_the_api_answers_401(
    harness: Harness, login: str, path: str
) -> None:
    page = harness.call("GET", login, "/")
    assert page.status_code == 302
    assert page.headers["Location"].startswith(f"{harness.issuer}/authorize?")
    assert "code_challenge_method=S256" in page.headers["Location"]
    assert harness.call("GET", login, path).status_code == 401
    assert harness.tells(login, outcome=Outcome.REFUSED, who="-").origin == "127.0.0.1"


@pytest.mark.parametrize("login", [METRICS_LOGIN, ALERTS_LOGIN])
def test_the_password_behind_a_login_opens_nothing_at_the_login(harness: Harness, login: str) -> None:
    answer = requests.get(f"{harness.urls[login]}/api/v1/query?query=1", auth=OWN, verify=harness.ca, timeout=60)
    assert answer.status_code in (401, 403)


def test_neither_the_clients_authorization_nor_its_cookies_are_passed_on(harness: Harness) -> None:
    browser, page = harness.sign_in(SPY, "carol")
    assert page.status_code == 200, page.text
    token = harness.tool_token("ops")
    harness.spy.seen.clear()
    browser.get(f"{harness.urls[SPY]}/api/v1/query", cookies={"other": "mine"}, timeout=60)
    claims = {"X-Forwarded-User": "admin", "authorization": f"Bearer {token}", "Cookie": "a=b"}
    assert harness.call("GET", SPY, "/api/v1/query", headers=claims).status_code == 200
    assert len(harness.spy.seen) == 2
    for seen in harness.spy.seen:
        headers = {name.lower(): value for name, value in seen.items()}
        assert headers["authorization"] == requests.auth._basic_auth_str(*OWN)  # type: ignore[no-untyped-call]
        assert "cookie" not in headers
        assert token not in str(headers)
        assert headers["host"] == f"localhost:{harness.spy.server_address[1]}"


def test_the_password_behind_a_login_never_reaches_a_client(harness: Harness) -> None:
    browser, page = harness.sign_in(METRICS_LOGIN, "carol")
    answers = [*page.history, page, browser.get(f"{harness.urls[METRICS_LOGIN]}/api/v1/labels", timeout=60)]
    known = requests.auth._basic_auth_str(*OWN).partition(" ")[2]  # type: ignore[no-untyped-call]
    for answer in answers:
        text = f"{answer.headers} {answer.request.headers} {answer.text}"
        assert OWN[1] not in text
        assert known not in text


def test_a_silence_that_a_person_makes_and_ends_is_recorded_with_the_name(harness: Harness) -> None:
    browser, page = harness.sign_in(ALERTS_LOGIN, "carol")
    assert page.status_code == 200, page.text
    base, now = f"{harness.urls[ALERTS_LOGIN]}/api/v2", datetime.now(UTC)
    silence = {
        "matchers": [{"name": "alertname", "value": "Any", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
        "createdBy": "somebody-else",
        "comment": "test",
    }
    answer = browser.post(f"{base}/silences", json=silence, timeout=60)
    assert answer.status_code == 200, answer.text
    number = answer.json()["silenceID"]
    ended = browser.delete(f"{base}/silence/{number}", timeout=60)
    assert ended.status_code == 200, ended.text
    created = harness.tells(ALERTS_LOGIN, action="create silence", who="carol@example.org")
    assert (created.target, created.outcome) == ("alertmanager:silences", Outcome.ALLOWED)
    expired = harness.tells(ALERTS_LOGIN, action="expire silence", who="carol@example.org")
    assert expired.target == f"silence:{number}"
    assert browser.get(f"{base}/alerts", timeout=60).json() == []
    harness.tells(ALERTS_LOGIN, action="read alerts", who="carol@example.org", target="alertmanager:alerts")


def test_a_silence_without_a_session_is_refused_and_recorded(harness: Harness) -> None:
    assert harness.call("POST", ALERTS_LOGIN, "/api/v2/silences", json={}).status_code == 401
    assert harness.tells(ALERTS_LOGIN, action="create silence", who="-").outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "path", ["/%61pi/v1/query?query=1", "//api/v1/query", "/api/v1/rules", "/static/../api/v1/query"]
)
def test_a_path_that_is_not_known_is_recorded(harness: Harness, path: str) -> None:
    before = len(harness.audited(METRICS_LOGIN))
    session, token = requests.Session(), harness.tool_token("ops")
    prepared = session.prepare_request(
        requests.Request("GET", harness.urls[METRICS_LOGIN], headers={"Authorization": f"Bearer {token}"})
    )
    prepared.url = f"{harness.urls[METRICS_LOGIN]}{path}"
    answer = session.send(prepared, verify=harness.ca, timeout=60, allow_redirects=False)
    if answer.status_code == 200:
        eventually(lambda: len(harness.audited(METRICS_LOGIN)) > before, 10, "it is recorded")


def test_a_page_is_no_access(harness: Harness) -> None:
    token = harness.tool_token("ops")
    lines = harness.log(METRICS_LOGIN).count("\naccess ")
    harness.call("GET", METRICS_LOGIN, "/graph?g0.expr=person", token)
    eventually(lambda: harness.log(METRICS_LOGIN).count("\naccess ") > lines, 10, "the page is told")
    assert harness.log(METRICS_LOGIN).splitlines()[-1].endswith(" page")


def test_neither_queries_nor_secrets_are_in_the_logs(harness: Harness) -> None:
    token = harness.tool_token("ops")
    for path in ("/api/v1/query?query=person_of_the_test", "/api/v1/label/person_of_the_test/values"):
        assert harness.call("GET", METRICS_LOGIN, path, token).status_code == 200
    harness.call("GET", ALERTS_LOGIN, "/api/v2/alerts?filter=person_of_the_test", token)
    harness.tells(METRICS_LOGIN, target="metrics:metadata")
    text = "".join(harness.log(login) for login in (METRICS_LOGIN, ALERTS_LOGIN))
    for secret in ("person_of_the_test", PASSWORD, CLIENT_SECRET, token, OWN[1]):
        assert secret not in text


def test_a_server_of_another_authority_is_not_asked(harness: Harness, tmp_path: Path) -> None:
    """Its certificate is verified: a stranger gets no request, and so not the login's password."""
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    stranger = _Spy(other)
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    port = free_port()
    config = login_config(
        harness.folder,
        workload=METRICS_LOGIN,
        issuer=harness.issuer,
        port=port,
        upstream=f"https://localhost:{stranger.server_address[1]}",
        groups=[READERS],
        client_secret=CLIENT_SECRET,
    )
    try:
        with login_process(config, harness.folder, OWN, "stranger") as url:
            headers = {"Authorization": f"Bearer {harness.tool_token('ops')}"}
            answer = requests.get(f"{url}/api/v1/query", headers=headers, verify=harness.ca, timeout=60)
        assert answer.status_code == 502
        assert stranger.seen == []
    finally:
        stranger.shutdown()
        stranger.server_close()


def test_the_structured_file_says_what_the_proxy_itself_makes_of_the_same_options(harness: Harness) -> None:
    """The proxy turns options of a command line into such a file; ours differs in the login behind it only."""
    config = harness.configs[METRICS_LOGIN]
    command = oauth_command(config, str(tools.path("oauth2-proxy")))
    command.append("--convert-config-to-alpha")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    own, theirs = structured_config(config), yaml.safe_load(done.stdout)
    ours, provider = own["providers"][0], theirs["providers"][0]
    for key in ("clientID", "clientSecretFile", "scope", "code_challenge_method", "allowedGroups", "provider"):
        assert ours[key] == provider[key], key
    for key, value in ours["oidcConfig"].items():
        assert value == provider["oidcConfig"][key], key
    assert own["server"]["secureBindAddress"] == theirs["server"]["secureBindAddress"]
    assert own["server"]["tls"]["minVersion"] == theirs["server"]["tls"]["minVersion"]
    assert not theirs.get("injectRequestHeaders")
    assert [header["name"] for header in own["injectRequestHeaders"]] == ["Authorization", "Cookie"]
    assert set(own) >= set(theirs)
