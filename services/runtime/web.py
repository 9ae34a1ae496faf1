"""What every program answers: ``/metrics`` behind a password, and the probes."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def allowed(header: str, user: str, password: str) -> bool:
    """Tell whether a Basic ``Authorization`` header holds the user and password; takes the same time either way."""
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        given = b""
    right = hmac.compare_digest(given, f"{user}:{password}".encode())
    return right and scheme.lower() == "basic" and password != ""


def application(
    registry: CollectorRegistry,
    user: str,
    password_file: Path,
    alive: Callable[[], bool],
    ready: Callable[[], bool] | None = None,
) -> WSGIApplication:
    """The program's application: ``/livez`` and ``/readyz`` for probes, ``/metrics`` with the password.

    Args:
        registry: What ``/metrics`` shows.
        user: Who may read it.
        password_file: File with the password.
        alive: Whether the program still works; else Kubernetes starts it again.
        ready: Whether it may be used; None: as long as it is alive.
    """
    metrics: Any = make_wsgi_app(registry)

    def answer(start: StartResponse, status: str, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
        body = text.encode() + b"\n"
        start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers])
        return [body]

    def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return answer(start, "405 Method Not Allowed", "only GET", ("Allow", "GET, HEAD"))
        if path == "/livez":
            return answer(start, "200 OK", "ok") if alive() else answer(start, "503 Service Unavailable", "stuck")
        if path == "/readyz":
            usable = (ready or alive)()
            return answer(start, "200 OK", "ok") if usable else answer(start, "503 Service Unavailable", "not yet")
        if path != "/metrics":
            return answer(start, "404 Not Found", "try /metrics")
        try:
            password = password_file.read_text().strip()
        except OSError:
            return answer(start, "503 Service Unavailable", "the password file cannot be read")
        if not allowed(environ.get("HTTP_AUTHORIZATION", ""), user, password):
            return answer(
                start, "401 Unauthorized", "user and password, please", ("WWW-Authenticate", 'Basic realm="metrics"')
            )
        response: Iterable[bytes] = metrics(environ, start)
        return response

    return serve
