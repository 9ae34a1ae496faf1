"""HTTPS with a password for ``/metrics``; certificates and the password are read again when they are renewed."""

from __future__ import annotations

import base64
import hmac
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_CONNECTION_LIMIT_S = 10.0


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
    """Return the service's application: ``/healthz`` and ``/readyz`` for probes, ``/metrics`` with the password."""
    metrics: Any = make_wsgi_app(registry)

    def answer(start: StartResponse, status: str, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
        start(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
        return [text.encode() + b"\n"]

    def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return answer(start, "405 Method Not Allowed", "only GET", ("Allow", "GET, HEAD"))
        if path == "/healthz":
            return answer(start, "200 OK", "ok") if alive() else answer(start, "503 Service Unavailable", "stuck")
        if path == "/readyz" and ready is not None:
            return answer(start, "200 OK", "ok") if ready() else answer(start, "503 Service Unavailable", "not yet")
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


class _Handler(WSGIRequestHandler):
    timeout = _CONNECTION_LIMIT_S

    def setup(self) -> None:
        # Here, in the connection's own thread: a silent peer must not hold the others up.
        self.request.settimeout(_CONNECTION_LIMIT_S)
        self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scrapes are no news."""


class HttpsServer(ThreadingMixIn, WSGIServer):
    """A WSGI server behind TLS that takes up renewed certificates without a restart."""

    daemon_threads = True
    block_on_close = False
    program = "service"
    """Name in front of what it tells."""

    def __init__(self, host: str, port: int, cert_file: Path, key_file: Path, app: WSGIApplication) -> None:
        """Listen on ``host:port`` with the certificate (chain) and key of the files.

        Raises:
            OSError: The address is taken, or the files are not there or do not fit together.
        """
        self._files = (cert_file, key_file)
        self._seen = self._stamp()
        self._context = self._load()
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        """Bind without the base class' reverse lookup of the own name, which may wait for DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection with the certificate that is in the files now."""
        connection, address = super().get_request()
        self._renew()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Port scans, probes that hang up and clients without our CA are everyday; anything else is told in a line."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(f"{self.program}: a request failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((file.stat().st_mtime_ns, file.stat().st_ino) for file in self._files)

    def _load(self) -> ssl.SSLContext:
        # A new context each time: a failed load leaves certificate and key of the one in use unmatched.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        return context

    def _renew(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._context, self._seen = self._load(), stamp
        except OSError as error:
            # Half renewed: the next connection tries again, this one gets the certificate in use.
            print(f"{self.program}: the renewed certificate cannot be used yet: {error}", file=sys.stderr, flush=True)
