"""The client of kafka-python closes what it opened when brokers do not answer."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from kafka.errors import KafkaError
from kafka.net.connection import KafkaConnection
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport

from services.runtime import kafka
from services.runtime.kafka import admin
from tests.support import kafka_broker


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def hanging_up() -> Iterator[int]:
    """A server that ends each connection before the handshake does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def only_shaking_hands(folder: Path) -> Iterator[int]:
    """A server with TLS that reads, and answers nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "node.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                    while secured.recv(4096):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    assert not thread.is_alive(), "a connection of the client is still open"


@contextmanager
def nothing_left() -> Iterator[None]:
    """What happens here leaves no socket to the garbage collector."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    kafka_broker.write_certificates(folder)
    return folder


def connect(port: int, folder: Path) -> None:
    ca = (folder / "ca.pem").read_text()
    admin(bootstrap=f"127.0.0.1:{port}", ca=ca, username="u", password="p", client_id="c", request_s=1)


@pytest.mark.parametrize("away", [refusing, hanging_up, silent])
def test_attempts_that_fail_leave_no_socket_behind(
    away: Callable[[], AbstractContextManager[int]], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "HANDSHAKE_S", 0.5)
    with nothing_left(), away() as port, pytest.raises(KafkaError):
        connect(port, certificates)


def test_a_connection_that_its_owner_lost_sight_of_ends_with_the_client(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KafkaConnection, "close", KafkaConnection.connection_lost)
    with nothing_left(), only_shaking_hands(certificates) as port, pytest.raises(KafkaError):
        connect(port, certificates)


def test_a_connection_that_is_closed_while_a_request_waits_to_be_written_leaves_no_socket_behind(
    certificates: Path,
) -> None:
    trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
    with nothing_left(), only_shaking_hands(certificates) as port:
        net = NetworkSelector()
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        transport = KafkaSSLTransport(net, sock, host="localhost", ssl_context=trusting)
        net.run(transport.handshake)
        transport.write(b"a request")
        transport.close()
        net.close()
        del transport, sock
