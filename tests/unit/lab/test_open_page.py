"""A page inside of the lab's network namespace, seen from the machine: real packets between two namespaces."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lab.cluster import network
from lab.paths import CHECKOUT
from tests.config.servers import eventually

INSIDE = """
import signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
try:
    while True:
        client = listener.accept()[0]
        said = b""
        while data := client.recv(65536):
            said += data
        client.sendall(b"inside got " + said)
        client.close()
except KeyboardInterrupt:
    open(sys.argv[2], "a").write("asked to end\\n")
    sys.exit(7)
"""
COMMAND = """
import asyncio, os, sys
from lab import open_page
from lab.cluster import network
with open_page.listen() as listener:
    port = listener.getsockname()[1]
    network.join(sys.argv[1])
    print(port, flush=True)
    inside = [sys.executable, "-c", sys.argv[2], str(port), sys.argv[3]]
    sys.exit(asyncio.run(open_page.relay(listener, port, inside, os.environ)))
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"obs-page-{uuid4().hex[:8]}"
    network.create_namespace(name)
    yield name
    network.delete_namespace(name)


def _exchange(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(text)
        line.shutdown(socket.SHUT_WR)
        said = b""
        while data := line.recv(65536):
            said += data
    return said


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return _exchange(port, b"hello") == b"inside got hello"
    return False


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_inside_is_reached_from_the_machine_until_a_signal(
    namespace: str, tmp_path: Path, sign: signal.Signals
) -> None:
    ends = tmp_path / "ends"
    command = [sys.executable, "-c", COMMAND, namespace, INSIDE, str(ends)]
    with subprocess.Popen(command, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            eventually(lambda: _answers(port), 60, "the server inside answers")
            large = os.urandom(3_000_000)
            assert _exchange(port, large) == b"inside got " + large
            process.send_signal(sign)
            assert process.wait(60) == 7
        finally:
            process.kill()
    assert ends.read_text() == "asked to end\n"
    assert not _answers(port)
