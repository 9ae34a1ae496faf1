"""A client of Grafana's HTTP API, as one visitor: somebody with a session, with Basic auth, or nobody.

Every visitor has connections and cookies of his own, so that nobody is let in by the session of somebody else. Checks
and load tests have accounts of the directory, one for each role.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from ops.core import files
from ops.core.errors import OpsError, one_line
from ops.core.platform import Login, Platform
from ops.core.web import Web

TEST_ACCOUNTS_FILE = "OBS_TEST_ACCOUNTS_FILE"
"""Environment variable that names the file of `Credentials`."""


CREDENTIALS_FORM = (
    'must be {"viewer": {"username": "...", "password": "..."}, "editor": ..., "admin": ..., "outsider": ...}'
)


class Credentials(BaseModel):
    """Accounts of the directory for checks, one for each role; in a file, as JSON.

    Attributes:
        viewer: In the group of those who may look.
        editor: In the group of those who may change dashboards.
        admin: In the group of those who may change permissions.
        outsider: In the directory, and in none of these groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    viewer: Login
    editor: Login
    admin: Login
    outsider: Login

    @property
    def inside(self) -> tuple[Login, ...]:
        """Those who get in."""
        return self.viewer, self.editor, self.admin


def read_credentials(path: Path) -> Credentials:
    """Read the accounts.

    Raises:
        OpsError: The file cannot be read or is none of this kind.
    """
    return files.read_json(Credentials, path, form=CREDENTIALS_FORM)


def known_credentials(environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Accounts of the file that the environment names, or nothing where it names none."""
    path = (os.environ if environment is None else environment).get(TEST_ACCOUNTS_FILE)
    return read_credentials(Path(path)) if path else None


WORKLOAD = "grafana"
PORT = 3000
REPLICAS = 2
METRICS = "metrics"
"""Uid of the data source that is the read address of metrics."""
COOKIE = "grafana_session"


class Grafana:
    """One visitor at one address.

    Args:
        ca_file: Authority of the platform.
        url: Base address: of the load balancer, or of one replica through a tunnel.
        auth: Name and password that go with every request (Basic auth), if any.
        session: Value of the session's cookie, if there is one.
    """

    def __init__(self, ca_file: str, url: str, *, auth: tuple[str, str] | None = None, session: str = "") -> None:
        self._ca_file, self.url, self._auth, self.session = ca_file, url.rstrip("/"), auth, session
        self._web = Web(ca_file, lambda _: "Grafana")

    @classmethod
    def sign_in(cls, ca_file: str, url: str, login: tuple[str, str]) -> Grafana:
        """Fill the login form in; the visitor has a session then.

        Raises:
            OpsError: The login is refused, or there is no answer.
        """
        with cls(ca_file, url) as stranger:
            status, session = stranger.log_in(login), stranger.session
        if status != 200:
            raise OpsError(f"Grafana answers {status} to the login of {login[0]}")
        if not session:
            raise OpsError(f"Grafana takes the login of {login[0]} and gives no session")
        return cls(ca_file, url, session=session)

    def log_in(self, login: tuple[str, str]) -> int:
        """Fill the login form in; the status of the answer. A session that it gives is used from now on."""
        user, password = login
        with self.call("POST", "/login", body={"user": user, "password": password}) as response:
            if response.status_code == 200:
                self.session = response.cookies.get(COOKIE) or ""
            return response.status_code

    def at(self, url: str) -> Grafana:
        """The same person at another address, with the same session, over connections of its own."""
        return Grafana(self._ca_file, url, auth=self._auth, session=self.session)

    def call(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str] | None = None
    ) -> requests.Response:
        """One request; whatever the answer is.

        Raises:
            OpsError: There was none.
        """
        headers = {"Accept": "application/json"}
        if self.session:
            # A header of ours goes before the cookies that the connection keeps.
            headers["Cookie"] = f"{COOKIE}={self.session}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._web.call(
            method,
            f"{self.url}{path}",
            auth=self._auth,
            data=None if body is None else json.dumps(body).encode(),
            params=params,
            headers=headers,
        )

    def status(self, method: str, path: str, body: object = None) -> int:
        """Status of an answer whose content does not matter."""
        with self.call(method, path, body=body) as response:
            return response.status_code

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Content of a thing.

        Raises:
            OpsError: It is refused, is not there, or is no JSON.
        """
        return self._content("GET", path, self.call("GET", path, params=params))

    def send(self, method: str, path: str, body: object) -> Any:
        """Change something; what Grafana says about it.

        Raises:
            OpsError: It is refused, or the answer is no JSON.
        """
        return self._content(method, path, self.call(method, path, body=body))

    def close(self) -> None:
        """Close the connections; the session stays."""
        self._web.close()

    def __enter__(self) -> Grafana:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _content(self, method: str, path: str, response: requests.Response) -> Any:
        with response:
            if response.status_code != 200:
                raise OpsError(f"Grafana answers {response.status_code} to {method} {path}: {_said(response)}")
            try:
                return response.json()
            except ValueError:
                raise OpsError(f"Grafana's answer to {method} {path} is no JSON") from None


def address(platform: Platform) -> str:
    """Where people reach Grafana.

    Raises:
        OpsError: The stack has none.
    """
    if not platform.grafana_url:
        raise OpsError("the stack has no Grafana: bring up a version of the platform that has it")
    return platform.grafana_url


def administrator(platform: Platform) -> tuple[str, str]:
    """Name and password of the account that makes the content.

    Raises:
        OpsError: The stack has none.
    """
    if platform.grafana_admin is None:
        raise OpsError("the stack has no administrator of Grafana: bring up a version of the platform that has Grafana")
    return platform.grafana_admin.pair


def _said(response: requests.Response) -> str:
    try:
        content = response.json()
    except ValueError:
        return one_line(response.text, 120)
    return one_line(content.get("message", "") if isinstance(content, dict) else content, 120)


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels of a dashboard in Grafana's form, without the headings of rows."""
    panels: list[dict[str, Any]] = []
    for panel in dashboard.get("panels") or []:
        panels += (panel.get("panels") or []) if panel.get("type") == "row" else [panel]
    return panels
