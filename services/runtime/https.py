"""An HTTPS server within limits: threads, connections, sizes, and the time that a client may take.

It serves a WSGI application on cheroot. A connection takes a thread only while it sends a request or gets an answer;
TLS 1.2 is the least, and certificates are taken over when they are renewed.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cheroot import wsgi
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_POLL_S = 0.2
_BACKLOG = 128
_HANDSHAKE_S = 10.0
_DISCARD_S = 2.0
_MOST_DISCARDED = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_PREPARE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What clients may take.

    Attributes:
        connections: Open connections. One too many ends the one that has been silent for the longest time.
        threads: Requests that are read or answered at the same time; others wait.
        header_bytes: Size of a request's headers, its first line included.
        body_bytes: Size of a request's body.
        idle_s: Seconds without a byte after which a connection is closed.
        read_s: Seconds for a whole request, TLS handshake included.
        total_s: Seconds for a request and its answer.
        keep_alive: Whether a connection may bring further requests.
    """

    connections: int = 128
    threads: int = 16
    header_bytes: int = 32 * 1024
    body_bytes: int = 16 * 1024 * 1024
    idle_s: float = 10.0
    read_s: float = 20.0
    total_s: float = 120.0
    keep_alive: bool = False


class HttpsServer:
    """Serves an application, in threads that do not outlive the process.

    Attributes:
        server_port: Port that it listens on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        cert_file: Path,
        key_file: Path,
        app: WSGIApplication,
        *,
        program: str = "service",
        limits: Limits | None = None,
    ) -> None:
        """Listen on ``host:port`` with the certificate (chain) and key of the files.

        Args:
            host: Address.
            port: Port; 0 takes a free one.
            cert_file: Certificate, and the chain to its authority.
            key_file: Its key.
            app: What answers.
            program: Name in front of what is logged, and in the header ``Server``.
            limits: What clients may take.

        Raises:
            OSError: The address is taken, or the files are not there or do not fit together.
        """
        self._server = _Server((host, port), app, _Certificate(cert_file, key_file, program), program, limits)
        try:
            _in_daemon_thread(self._server.prepare)
        except OSError as error:
            raise self._server.bind_error or error from None
        self.server_port = int(self._server.bind_addr[1])

    def start(self) -> None:
        """Serve in threads of its own."""
        threading.Thread(target=self._server.serve, name="https", daemon=True).start()

    def stop(self, patience_s: float = 0.0) -> bool:
        """Take no more connections, and wait ``patience_s`` seconds at most for answers that are under way.

        Returns:
            Whether every request that had begun was answered.
        """
        return self._server.end(patience_s)

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._server.open_connections

    @property
    def busy(self) -> int:
        """Connections whose request is being read or answered."""
        return self._server.busy_connections


class _Socket(ssl.SSLSocket):
    """A connection whose reads and writes end with the time of its request."""

    read_until: float | None = None
    write_until: float | None = None
    idle_s = 10.0

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self._wait_until(self.read_until)
        return super().recv_into(*arguments, **options)

    def send(self, *arguments: Any, **options: Any) -> int:
        self._wait_until(self.write_until)
        return super().send(*arguments, **options)

    def _wait_until(self, deadline: float | None) -> None:
        left = self.idle_s if deadline is None else min(self.idle_s, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)


class _Certificate(Adapter):
    """TLS with the certificate that is in the files now."""

    def __init__(self, cert_file: Path, key_file: Path, program: str) -> None:
        super().__init__(str(cert_file), str(key_file))
        self._files, self._program = (cert_file, key_file), program
        self._seen = self._stamp()
        self._context = self._load()

    def bind(self, sock: Any) -> Any:
        """The listening socket, as it is."""
        return sock

    def wrap(self, sock: Any) -> tuple[Any, dict[str, str]]:
        """Wrap a connection; the handshake comes in its own thread, where a silent peer holds nobody up."""
        self._renew()
        wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self, *_: Any) -> dict[str, str]:
        """What the application learns of TLS."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        """A file of a connection."""
        return MakeFile(sock, mode, bufsize)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((file.stat().st_mtime_ns, file.stat().st_ino) for file in self._files)

    def _load(self) -> ssl.SSLContext:
        # A new context each time: a failed load leaves certificate and key of the one in use unmatched.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _Socket
        context.load_cert_chain(*self._files)
        return context

    def _renew(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._context, self._seen = self._load(), stamp
        except OSError as error:
            # Half renewed: the next connection tries again, this one gets the certificate in use.
            _log(self._program, f"the renewed certificate cannot be used yet: {error}")


class _Request(HTTPRequest):
    """One request, which its connection knows."""

    def __init__(self, server: Any, conn: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(server, conn, *arguments, **options)
        conn.request = self

    @property
    def unread(self) -> int:
        """Bytes of the body that nobody has read."""
        if hasattr(self.rfile, "remaining"):
            return int(self.rfile.remaining)
        try:
            return int(self.inheaders.get(b"Content-Length", 0))
        except ValueError:
            return 0


class _Connection(HTTPConnection):
    """One client."""

    RequestHandlerClass = _Request
    server: _Server
    request: _Request | None = None
    greeted = False
    evicted = False

    def communicate(self) -> bool:
        """Take one request, within its time; tells whether the connection may bring another one."""
        self.server.busy(self)
        try:
            limits, now = self.server.limits, time.monotonic()
            self.socket.read_until, self.socket.write_until = now + limits.read_s, now + limits.total_s
            if not self.greeted:
                self.socket.settimeout(min(_HANDSHAKE_S, limits.read_s))
                try:
                    self.socket.do_handshake()
                except (OSError, ValueError):
                    # Port scans, probes that hang up and clients without our authority are everyday.
                    return False
                self.greeted = True
            if super().communicate():  # type: ignore[no-untyped-call]
                return True
            self._discard()
            return False
        finally:
            self.server.idle(self)

    def _discard(self) -> None:
        """Read what is left of the body, within limits: to hang up on it would hide our answer from its sender."""
        left = min(self.request.unread, _MOST_DISCARDED) if self.request else 0
        self.socket.read_until = time.monotonic() + _DISCARD_S
        with suppress(OSError, ValueError):
            while left > 0 and (part := self.rfile.read1(min(left, _CHUNK))):
                left -= len(part)

    def hang_up(self) -> None:
        """End a connection that waits: the server notices, and closes it."""
        self.evicted = True
        with suppress(OSError):
            # Below TLS, whose state the server still needs.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            self.socket.close()
        finally:
            self.server.closed(self)


class _Server(wsgi.Server):
    """The server of cheroot, with limits that it does not have."""

    ConnectionClass = _Connection
    expiration_interval = _POLL_S

    def __init__(
        self,
        address: tuple[str, int],
        app: WSGIApplication,
        certificate: _Certificate,
        program: str,
        limits: Limits | None,
    ) -> None:
        self.limits, self._program = limits or Limits(), program
        super().__init__(
            address,
            _input_in_parts(app),
            numthreads=self.limits.threads,
            max=self.limits.threads,
            server_name=program,
            request_queue_size=_BACKLOG,
            timeout=round(self.limits.idle_s),
        )
        self.software = program
        self.ssl_adapter = certificate
        self.max_request_header_size = self.limits.header_bytes
        self.max_request_body_size = self.limits.body_bytes
        self.keep_alive_conn_limit = self.limits.connections if self.limits.keep_alive else 0
        self._changed = threading.Condition()
        self._waiting: OrderedDict[int, _Connection] = OrderedDict()
        self._busy: set[int] = set()
        self._open: set[int] = set()
        self._ending = False
        self.bind_error: OSError | None = None

    def bind_socket(self, socket_: Any, bind_addr: Any) -> Any:  # type: ignore[override]
        """Bind the listening socket, or close it and keep the reason."""
        try:
            socket_.bind(bind_addr)
        except OSError as error:
            socket_.close()
            self.bind_error = error
            raise
        return socket_

    @property
    def open_connections(self) -> int:
        """Connections that are not closed yet."""
        with self._changed:
            return len(self._open)

    @property
    def busy_connections(self) -> int:
        """Connections that have a thread."""
        with self._changed:
            return len(self._busy)

    def process_conn(self, conn: Any) -> None:
        """Give a connection a thread once it says something; a new one waits for that, while there is room."""
        if id(conn) in self._open:
            with self._changed:
                self._waiting.pop(id(conn), None)
            if conn.evicted:
                conn.close()
            else:
                super().process_conn(conn)
            return
        conn.socket.idle_s = self.limits.idle_s
        if self._admitted(conn):
            self.put_conn(conn)
        else:
            conn.close()

    def put_conn(self, conn: Any) -> None:
        """Let a connection wait for its next request."""
        with self._changed:
            self._waiting[id(conn)] = conn
        super().put_conn(conn)

    def busy(self, conn: _Connection) -> None:
        """A connection brings a request."""
        with self._changed:
            self._busy.add(id(conn))

    def idle(self, conn: _Connection) -> None:
        """A connection has its answer."""
        with self._changed:
            self._busy.discard(id(conn))
            self._changed.notify_all()

    def closed(self, conn: _Connection) -> None:
        """A connection is gone."""
        with self._changed:
            for connections in (self._open, self._busy):
                connections.discard(id(conn))
            self._waiting.pop(id(conn), None)
            self._changed.notify_all()

    def end(self, patience_s: float) -> bool:
        """See `HttpsServer.stop`."""
        self._ending = True
        self.shutdown_timeout = max(patience_s, 0.01)
        # The library waits for its threads for ever; they end with the process.
        stopping = threading.Thread(target=self.stop, daemon=True)
        stopping.start()
        with self._changed:
            answered = self._changed.wait_for(lambda: not self._busy, patience_s)
        stopping.join(max(2 * _POLL_S, 1.0))
        return answered

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log what is wrong with us in a line; what is wrong with clients is everyday."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError) and not self._ending:
            _log(self._program, f"a request failed: {type(error).__name__}: {error}")

    def _admitted(self, conn: _Connection) -> bool:
        """Count a new connection, while there is room or another one can go."""
        with self._changed:
            if len(self._open) >= self.limits.connections:
                if not self._waiting or len(self._open) >= 2 * self.limits.connections:
                    return False
                _, silent = self._waiting.popitem(last=False)
                silent.hang_up()
            self._open.add(id(conn))
            return True


class _Body:
    """A request's body; it can be read as it comes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.read, self.readline, self.readlines = stream.read, stream.readline, stream.readlines

    def read1(self, size: int = -1) -> bytes:
        """What is there, ``size`` bytes at most; waits for one."""
        stream = self._stream
        left = stream.remaining if size < 0 else min(size, stream.remaining)
        part: bytes = stream.rfile.read1(left) if left else b""
        stream.remaining -= len(part)
        return part

    def __iter__(self) -> Any:
        return iter(self._stream)


def _input_in_parts(app: WSGIApplication) -> WSGIApplication:
    """The application, with a body that can be read in parts, and no body in an answer to HEAD."""

    def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        if hasattr(stream, "remaining"):
            environ["wsgi.input"] = _Body(stream)
        answer = app(environ, start)
        if environ.get("REQUEST_METHOD") != "HEAD":
            return answer
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        return []

    return serve


def _in_daemon_thread(prepare: Any) -> None:
    """Call ``prepare`` in a daemon thread, which makes daemons of all threads that it starts.

    Raises:
        OSError: As it does.
    """
    errors: list[BaseException] = []

    def call() -> None:
        try:
            prepare()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(_PREPARE_S)
    if errors:
        raise errors[0]


def _log(program: str, message: str) -> None:
    print(f"{program}: {message}", file=sys.stderr, flush=True)
