"""The WSGI application: who asks, whether they may, the answer, and what is counted and logged about it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from lab.fakes.grafana.database import Database, DatabaseAwayError
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
from lab.fakes.grafana.login import BASIC, Authenticator
from lab.fakes.grafana.settings import Settings
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Sessions, User
from services.runtime.serving import allowed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_BODY_LIMIT: Final = 4 * 1024 * 1024
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_METRICS: Final = "/metrics"


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
        headers = [*answer.headers, *self._headers, ("Content-Length", str(len(answer.body)))]
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
            size=len(answer.body),
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
