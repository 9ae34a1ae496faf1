"""The server of our programs: real TLS on loopback, a password for the metrics, and clients that mean no good."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from services.runtime.https import HttpsServer, Limits
from services.runtime.serving import allowed, application
from tests.config.servers import eventually
from tests.support.kafka_broker import write_certificates

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

USER = "scrape-kafka-lag"
GOOD = "Basic c2NyYXBlLWthZmthLWxhZzpodW50ZXIy"  # scrape-kafka-lag:hunter2


@dataclass
class Exporter:
    """A running server, and how to ask it."""

    folder: Path
    port: int = 0
    alive: threading.Event = field(default_factory=threading.Event)

    def get(self, path: str, authorization: str = "", method: str = "GET") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            connection.request(method, path, headers={"Authorization": authorization} if authorization else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    write_certificates(tmp_path)
    (tmp_path / "password").write_text("hunter2\n")
    registry = CollectorRegistry()
    Gauge("something", "A metric", registry=registry).set(42)
    running_exporter = Exporter(tmp_path)
    running_exporter.alive.set()
    app = application(registry, USER, tmp_path / "password", running_exporter.alive.is_set)
    server = HttpsServer("127.0.0.1", 0, tmp_path / "cert.pem", tmp_path / "key.pem", app)
    running_exporter.port = server.server_port
    server.start()
    yield running_exporter
    server.stop()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer c2NyYXBlLWthZmthLWxhZzpodW50ZXIy",
        "Basic c2NyYXBlLWthZmthLWxhZzp4",
        "Basic eDpodW50ZXIy",
    ],
)
def test_any_other_header_is_refused(header: str) -> None:
    assert not allowed(header, USER, "hunter2")


def test_the_right_user_and_password_are_let_in() -> None:
    assert allowed(GOOD, USER, "hunter2")


def test_an_empty_password_lets_nobody_in() -> None:
    assert not allowed("Basic c2NyYXBlLWthZmthLWxhZzo=", USER, "")


def test_metrics_need_the_password(exporter: Exporter) -> None:
    assert exporter.get("/metrics")[0] == 401
    status, text = exporter.get("/metrics", GOOD)
    assert status == 200
    assert "something 42.0" in text


def test_health_needs_none_and_tells_when_the_loop_hangs(exporter: Exporter) -> None:
    assert exporter.get("/livez") == (200, "ok\n")
    assert exporter.get("/readyz") == (200, "ok\n"), "what says nothing else is ready as long as it is alive"
    exporter.alive.clear()
    assert exporter.get("/livez")[0] == 503
    assert exporter.get("/readyz")[0] == 503


def test_other_paths_and_methods_are_refused(exporter: Exporter) -> None:
    assert exporter.get("/", GOOD)[0] == 404
    assert exporter.get("/metrics", GOOD, "POST")[0] == 405


def test_a_renewed_password_counts_at_once(exporter: Exporter) -> None:
    (exporter.folder / "password").write_text("renewed")
    assert exporter.get("/metrics", GOOD)[0] == 401


def test_a_renewed_certificate_is_served_without_a_restart(exporter: Exporter) -> None:
    write_certificates(exporter.folder)
    assert exporter.get("/livez")[0] == 200


def test_a_half_renewed_certificate_keeps_the_old_one_in_use(
    exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write_certificates(other)
    shutil.copy(other / "cert.pem", exporter.folder / "cert.pem")
    assert exporter.get("/livez")[0] == 200
    shutil.copy(other / "key.pem", exporter.folder / "key.pem")
    shutil.copy(other / "ca.pem", exporter.folder / "ca.pem")
    assert exporter.get("/livez")[0] == 200


def test_a_silent_peer_holds_nobody_up(exporter: Exporter) -> None:
    with socket.create_connection(("127.0.0.1", exporter.port)):
        assert exporter.get("/livez")[0] == 200


def test_plain_http_gets_no_answer(exporter: Exporter) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)
    connection.request("GET", "/livez")
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()


def test_a_modern_tls_is_spoken(exporter: Exporter) -> None:
    context = ssl.create_default_context(cafile=exporter.folder / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", exporter.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() == "TLSv1.3"


def small(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Tells the size of the body."""
    body = str(len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@dataclass
class Served:
    """A server within limits, and clients that speak TLS to it."""

    folder: Path
    server: HttpsServer

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.server_port

    def silent(self) -> socket.socket:
        """A client that does not even begin TLS."""
        return socket.create_connection(self.address, timeout=60)

    def client(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context.wrap_socket(self.silent(), server_hostname="127.0.0.1")

    def answer(self, request: bytes) -> bytes:
        with self.client() as connection:
            connection.sendall(request)
            return received(connection)

    def works(self) -> None:
        answer = self.answer(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert answer.endswith(b"\r\n\r\n5")


def received(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, however it ends."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    write_certificates(tmp_path)
    with ExitStack() as stack:

        def start(app: WSGIApplication = small, **limits: Any) -> Served:
            files = (tmp_path / "cert.pem", tmp_path / "key.pem")
            server = HttpsServer("127.0.0.1", 0, *files, app, program="test", limits=Limits(**limits))
            stack.callback(server.stop)
            server.start()
            return Served(tmp_path, server)

        yield start


def test_a_connection_ends_with_its_answer_unless_it_may_bring_more(serve: Callable[..., Served]) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b"Connection: close" in serve().answer(request)
    with serve(keep_alive=True).client() as connection:
        for _ in range(3):
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n0"):
                part = connection.recv(65536)
                assert part, answer
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_no_older_tls_than_1_2_is_spoken(serve: Callable[..., Served]) -> None:
    served = serve()
    context = ssl.create_default_context(cafile=served.folder / "ca.pem")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.minimum_version = ssl.TLSVersion.TLSv1
    with served.silent() as plain, pytest.raises(OSError, match=r"(?i)protocol|alert|version|EOF"):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    served.works()


def test_headers_that_are_too_large_are_refused(serve: Callable[..., Served]) -> None:
    served = serve(header_bytes=2048)
    answer = served.answer(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 4096 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert served.answer(b"GET /" + b"y" * 4096 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    served.works()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(serve: Callable[..., Served]) -> None:
    served = serve(body_bytes=1000)
    assert served.answer(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    served.works()


def test_a_refusal_reaches_a_client_that_is_still_sending_its_body(serve: Callable[..., Served]) -> None:
    def refuse(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]

    size = 5 * 1024 * 1024
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    for served, status in ((serve(refuse), b"HTTP/1.1 403 "), (serve(body_bytes=1000), b"HTTP/1.1 413 ")):
        for _ in range(3):
            assert served.answer(head + size * b"x").startswith(status)


@pytest.mark.parametrize(
    "request_text",
    [
        b"\x16\x03nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_nonsense_is_refused_and_others_are_served(serve: Callable[..., Served], request_text: bytes) -> None:
    served = serve()
    answer = served.answer(request_text)
    assert not answer.startswith(b"HTTP/1.1 2"), answer
    served.works()


def test_headers_and_bodies_that_come_byte_by_byte_are_given_up(serve: Callable[..., Served]) -> None:
    """The limit is for the whole request: each byte comes well within the time between two."""
    served = serve(read_s=1.0, idle_s=30.0)
    for begin in (b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"):
        with served.client() as connection:
            connection.sendall(begin)
            connection.settimeout(0.05)
            deadline = time.monotonic() + 60
            ended = False
            while not ended:
                assert time.monotonic() < deadline, "it may send for ever"
                try:
                    connection.sendall(b"y")
                    answer = connection.recv(65536)
                    assert not answer or answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 5")), answer
                    ended = True
                except TimeoutError:
                    continue
                except OSError:
                    ended = True
    served.works()


def test_slow_clients_do_not_take_the_threads_of_others(serve: Callable[..., Served]) -> None:
    """They have all threads, for as long as a request may take; then others are served."""
    served = serve(threads=2, read_s=1.0, idle_s=30.0)
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(served.client())
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        served.works()


def test_silent_clients_take_no_thread_at_all(serve: Callable[..., Served]) -> None:
    served = serve(threads=1, read_s=600.0, idle_s=600.0)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(served.silent())
        eventually(lambda: served.server.connections >= 20, 30, "they are connected")
        served.works()


def test_the_oldest_silent_client_goes_when_one_too_many_comes(serve: Callable[..., Served]) -> None:
    served = serve(connections=5, idle_s=600.0)
    with ExitStack() as stack:
        silent = [stack.enter_context(served.silent()) for _ in range(100)]
        served.works()
        assert served.server.connections <= 10
        assert received(silent[0]) == b""


def test_a_client_too_many_is_closed_when_all_others_are_busy(serve: Callable[..., Served]) -> None:
    release = threading.Event()

    def slow(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        release.wait(200)
        return small(environ, start)

    served = serve(slow, connections=2, threads=2)
    with ExitStack() as stack:
        busy = [stack.enter_context(served.client()) for _ in range(2)]
        for connection in busy:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: served.server.busy == 2, 30, "both are busy")
        with served.silent() as third:
            assert received(third) == b"", "it is closed at once, though nobody says anything"
        release.set()
        for connection in busy:
            assert received(connection).startswith(b"HTTP/1.1 200 OK")
    served.works()


def test_a_stop_waits_for_answers_that_are_under_way_and_not_longer(serve: Callable[..., Served]) -> None:
    release, entered = threading.Event(), threading.Event()

    def slow(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        entered.set()
        release.wait(200)
        return small(environ, start)

    patient, impatient = serve(slow), serve(slow)
    with patient.client() as first, impatient.client() as second, patient.silent():
        for connection in (first, second):
            entered.clear()
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert entered.wait(60)
        began = time.monotonic()
        assert not impatient.server.stop(0.2)
        assert time.monotonic() - began < 60
        threading.Timer(0.3, release.set).start()
        assert patient.server.stop(60)
        assert received(first).startswith(b"HTTP/1.1 200 OK")
    with pytest.raises(OSError, match="refused"):
        patient.silent()


def test_an_error_of_the_application_is_one_line_and_a_status(
    serve: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        raise KeyError("inside")

    answer = serve(broken).answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"inside" not in answer
    assert capsys.readouterr().err == "test: a request failed: KeyError: 'inside'\n"


def test_an_answer_to_head_has_no_body(serve: Callable[..., Served]) -> None:
    answer = serve().answer(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_an_address_that_is_taken_and_files_that_do_not_fit_are_errors(
    serve: Callable[..., Served], tmp_path_factory: pytest.TempPathFactory
) -> None:
    served = serve()
    files = (served.folder / "cert.pem", served.folder / "key.pem")
    with pytest.raises(OSError, match="in use"):
        HttpsServer(*served.address, *files, small)
    other = tmp_path_factory.mktemp("other")
    write_certificates(other)
    with pytest.raises(OSError, match=r"(?i)mismatch"):
        HttpsServer("127.0.0.1", 0, files[0], other / "key.pem", small)
