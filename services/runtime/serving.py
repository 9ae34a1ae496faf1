"""A program that serves beside periodic work of its own, from its command line to the signal that ends it; periodic
tasks in threads, logs for the operator, metrics that are worked out at a scrape, and posts that are read within limits:
how long one may take, how much is held at once, how it is refused.

Every one of them answers ``/metrics`` behind a password, and the probes.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric

from services.runtime.https import HttpsServer, Limits
from services.runtime.settings import ServerSettings, SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


_STUCK_S = 300.0
"""Longer than any run may take, name resolution included."""
_LOOK_S = 0.5


class PeriodicTask:
    """Does one thing every so many seconds, and at once when it is woken."""

    def __init__(self, name: str, interval_s: float, once: Callable[[], None]) -> None:
        self._name, self._interval_s, self._once = name, interval_s, once
        self._wake = threading.Event()
        self._beat = time.monotonic()

    def start(self, stop: threading.Event) -> None:
        """Begin, until ``stop``."""
        threading.Thread(target=self._run, args=(stop,), name=self._name, daemon=True).start()

    def wake(self) -> None:
        """Do it at once."""
        self._wake.set()

    def alive(self) -> bool:
        """Whether it still happens."""
        return time.monotonic() - self._beat < max(_STUCK_S, 2 * self._interval_s)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            try:
                self._once()
            except BaseException:
                self._beat = float("-inf")
                raise
            self._beat = time.monotonic()
            self._wake.wait(self._interval_s)


def operator_log(program: str) -> Callable[[str], None]:
    """What writes one line for the operator, in one piece, since several threads may do so."""

    def log(message: str) -> None:
        print(f"{program}: {message}\n", end="", file=sys.stderr, flush=True)

    return log


class DedupLogger:
    """Logs a problem once while it lasts, and its end."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._logged: dict[str, str] = {}

    def report(self, what: str, problem: str) -> None:
        """Report the state of ``what``; an empty ``problem`` means that it works."""
        if problem != self._logged.get(what, ""):
            self._logged[what] = problem
            self._log(problem or f"{what}: all is well again")


def wait_for_stop(stop: threading.Event) -> None:
    """Wait in the main thread until ``stop`` is set, for one by a handler of SIGTERM or SIGINT.

    The kernel may deliver a signal to any thread, and Python runs its handler in the main thread, at that thread's next
    step only: an event without a limit of time would keep it waiting for ever.
    """
    while not stop.wait(_LOOK_S):
        pass


MISTAKE = 2
"""Exit code for a mistake in the settings: trying again changes nothing."""


class Service(ABC):
    """Serves until asked to stop.

    Attributes:
        server: Its web server; listens since the service was made.
    """

    server: HttpsServer

    def __init__(self) -> None:
        self._stop = threading.Event()

    @abstractmethod
    def begin(self, stop: threading.Event) -> None:
        """Start what it does beside serving, in threads that do not outlive the process; ``stop`` tells them to end."""

    def end(self) -> None:
        """Close the server. What is under way then ends with the process."""
        self.server.stop()

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped."""
        self.server.start()
        self.begin(self._stop)
        wait_for_stop(self._stop)
        self.end()


def config_file(arguments: Sequence[str] | None, program: str, description: str) -> Path:
    """The settings file that the command line names; `main` says what the arguments are."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    config: Path = options.config
    return config


def main(
    arguments: Sequence[str] | None,
    *,
    program: str,
    description: str,
    make: Callable[[Path], Service],
    log: Callable[[str], None],
) -> int:
    """Run until SIGTERM or SIGINT.

    Args:
        arguments: Of the command line; None: those of the process.
        program: Its name.
        description: What it is for, in one line.
        make: Makes the service from its settings file.
        log: Writes one line for the operator.

    Returns:
        0 once it was stopped, 2 for a mistake in the settings.
    """
    config = config_file(arguments, program, description)
    try:
        service = make(config)
    except SettingsError as error:
        log(str(error))
        return MISTAKE
    except OSError as error:
        log(f"cannot serve with {config}: {error}")
        return MISTAKE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    log(f"serving https port {service.server.server_port}")
    service.run()
    log("stopped")
    return 0


