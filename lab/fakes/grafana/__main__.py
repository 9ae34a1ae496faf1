"""Starts the fake like Grafana, serves its HTTP interface, and ends it.

The WSGI application decides who asks and whether they may, and counts and logs each answer.

Runs as ``python3 -m lab.fakes.grafana server --homepath=DIR --config=FILE``.
"""

from __future__ import annotations

import argparse
import base64
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from lab.fakes.grafana import VERSION, directory, settings, sources, users
from lab.fakes.grafana.accounts import Accounts, Preferences, Teams
from lab.fakes.grafana.dashboards import Dashboards, Search
from lab.fakes.grafana.database import Database, DatabaseAwayError
from lab.fakes.grafana.directory import Directories
from lab.fakes.grafana.exchange import (
    Answer,
    Need,
    RefusedError,
    Request,
    Route,
    Router,
    denied,
    told,
    unauthorized,
)
from lab.fakes.grafana.folders import Folders
from lab.fakes.grafana.login import BASIC, Authenticator, LoginRoutes
from lab.fakes.grafana.pages import Pages
from lab.fakes.grafana.permissions import Permissions
from lab.fakes.grafana.proxy import Proxy, Sources
from lab.fakes.grafana.queries import Queries, Variables
from lab.fakes.grafana.settings import Ini, Settings, SettingsError
from lab.fakes.grafana.sources import Source
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Sessions, User
from services.runtime.https import HttpsServer, Limits
from services.runtime.serving import allowed, wait_for_stop

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_BODY_LIMIT: Final = 4 * 1024 * 1024
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_METRICS: Final = "/metrics"
_PATIENCE_S: Final = 60.0
_ENDING_S: Final = 10.0
_LIMITS = Limits(
    connections=400,
    threads=64,
    header_bytes=64 * 1024,
    idle_s=60.0,
    read_s=60.0,
    keep_alive=True,
)


