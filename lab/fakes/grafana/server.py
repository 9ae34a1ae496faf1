"""HTTPS with connections that stay open for the next request, and a limit to how many there are."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from wsgiref.headers import Headers
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

from services.common.web import HttpsServer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_CONNECTIONS: Final = 400
_HANDSHAKE_S: Final = 10.0
_IDLE_S: Final = 60.0
_LONGEST_LINE: Final = 65_536
_MOST_DRAINED: Final = 8 * 1024 * 1024
_PIECE: Final = 65_536
_LOOK_S: Final = 0.05


class _Body:
    """A request's body and nothing behind it."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream, self.left = stream, length

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        piece: bytes = self._stream.read(wanted) if wanted else b""
        self.left = self.left - len(piece) if len(piece) == wanted else 0
        return piece


class _Answering(ServerHandler):
    http_version = "1.1"
    server_software = "grafana-fake"
    os_environ: dict[str, str] = {}
    headers: Headers

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if self.request_handler.close_connection:  # type: ignore[attr-defined]
            self.headers["Connection"] = "close"

    def log_exception(self, exc_info: Any) -> None:
        print(f"grafana-fake: a request failed: {exc_info[0].__name__}", file=sys.stderr, flush=True)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    wbufsize = _PIECE
    disable_nagle_algorithm = True
    server: KeepAliveServer

    def setup(self) -> None:
        # Here, in the connection's own thread: a silent peer must not hold the others up.
        self.request.settimeout(_HANDSHAKE_S)
        self.request.do_handshake()
        super().setup()

    def handle(self) -> None:
        self.close_connection = False
        while not self.close_connection:
            self._one()

    def _one(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
        if not self.raw_requestline:
            return
        if len(self.raw_requestline) > _LONGEST_LINE:
            self.requestline, self.request_version, self.command = "", "", ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        length = self.headers.get("content-length", "0")
        if self.headers.get("transfer-encoding") or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self.send_error(411)
            return
        if self.request_version != "HTTP/1.1" or self.server.ending:
            self.close_connection = True
        body = _Body(self.rfile, int(length))
        answering = _Answering(body, self.wfile, sys.stderr, self.get_environ(), multithread=True)  # type: ignore[arg-type]
        answering.request_handler = self  # type: ignore[attr-defined]
        with self.server.busy:
            answering.run(self.server.get_app())  # type: ignore[arg-type]
        if body.left > _MOST_DRAINED:
            self.close_connection = True
        while body.left and not self.close_connection:
            body.read(_PIECE)

    def version_string(self) -> str:
        return "grafana-fake"

    def log_message(self, format: str, *args: Any) -> None:
        """The application logs what is worth it."""


class _Busy:
    """How many requests are being answered."""

    def __init__(self) -> None:
        self._lock, self.count = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.count -= 1


class KeepAliveServer(HttpsServer):
    """HTTP/1.1 over TLS, a thread for each connection, certificates renewed without a restart."""

    program = "grafana-fake"
    request_queue_size = 128
    ending = False
    """Whether connections end with their next answer."""

    def __init__(self, host: str, port: int, cert_file: Path, key_file: Path, app: WSGIApplication) -> None:
        """Listen on ``host:port`` with the certificate (chain) and key of the files.

        Raises:
            OSError: The address is taken, or the files are not there or do not fit together.
        """
        self.busy = _Busy()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(host, port, cert_file, key_file, app)
        self.RequestHandlerClass = _Handler

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, while there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread could be started.
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def end(self, patience_s: float) -> None:
        """Take no more connections, and wait ``patience_s`` seconds at most for answers that are under way."""
        self.ending = True
        self.shutdown()
        self.server_close()
        deadline = time.monotonic() + patience_s
        while self.busy.count and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