def https_server(
    settings: ServerSettings,
    registry: CollectorRegistry,
    alive: Callable[[], bool],
    ready: Callable[[], bool] | None = None,
    *,
    program: str,
    pages: Callable[[WSGIApplication], WSGIApplication] | None = None,
    limits: Limits | None = None,
) -> HttpsServer:
    """The program's web server, which listens where its settings say: see `application`.

    Args:
        settings: Address, certificate, and who may read the metrics.
        registry: What ``/metrics`` shows.
        alive: Whether the program still works.
        ready: Whether it may be used; None: as long as it is alive.
        program: Name in front of what is logged, and in the header ``Server``.
        pages: Puts further paths in front of the application.
        limits: What clients may take.

    Raises:
        OSError: The address is taken, or the files are not there or do not fit together.
    """
    app = application(registry, settings.metrics.user, settings.metrics.password_file, alive, ready)
    return HttpsServer(
        settings.listen_host,
        settings.listen_port,
        settings.cert_file,
        settings.key_file,
        pages(app) if pages else app,
        program=program,
        limits=limits,
    )


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


class ScrapeCollector(ABC):
    """Reads at each scrape what the program knows then."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register it: its attributes are set before."""
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: names are known only at a scrape."""
        return []

    @abstractmethod
    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""


def gauge_by(label: str, name: str, help_text: str, values: Mapping[str, float | None]) -> Metric:
    """A gauge with one series for each key, its value of ``label``; of what is not known (None) there is none."""
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([key], value)
    return family


_ROOM_S = 0.5
_BODY_S = 5.0
_DISCARD_S = 1.0
_MOST_DISCARDED = 1024 * 1024
_CHUNK = 64 * 1024
_MOST_DIGITS = 15


class RefusedError(Exception):
    """Why a request is refused, with the answer to it; without a ``reason`` it is not counted."""

    def __init__(self, status: HTTPStatus, reason: str, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status, self.reason, self.headers = status, reason, headers


def later(reason: str, text: str) -> RefusedError:
    """A refusal that asks the sender to come again."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, reason, text, ("Retry-After", "1"))


class Incoming:
    """A request, and what of its body has not been read yet.

    Attributes:
        known: Whether its sender has logged in.
        sized: Whether it says how long it is.
        left: Bytes of the body that nobody has read.
    """

    def __init__(self, environ: WSGIEnvironment, most_bytes: int) -> None:
        """Take a request whose body may have ``most_bytes``."""
        self.method = str(environ.get("REQUEST_METHOD", ""))
        self.address = str(environ.get("REMOTE_ADDR", ""))
        self.authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        length = str(environ.get("CONTENT_LENGTH") or "")
        self.sized = length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS
        self.left = int(length) if self.sized else 0
        self.known = False
        self._most_bytes = most_bytes
        self._stream: Any = environ["wsgi.input"]

    def check_size(self) -> None:
        """Refuse a post that does not say how long it is, or is too long; nothing of its body is read before.

        Raises:
            RefusedError: It is one.
        """
        if not self.sized:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "content", "the post does not say how long it is")
        if self.left > self._most_bytes:
            text = f"the post is larger than {self._most_bytes} bytes"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "size", text)

    def body(self) -> bytes:
        """The whole body.

        Raises:
            RefusedError: It is cut off or does not come in time.
        """
        parts = list(self._parts(_BODY_S))
        if self.left:
            raise later("cut", "the post ended early or took too long")
        return b"".join(parts)

    def discard(self) -> None:
        """Read what is left, within limits: to hang up on it would hide our answer from its sender."""
        self.left = min(self.left, 4 * self._most_bytes if self.known else _MOST_DISCARDED)
        for _ in self._parts(_DISCARD_S):
            pass
        self.left = 0

    def _parts(self, seconds: float) -> Iterator[bytes]:
        deadline = time.monotonic() + seconds
        while self.left and time.monotonic() < deadline:
            try:
                part: bytes = self._stream.read1(min(self.left, _CHUNK))
            except OSError:
                return
            if not part:
                return
            self.left -= len(part)
            yield part


class Room:
    """Room for the bodies that are held at the same time."""

    def __init__(self, most_bytes: int) -> None:
        """Room for so many bytes, in all."""
        self._free = most_bytes
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Hold so many bytes.

        Raises:
            RefusedError: Others hold them for too long.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= size, _ROOM_S):
                raise later("busy", "other posts are still being written")
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def answer(start: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    """An answer in one line."""
    body = f"{text}\n".encode()
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start(f"{status.value} {status.phrase}", [kind, ("Content-Length", str(len(body))), *headers])
    return [body]
