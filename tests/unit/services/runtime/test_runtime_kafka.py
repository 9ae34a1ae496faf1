"""The client of kafka-python closes what it opened when brokers do not answer."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from kafka.errors import KafkaError

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


@pytest.mark.parametrize("away", [refusing, hanging_up, silent])
def test_attempts_that_fail_leave_no_socket_behind(
    away: Callable[[], AbstractContextManager[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "HANDSHAKE_S", 0.5)
    kafka_broker.write_certificates(tmp_path)
    ca = (tmp_path / "ca.pem").read_text()
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with away() as port, pytest.raises(KafkaError):
            admin(bootstrap=f"127.0.0.1:{port}", ca=ca, username="u", password="p", client_id="c", request_s=1)
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
