"""``/login``, ``/logout``, ``/api/health`` and the plain pages in place of Grafana's own."""

from __future__ import annotations

import html
from http import HTTPStatus
from urllib.parse import parse_qsl

from lab.fakes.grafana import VERSION, naming
from lab.fakes.grafana.access import VIEW, access_of
from lab.fakes.grafana.audit import Log
from lab.fakes.grafana.dashboards import allowed_dashboard
from lab.fakes.grafana.database import Database
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.login import FORM, Authenticator
from lab.fakes.grafana.sessions import Sessions

_FORM = (
    '<form method="post" action="/login"><label>Name <input name="user" autocomplete="username" required></label> '
    '<label>Password <input name="password" type="password" autocomplete="current-password" required></label> '
    "<button>Log in</button></form>"
)


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
            Route(method="GET", path="/", need=Need.PERSON, handle=_home),
            Route(method="GET", path="/d/{uid}", need=Need.PERSON, handle=self._page),
            Route(method="GET", path="/d/{uid}/{slug*}", need=Need.PERSON, handle=self._page),
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
        name, password = naming.text(content, "user"), naming.text(content, "password")
        person = self._authenticator.prove(name, password, request.remote, FORM, request.path)
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

    def _page(self, request: Request) -> Answer:
        with self._database.reading() as db:
            row = allowed_dashboard(db, access_of(db, request.person), request.places["uid"], VIEW, "dashboards:read")
        return _page_of(row["title"], f"<p>Its content: <a href='/api/dashboards/uid/{row['uid']}'>JSON</a></p>")


def _alive(request: Request) -> Answer:
    return Answer(body=b"Ok", headers=(("Content-Type", "text/plain; charset=utf-8"),))


def _ping(request: Request) -> Answer:
    return told({"message": "Logged in"})


def _login_page(request: Request) -> Answer:
    return _page_of("Log in", _FORM)


def _home(request: Request) -> Answer:
    return _page_of("Home", f"<p>Signed in as {html.escape(request.person.login)}.</p>")


def _no_snapshots(request: Request) -> Answer:
    raise RefusedError(HTTPStatus.FORBIDDEN, "Dashboard Snapshots are disabled")


def _page_of(title: str, body: str) -> Answer:
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1>{body}"
        "<p>This is the platform's fake of Grafana: its interface, not its pages.</p></html>"
    )
    return Answer(body=page.encode(), headers=(("Content-Type", "text/html; charset=utf-8"),))