class Application:
    """Answers requests."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        database: Database,
        authenticator: Authenticator,
        sessions: Sessions,
        log: Log,
        metrics: Metrics,
    ) -> None:
        """Answer by the routes of ``router``."""
        self._settings, self._router, self._database = settings, router, database
        self._authenticator, self._sessions, self._log, self._metrics = authenticator, sessions, log, metrics
        self._headers = _safe_headers(settings)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request, as WSGI has it."""
        began = time.monotonic()
        request = _request(environ)
        match = self._router.find(request.method, request.path)
        handler = match[0].handler if match else "notfound"
        counted = request.path != _METRICS
        if counted:
            self._metrics.begin()
        answer = Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            request, answer = self._answer(request, environ, match)
        finally:
            took = time.monotonic() - began
            if counted:
                self._metrics.end(handler, request.method, answer.status, took)
        self._tell(request, answer, took, match[0] if match else None)
        own = {name for name, _ in answer.headers}
        safe = [(name, value) for name, value in self._headers if name not in own]
        headers = [*answer.headers, *safe, ("Content-Length", str(len(answer.body)))]
        if answer.status == HTTPStatus.UNAUTHORIZED and not request.path.startswith("/login"):
            headers.append(("WWW-Authenticate", 'Basic realm="grafana"'))
        start(f"{answer.status} {_phrase(answer.status)}", headers)
        return [b"" if request.method == "HEAD" else answer.body]

    def _answer(
        self, request: Request, environ: WSGIEnvironment, match: tuple[Route, dict[str, str]] | None
    ) -> tuple[Request, Answer]:
        try:
            if request.path == _METRICS and self._settings.metrics:
                return request, self._own_metrics(request)
            if match is None:
                return request, told({"message": "Not found"}, HTTPStatus.NOT_FOUND)
            route, places = match
            self._check_origin(request)
            request = replace(request, places=places, body=_body(environ))
            if route.need is not Need.NOBODY:
                request = replace(request, who=self._who(request))
                _check(route, request.who)
            return request, route.handle(request)
        except RefusedError as error:
            page = not request.path.startswith(("/api", _METRICS))
            if page and error.status == HTTPStatus.UNAUTHORIZED and request.method in _SAFE_METHODS:
                return request, Answer(status=HTTPStatus.FOUND, headers=(("Location", "/login"),))
            return request, told(error.body, error.status)
        except DatabaseAwayError as error:
            self._log.error("sqlstore", "The database cannot be asked", reason=str(error), path=request.path)
            return request, told({"message": "the database cannot be asked"}, HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception as error:
            # The kind only: a text might hold somebody's data.
            self._log.error(
                "context", "Request failed", kind=type(error).__name__, path=request.path, where=_where(error)
            )
            return request, told({"message": "Internal server error"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _own_metrics(self, request: Request) -> Answer:
        header = request.headers.get("authorization", "")
        if not allowed(header, self._settings.metrics_user, self._settings.metrics_password):
            raise unauthorized()
        return Answer(
            body=self._metrics.text(), headers=(("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
        )

    def _who(self, request: Request) -> User | None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic" and self._settings.login.basic:
            try:
                name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
            except ValueError:
                raise unauthorized("Invalid Basic Auth Header", "basic-auth.invalid-header") from None
            return self._authenticator.prove(name, password, request.remote, BASIC, request.path)
        cookies = request.headers.get("cookie", "")
        if not self._sessions.given(cookies):
            return None
        with self._database.reading() as db:
            return self._sessions.person(db, cookies)

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin", "")
        if request.method in _SAFE_METHODS or not origin:
            return
        host = urlsplit(origin).hostname or ""
        own = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if host != own and host not in self._settings.trusted_origins:
            raise RefusedError(HTTPStatus.FORBIDDEN, "origin not allowed")

    def _tell(self, request: Request, answer: Answer, took: float, route: Route | None) -> None:
        if not (self._settings.log_requests or (route and route.change)) or request.path in ("/healthz", _METRICS):
            return
        self._log.info(
            "context",
            "Request Completed",
            handler=route.handler if route else "notfound",
            method=request.method,
            path=request.path,
            status=int(answer.status),
            remote_addr=request.remote,
            userId=request.who.id if request.who else 0,
            uname=request.who.login if request.who else "",
            orgId=1 if request.who else 0,
            time_ms=round(took * 1000),
            duration=f"{took * 1000:.6f}ms",
            size=len(answer.body),
            referer="",
            status_source="server",
        )


def _check(route: Route, who: User | None) -> None:
    if who is None:
        raise unauthorized()
    wrong = {
        Need.ADMIN: not who.admin,
        Need.SERVER_ADMIN: not who.server_admin,
    }
    if wrong.get(route.need, False):
        raise denied(route.action)


def _request(environ: WSGIEnvironment) -> Request:
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    # WSGI hands the path over as latin-1.
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
    query = environ.get("QUERY_STRING", "")
    return Request(
        method=environ.get("REQUEST_METHOD", ""),
        path=path,
        query=parse_qs(query, keep_blank_values=True),
        raw_query=query,
        headers=headers,
        remote=environ.get("REMOTE_ADDR", ""),
    )


def _body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > _BODY_LIMIT:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {_BODY_LIMIT} bytes")
    body: Any = environ["wsgi.input"].read(int(length)) if length != "0" else b""
    return bytes(body)


def _safe_headers(settings: Settings) -> tuple[tuple[str, str], ...]:
    headers = (
        ("X-Fake", "grafana"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "deny"),
        ("X-XSS-Protection", "1; mode=block"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
    )
    seconds = settings.transport_security_s
    return (*headers, ("Strict-Transport-Security", f"max-age={seconds}")) if seconds else headers


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""


def application(
    read: Settings,
    directories: Directories | None,
    configured_sources: tuple[Source, ...],
    database: Database,
    journal: Log,
) -> Application:
    """Put the parts together."""
    metrics = Metrics()
    metrics.watch(database)
    authenticator = Authenticator(read.login, database, directories, journal, metrics)
    sessions = Sessions(read.login)
    proxy = Proxy(configured_sources, read.proxy_timeout_s, read.proxy_limit, journal, metrics)
    queries = Queries(configured_sources, proxy)
    parts = (
        LoginRoutes(database, authenticator, sessions, journal),
        Accounts(database),
        Preferences(database),
        Teams(database),
        Folders(database),
        Dashboards(database, read.versions_to_keep, read.min_refresh),
        Permissions(database),
        Search(database),
        Sources(configured_sources, proxy),
        queries,
        Pages(database, queries, Variables(configured_sources, proxy)),
    )
    router = Router([route for part in parts for route in part.routes()])
    return Application(read, router, database, authenticator, sessions, journal, metrics)


def serve(config: Path, home: Path, environment: Mapping[str, str], stop: threading.Event, journal: Log) -> None:
    """Serve until ``stop`` is set.

    Raises:
        SettingsError: The files hold something that the fake does not offer.
        DatabaseAwayError: The database stayed away.
        OSError: The address is taken, or the certificate does not fit its key.
    """
    read = settings.load(Ini(config, environment), home)
    file = read.login.directory_file
    directories = Directories(directory.load(file, environment)) if file else None
    configured_sources = sources.load(read.sources, environment)
    sources.check_hosts(configured_sources, read.proxy_hosts)
    database = Database(read.database)
    journal.info(
        "settings",
        "Starting the fake of Grafana",
        version=VERSION,
        config=str(config),
        datasources=len(configured_sources),
    )

    def waiting(reason: str) -> None:
        journal.warn("sqlstore", "The database cannot be asked yet", reason=reason)

    steps = database.migrate(_PATIENCE_S, waiting)
    journal.info("migrator", "Tables are up to date", steps=steps)
    try:
        with database.writing() as db:
            if users.ensure_administrator(db, read.login):
                journal.info("sqlstore", "Administrator was made", uname=read.login.admin_user)
        app = application(read, directories, configured_sources, database, journal)
        server = HttpsServer(
            read.host, read.port, read.cert_file, read.key_file, app, program="grafana-fake", limits=_LIMITS
        )
        server.start()
        journal.info("http.server", "HTTP Server Listen", address=f"{read.host}:{server.server_port}", protocol="https")
        wait_for_stop(stop)
        journal.info("http.server", "Ending")
        server.stop(_ENDING_S)
    finally:
        database.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="grafana", description="Fake of Grafana, started like it.")
    parser.add_argument("command", choices=["server"])
    parser.add_argument("--homepath", "-homepath", type=Path, default=Path("/usr/share/grafana"))
    parser.add_argument("--config", "-config", type=Path, required=True)
    given = parser.parse_args(arguments)
    stop, journal = threading.Event(), Log()
    journal.take_libraries()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(given.config, given.homepath, os.environ, stop, journal)
    except SettingsError as error:
        print(f"grafana-fake: {error}", file=sys.stderr, flush=True)
        return 1
    except DatabaseAwayError as error:
        print(f"grafana-fake: the database cannot be used: {error}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        print(f"grafana-fake: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
