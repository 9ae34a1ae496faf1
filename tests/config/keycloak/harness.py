"""Keycloak with the people and groups of `prod`, three proxies in front of three queries, and what a browser does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from components.jaeger.query import allowed_groups
from components.telemetry.attributes import CLASSES
from tests.config.grafana_fake.directory_server import BASE, DirectoryServer, password_of, person_dn
from tests.config.jaeger_process import Sent, files, in_memory, jaeger_process, query_data, trace
from tests.config.keycloak_process import KeycloakProcess, directory_variables, fill_form, keycloak_process
from tests.config.oauth_process import oauth_process
from tests.config.servers import free_port
from tests.support import engine

TRACE_ID = bytes(range(16))
SHORT_S = 25
"""Session of the proxy of public traces, whose end the tests see."""
TRACE_GROUPS: dict[str, list[str]] = engine.stack_settings("prod")["traces"]["groups"]
"""Class -> groups, as `prod` has them."""
MEMBERS = {
    "public": ("viewer", "leaver", "disabled", "mover"),
    "internal": ("editor",),
    "confidential": ("admin-person",),
}
"""Class -> people in its group; ``outsider`` and ``crowd`` are in none."""


@dataclass(frozen=True)
class Harness:
    """The running parts.

    Attributes:
        folder: With the logs and the authority of Keycloak and of the proxies.
        directory: Where people are.
        keycloak: Where they sign in.
        proxies: Clearance -> where its traces are read.
        query_ports: Clearance -> port of the query behind the proxy.
        grafana: Where Grafana would be.
        passwords: Of the clients.
        variables: What the realm file asks of the environment, the passwords among them.
    """

    folder: Path
    directory: DirectoryServer
    keycloak: KeycloakProcess
    proxies: dict[str, str]
    query_ports: dict[str, int]
    grafana: str
    passwords: dict[str, str] = field(repr=False)
    variables: dict[str, str] = field(repr=False)

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.crt")

    def trace_url(self, clearance: str) -> str:
        return f"{self.proxies[clearance]}/api/traces/{TRACE_ID.hex()}"

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self.ca
        return session

    def open(self, browser: requests.Session, clearance: str) -> requests.Response:
        """The page of traces, or where it leads to."""
        return browser.get(f"{self.proxies[clearance]}/search", timeout=60)

    def sign_in(
        self, name: str, clearance: str, password: str | None = None
    ) -> tuple[requests.Session, requests.Response]:
        """What somebody with a browser does: to the form, fill it in, and back."""
        browser = self.browser()
        form = self.open(browser, clearance)
        assert form.url.startswith(self.keycloak.issuer)
        return browser, fill_form(browser, form, name, password or password_of(name))

    def read(self, browser: requests.Session, clearance: str) -> requests.Response:
        return browser.get(self.trace_url(clearance), timeout=60)

    def with_token(self, clearance: str, token: str) -> requests.Response:
        return requests.get(
            self.trace_url(clearance),
            headers={"Authorization": f"Bearer {token}"},
            verify=self.ca,
            timeout=60,
            allow_redirects=False,
        )


def operation(answer: requests.Response) -> str:
    """Name of the only span of an answer."""
    assert answer.status_code == 200, answer.text
    [only] = answer.json()["data"]
    return str(only["spans"][0]["operationName"])


def _people(directory: DirectoryServer) -> None:
    """People and groups of `prod` beside those that the directory has."""
    for name in ("leaver", "disabled", "mover"):
        directory.add_person(name, "others")
    for clearance, groups in TRACE_GROUPS.items():
        for group in groups:
            directory.change(
                f"dn: cn={group},ou=groups,{BASE}",
                "changetype: add",
                "objectClass: groupOfNames",
                f"cn: {group}",
                *(f"member: {person_dn(name)}" for name in MEMBERS[clearance]),
            )


@contextmanager
def started(folder: Path) -> Iterator[Harness]:
    """All of it, until the block ends."""
    ports = {name: free_port() for name in (*CLASSES, "grafana")}
    urls = {name: f"https://localhost:{port}" for name, port in ports.items()}
    passwords = {f"OBS_{name}_CLIENT_SECRET": secrets.token_urlsafe(24) for name in ("JAEGER", "GRAFANA", "TOOL")}
    with ExitStack() as stack:
        (folder / "ldap").mkdir()
        directory = DirectoryServer(folder / "ldap")
        directory.start()
        stack.callback(directory.stop)
        _people(directory)
        variables = {
            **directory_variables(directory),
            **passwords,
            **{f"OBS_TRACES_{name.upper()}_URL": urls[name] for name in CLASSES},
            **{f"OBS_{name}_LOGIN_URL": f"https://{name.lower()}.example.com:4180" for name in ("METRICS", "ALERTS")},
            "OBS_GRAFANA_URL": urls["grafana"],
            "OBS_TOOL_GROUP": TRACE_GROUPS["confidential"][0],
        }
        keycloak = stack.enter_context(keycloak_process(folder, variables, directory))
        proxies: dict[str, str] = {}
        query_ports: dict[str, int] = {}
        for name in CLASSES:
            search = files(folder, "https://localhost:1", f"jaeger-query-{name}")
            jaeger = stack.enter_context(
                jaeger_process(folder, in_memory(query_data(folder, search, name), folder), f"jaeger-{name}")
            )
            query_ports[name] = jaeger.query_port
            jaeger.send(trace([Sent(name=f"{name}-work")], TRACE_ID))
            proxies[name] = stack.enter_context(
                oauth_process(
                    folder,
                    issuer=keycloak.issuer,
                    port=ports[name],
                    query_port=jaeger.query_port,
                    groups=allowed_groups(name, TRACE_GROUPS),
                    client_secret=passwords["OBS_JAEGER_CLIENT_SECRET"],
                    name=f"proxy-{name}",
                    cookie_name=f"jaeger-query-{name}",
                    options=[f"--cookie-expire={SHORT_S}s"] if name == "public" else [],
                )
            )
        yield Harness(folder, directory, keycloak, proxies, query_ports, urls["grafana"], passwords, variables)
