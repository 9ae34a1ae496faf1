"""Proves who somebody is (local account or directory, with a block after wrong passwords and a line in the log), and
the routes and the page that do it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from lab.fakes.grafana import VERSION, exchange, users
from lab.fakes.grafana.database import Database, Row
from lab.fakes.grafana.directory import (
    Directories,
    DirectoryAwayError,
    NoRoleError,
    NotThereError,
    WrongPasswordError,
)
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told, unauthorized
from lab.fakes.grafana.settings import LoginSettings
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Attempts, Sessions, User

FORM: Final = "auth.client.form"
BASIC: Final = "auth.client.basic"
_MESSAGE: Final = "Invalid username or password"


class _RefusedLoginError(Exception):
    def __init__(self, reason: str, message_id: str = "password-auth.failed", *, guess: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.message_id, self.guess = reason, message_id, guess


class Authenticator:
    """Checks passwords."""

    def __init__(
        self, settings: LoginSettings, database: Database, directories: Directories | None, log: Log, metrics: Metrics
    ) -> None:
        """Look into ``database`` first, then into ``directories``."""
        self._settings, self._database, self._directories = settings, database, directories
        self._attempts = Attempts(settings)
        self._log, self._metrics = log, metrics

    def prove(self, name: str, password: str, remote: str, client: str, path: str) -> User:
        """Tell who that is.

        Args:
            name: Login or mail address.
            password: Password.
            remote: Address of the client.
            client: `FORM` or `BASIC`.
            path: Path of the request, for the log.

        Raises:
            RefusedError: 401; the reason is in the log only.
            DatabaseAwayError: The database cannot be asked.
        """
        seen = name[:190]
        try:
            person = self._prove(name, password)
        except _RefusedLoginError as error:
            if error.guess:
                with self._database.reading() as db:
                    self._attempts.wrong(db, name, remote)
            self._metrics.failed_login(client)
            self._log.warn(
                "authn.service",
                "Login refused",
                client=client,
                uname=seen,
                userId=0,
                reason=error.reason,
                method="POST" if client == FORM else "",
                path=path,
                status=int(HTTPStatus.UNAUTHORIZED),
                remote_addr=remote,
            )
            raise self._answer(error) from None
        self._metrics.login(client)
        if client == FORM:
            self._log.info(
                "authn.service",
                "Login accepted",
                client=client,
                uname=person.login,
                userId=person.id,
                role=person.role,
                source=person.source,
                method="POST",
                path=path,
                status=int(HTTPStatus.OK),
                remote_addr=remote,
            )
        return person

    def _answer(self, error: _RefusedLoginError) -> RefusedError:
        return unauthorized(_MESSAGE, error.message_id)

    def _prove(self, name: str, password: str) -> User:
        if "\0" in name or not name.strip() or not password:
            raise _RefusedLoginError("name or password is empty", "password-auth.empty", guess=False)
        with self._database.reading() as db:
            if self._attempts.blocked(db, name):
                raise _RefusedLoginError("blocked after too many wrong passwords", "login-attempt.blocked", guess=False)
            account = users.find(db, name)
        person = _local(account, password) if account else None
        if person is None:
            person = self._in_directory(name, password, account)
        with self._database.reading() as db:
            self._attempts.right(db, name)
            db.execute("UPDATE users SET seen = now() WHERE id = %s", (person.id,))
        return person

    def _in_directory(self, name: str, password: str, account: Row | None) -> User:
        if self._directories is None:
            raise _RefusedLoginError("no such account")
        try:
            # People are found by login in the directory, whatever they typed.
            login = self._directories.login(account["login"] if account else name, password)
        except NotThereError:
            if account and account["source"] == users.LDAP:
                with self._database.writing() as db:
                    users.disable(db, account["id"])
                raise _RefusedLoginError("no longer in the directory: the account is disabled") from None
            raise _RefusedLoginError("not in the directory") from None
        except WrongPasswordError:
            raise _RefusedLoginError("wrong password") from None
        except NoRoleError:
            if account:
                with self._database.writing() as db:
                    db.execute("DELETE FROM sessions WHERE person_id = %s", (account["id"],))
            raise _RefusedLoginError("in no group that gives a role") from None
        except DirectoryAwayError as error:
            raise _RefusedLoginError(f"the directory cannot be asked: {error}", guess=False) from None
        with self._database.writing() as db:
            person = users.synchronize(db, login, sign_up=self._settings.sign_up)
        if person is None:
            raise _RefusedLoginError("has no account, and none may be made", guess=False)
        return person


def _local(account: Row, password: str) -> User | None:
    """Who has a local account with that password; none: the directory may know."""
    if account["source"] != users.LOCAL:
        return None
    if users.matches(password, account["password_hash"]):
        if account["disabled"]:
            raise _RefusedLoginError("the account is disabled", guess=False)
        return users.of_row(account)
    if account["server_admin"]:
        raise _RefusedLoginError("wrong password")
    return None


class LoginRoutes:
    """The way in and out."""

    def __init__(self, database: Database, authenticator: Authenticator, sessions: Sessions, log: Log) -> None:
        """Prove people by ``authenticator`` and give them ``sessions``."""
        self._database, self._authenticator, self._sessions, self._log = database, authenticator, sessions, log

    def routes(self) -> list[Route]:
        """Its routes."""
        routes = [
            Route(method="GET", path="/healthz", need=Need.NOBODY, handle=_alive),
            Route(method="GET", path="/api/health", need=Need.NOBODY, handle=self._health),
            Route(method="GET", path="/login", need=Need.NOBODY, handle=_login_page),
            Route(method="POST", path="/login", need=Need.NOBODY, handle=self._log_in),
            Route(method="GET", path="/logout", need=Need.NOBODY, handle=self._log_out),
            Route(method="GET", path="/api/login/ping", need=Need.PERSON, handle=_ping),
        ]
        for method in ("GET", "POST", "DELETE"):
            for path in (
                "/api/snapshots",
                "/api/snapshots/{rest*}",
                "/api/dashboard/snapshots",
                "/api/snapshots-delete/{key}",
            ):
                routes.append(Route(method=method, path=path, need=Need.PERSON, handle=_no_snapshots))
        return routes

    def _health(self, request: Request) -> Answer:
        healthy = self._database.healthy()
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        state = "ok" if healthy else "failing"
        return told({"database": state, "version": VERSION, "commit": "fake"}, status)

    def _log_in(self, request: Request) -> Answer:
        form = "x-www-form-urlencoded" in request.headers.get("content-type", "")
        content = dict(parse_qsl(request.body.decode("utf-8", "replace"))) if form else request.content()
        name, password = exchange.text(content, "user"), exchange.text(content, "password")
        try:
            person = self._authenticator.prove(name, password, request.remote, FORM, request.path)
        except RefusedError as error:
            if not form:
                raise
            return _form(str(error), error.status)
        with self._database.writing() as db:
            cookie = self._sessions.start(db, person, request.remote)
        if form:
            return Answer(status=HTTPStatus.SEE_OTHER, headers=(("Location", "/"), ("Set-Cookie", cookie)))
        return told({"message": "Logged in", "redirectUrl": "/"}).plus(("Set-Cookie", cookie))

    def _log_out(self, request: Request) -> Answer:
        cookies = request.headers.get("cookie", "")
        with self._database.writing() as db:
            person = self._sessions.person(db, cookies)
            cookie = self._sessions.end(db, cookies)
        if person:
            self._log.info(
                "authn.service",
                "Logged out",
                uname=person.login,
                userId=person.id,
                method=request.method,
                path=request.path,
                status=int(HTTPStatus.FOUND),
                remote_addr=request.remote,
            )
        return Answer(status=HTTPStatus.FOUND, headers=(("Location", "/login"), ("Set-Cookie", cookie)))


def _alive(request: Request) -> Answer:
    return Answer(body=b"Ok", headers=(("Content-Type", "text/plain; charset=utf-8"),))


def _ping(request: Request) -> Answer:
    return told({"message": "Logged in"})


def _login_page(request: Request) -> Answer:
    return _form()


def _form(problem: str = "", status: int = HTTPStatus.OK) -> Answer:
    return exchange.page("login.html.j2", status, title="Log in", problem=problem)


def _no_snapshots(request: Request) -> Answer:
    raise RefusedError(HTTPStatus.FORBIDDEN, "Dashboard Snapshots are disabled")
