"""The service's web server: a bounded number of connections, and an end that waits for them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.alert_events import web
from services.alert_events.web import HttpsServer
from tests.config.pki import write_certificates
from tests.config.servers import eventually


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsServer]:
    write_certificates(tmp_path)
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 2)

    def app(environ: object, start: object) -> list[bytes]:
        start("200 OK", [("Content-Length", "2")])  # type: ignore[operator]
        return [b"ok"]

    https_server = HttpsServer("127.0.0.1", 0, tmp_path / "tls.crt", tmp_path / "tls.key", app)
    https_server.start()
    yield https_server
    https_server.shutdown()
    https_server.server_close()


def connected(server: HttpsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=10)


def answer(server: HttpsServer, folder: Path) -> bytes:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    with connected(server) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.makefile("rb").read()


def test_a_connection_too_many_is_closed_and_later_ones_are_served(server: HttpsServer, tmp_path: Path) -> None:
    silent = [connected(server) for _ in range(2)]
    eventually(lambda: not server.drain(0), 10, "they are counted")
    with connected(server) as third:
        assert third.recv(1) == b"", "it is closed at once, though nobody says anything"
    for connection in silent:
        connection.close()
    assert server.drain(10)
    assert answer(server, tmp_path).endswith(b"ok")


def test_draining_waits_for_every_connection(server: HttpsServer) -> None:
    assert server.drain(0)
    silent = connected(server)
    eventually(lambda: not server.drain(0.01), 10, "it is counted")
    drained: list[bool] = []
    waiting = threading.Thread(target=lambda: drained.append(server.drain(10)))
    waiting.start()
    silent.close()
    waiting.join(10)
    assert drained == [True]


def test_a_thread_that_cannot_be_started_gives_its_place_back(
    server: HttpsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with connected(server) as connection:
                assert connection.recv(1) == b""
    assert server.drain(10)
    assert answer(server, tmp_path).endswith(b"ok")
