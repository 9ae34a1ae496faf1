"""A real Keycloak over TLS, with the realm file of the documentation and the people of a real directory."""

from __future__ import annotations

import html
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urljoin

import requests

from lab.paths import CHECKOUT
from lab.toolchain import tools
from lab.toolchain.recipes import KEYCLOAK
from tests.config.grafana_fake.directory_server import BASE, SERVICE, SERVICE_PASSWORD, DirectoryServer
from tests.config.pki import write_certificates
from tests.config.servers import answers, eventually, free_port, running

REALM_FILE = CHECKOUT / "docs" / "examples" / "keycloak" / "obs-realm.json"
REALM = "obs"
ADMINISTRATOR = "keycloak-admin"
_JAVA = "-XX:TieredStopAtLevel=1"
_FORM = re.compile(r'<form id="kc-form-login"[^>]*? action="([^"]+)"')
_TIMEOUT_S = 60


@dataclass(frozen=True)
class KeycloakProcess:
    """A running Keycloak.

    Attributes:
        folder: With its log and its authority.
        url: Where it is reached.
        process: It.
        password: Of its administrator.
    """

    folder: Path
    url: str
    process: Popen[bytes]
    password: str

    @property
    def issuer(self) -> str:
        """Issuer of the realm."""
        return f"{self.url}/realms/{REALM}"

    @property
    def ca(self) -> Path:
        """Who signs its certificate."""
        return self.folder / "ca.crt"

    @property
    def log(self) -> str:
        """All that it has logged."""
        return (self.folder / "keycloak.log").read_text()

    def discovery(self) -> dict[str, Any]:
        """The realm's own description."""
        answer = requests.get(f"{self.issuer}/.well-known/openid-configuration", verify=str(self.ca), timeout=60)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def disable(self, name: str) -> None:
        """Disable a person, as an administrator of the realm does."""
        [user] = self._admin("GET", f"/{REALM}/users?exact=true&username={name}").json()
        self._admin("PUT", f"/{REALM}/users/{user['id']}", {**user, "enabled": False})

    def create_realm(self, content: dict[str, Any]) -> str:
        """Make a further realm.

        Returns:
            Its issuer.
        """
        self._admin("POST", "", content)
        return f"{self.url}/realms/{content['realm']}"

    def _admin(self, method: str, path: str, body: object = None) -> requests.Response:
        token = requests.post(
            f"{self.url}/realms/master/protocol/openid-connect/token",
            data={
                "grant_type": "password",
                "client_id": "admin-cli",
                "username": ADMINISTRATOR,
                "password": self.password,
            },
            verify=str(self.ca),
            timeout=_TIMEOUT_S,
        )
        assert token.status_code == 200, token.text
        answer = requests.request(
            method,
            f"{self.url}/admin/realms{path}",
            json=body,
            headers={"Authorization": f"Bearer {token.json()['access_token']}"},
            verify=str(self.ca),
            timeout=_TIMEOUT_S,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


def directory_variables(directory: DirectoryServer) -> dict[str, str]:
    """What the realm file asks of the environment about the directory."""
    return {
        "OBS_LDAP_URL": f"ldaps://localhost:{directory.port}",
        "OBS_LDAP_BIND_DN": SERVICE,
        "OBS_LDAP_BIND_PASSWORD": SERVICE_PASSWORD,
        "OBS_LDAP_PEOPLE": f"ou=people,{BASE}",
        "OBS_LDAP_GROUPS": f"ou=groups,{BASE}",
    }


def realm_variables() -> set[str]:
    """Variables of the environment that the realm file needs."""
    return set(re.findall(r"\$\{(\w+)\}", REALM_FILE.read_text()))


def realm(variables: Mapping[str, str]) -> dict[str, Any]:
    """Content of the realm file as Keycloak reads it in that environment."""
    content: dict[str, Any] = json.loads(
        re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], REALM_FILE.read_text())
    )
    return content


@contextmanager
def keycloak_process(
    folder: Path, variables: Mapping[str, str], directory: DirectoryServer
) -> Iterator[KeycloakProcess]:
    """Run Keycloak until the block ends.

    Args:
        folder: For its files.
        variables: What the realm file asks of the environment, passwords among them.
        directory: Where its people are.
    """
    assert set(variables) == realm_variables(), set(variables) ^ realm_variables()
    write_certificates(folder)
    port, password = free_port(), secrets.token_urlsafe(24)
    url = f"https://localhost:{port}"
    home = _home(folder, port, directory.ca_file)
    environment = {
        **variables,
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        "JAVA_OPTS_APPEND": _JAVA,
    }
    command = [str(home / "bin" / "kc.sh"), "start", "--optimized", "--import-realm"]
    with running(command, folder / "keycloak.log", port, variables=environment) as process:
        started = KeycloakProcess(folder, url, process, password)
        ready = f"{started.issuer}/.well-known/openid-configuration"
        eventually(lambda: answers(ready, verify=str(started.ca)), 60, f"the realm {REALM} answers:\n{started.log}")
        yield started


def _home(folder: Path, port: int, directory_authority: Path) -> Path:
    """A home of its own around the programs in the cache, since Keycloak keeps settings and imports there."""
    home, programs = folder / "home", tools.server_home(KEYCLOAK)
    for name in ("bin", "conf", "data/import"):
        (home / name).mkdir(parents=True)
    for name in ("lib", "providers", "themes"):
        (home / name).symlink_to(programs / name)
    shutil.copy(programs / "bin" / "kc.sh", home / "bin")
    shutil.copy(REALM_FILE, home / "data" / "import")
    settings = {
        "hostname": f"https://localhost:{port}",
        "http-host": "127.0.0.1",
        "http-enabled": "false",
        "https-port": str(port),
        "https-certificate-file": str(folder / "tls.crt"),
        "https-certificate-key-file": str(folder / "tls.key"),
        "truststore-paths": str(directory_authority),
        "cache": "local",
    }
    (home / "conf" / "keycloak.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return home


def shows_form(page: requests.Response) -> bool:
    """Whether a page is Keycloak's login form."""
    return _FORM.search(page.text) is not None


def fill_form(
    browser: requests.Session, page: requests.Response, name: str, password: str, *, follow: bool = True
) -> requests.Response:
    """Fill Keycloak's login form in and send it, as a browser does.

    Args:
        browser: With the cookies of the page.
        page: The form.
        name: Login name.
        password: Password.
        follow: Whether to follow where Keycloak sends the browser then.
    """
    form = _FORM.search(page.text)
    assert form is not None, f"no login form at {page.url} ({page.status_code}): {page.text[:2000]}"
    fields = {"username": name, "password": password, "credentialId": ""}
    return browser.post(html.unescape(form[1]), data=fields, timeout=_TIMEOUT_S, allow_redirects=follow)


def agree(browser: requests.Session, page: requests.Response) -> requests.Response:
    """Say yes where Keycloak asks whether a program may act for somebody."""
    form = re.search(r'<form [^>]*?action="([^"]*/consent[^"]*)"', page.text)
    code = re.search(r'name="code" value="([^"]*)"', page.text)
    assert form is not None, f"nothing to agree to at {page.url} ({page.status_code})"
    assert code is not None, f"nothing to agree to at {page.url} ({page.status_code})"
    fields = {"code": code[1], "accept": "Yes"}
    return browser.post(urljoin(page.url, html.unescape(form[1])), data=fields, timeout=_TIMEOUT_S)
