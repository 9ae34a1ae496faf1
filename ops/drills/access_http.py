"""Tries at HTTP servers: every login at every server, also nobody and a wrong password."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import requests

from ops.core.errors import one_line
from ops.drills.access_tries import Answer, Try
from ops.permissions.model import HttpServer
from ops.permissions.passwords import Passwords

PART: Final = "HTTP"
TIMEOUT: Final = (5.0, 20.0)
"""Seconds to connect, and to wait for an answer."""
_REFUSED: Final = (401, 403)
_SERVER_ERROR: Final = 500
_EMPTY: Final = b"{}"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user with its password, and the servers that know both; the password never shows."""

    user: str
    password: str
    servers: frozenset[str]

    @property
    def name(self) -> str:
        """The user, and one of its servers: several servers have a user ``reader``, each with its own password."""
        return f"{self.user} of {min(self.servers)}"

    def __repr__(self) -> str:
        return f"Login({self.name})"


def logins(servers: Sequence[HttpServer], passwords: Passwords) -> tuple[list[Login], list[str]]:
    """Every login once, and users whose password is not known, as ``user of server``."""
    places: dict[tuple[str, str], set[str]] = {}
    unknown: list[str] = []
    for server in servers:
        for user in server.users:
            password = passwords.of(user.name, user.verifier)
            if password is None:
                unknown.append(f"{user.name} of {server.label}")
            else:
                places.setdefault((user.name, password), set()).add(server.label)
    unique = [
        Login(user=user, password=password, servers=frozenset(labels))
        for (user, password), labels in sorted(places.items())
    ]
    return unique, unknown


def tries(server: HttpServer, url: str, ca_file: str, known: Sequence[Login], control: bool = True) -> Iterator[Try]:
    """Every login at one server.

    Args:
        server: Which one.
        url: Its base address, without a path.
        ca_file: Authority of its certificate.
        known: Every login.
        control: Whether its own users are let in wherever this server asks for them; the search cluster is tried by
            a part of its own.
    """
    with requests.Session() as session:
        session.trust_env, session.verify = False, ca_file
        # `auth` None would let the session look for a login elsewhere.
        nobody = Login(user="", password="", servers=frozenset({"nobody"}))
        yield _try(session, server, url, nobody, "nobody")
        for login in known:
            inside = server.label in login.servers
            if not inside or control:
                yield _try(session, server, url, login, login.name)
            if inside:
                wrong = Login(user=login.user, password=f"{login.password}x", servers=frozenset({"nobody"}))
                yield _try(session, server, url, wrong, f"{login.name}, wrong password")


def _try(session: requests.Session, server: HttpServer, url: str, login: Login, name: str) -> Try:
    answer, said = Answer.UNCLEAR, ""
    try:
        with session.request(
            server.method,
            url + server.path,
            auth=(login.user, login.password) if login.user else None,
            data=_EMPTY if server.method == "POST" else None,
            headers={"Content-Type": "application/json"},
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
        if status in _REFUSED:
            answer = Answer.REFUSED
        elif status < _SERVER_ERROR:
            answer = Answer.LET_IN
        else:
            said = f"HTTP {status}"
    except requests.RequestException as error:
        said = one_line(f"{type(error).__name__}: {error}")
    return Try(
        part=PART,
        login=name,
        what=f"{server.method} {server.label}",
        allowed=server.label in login.servers,
        answer=answer,
        said=said,
    )
