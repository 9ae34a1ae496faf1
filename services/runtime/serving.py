"""A program that serves beside periodic work of its own, from its command line to the signal that ends it; periodic
tasks in threads, logs for the operator, and metrics that are worked out at a scrape.

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
