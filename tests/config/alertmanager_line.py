"""A TCP line between two servers that a test can cut and mend."""

from __future__ import annotations

import contextlib
import socket
import threading
from enum import Enum


class State(Enum):
    """What becomes of what is sent."""

    WHOLE = "it arrives"
    REFUSED = "connections are closed, as by a host whose server is gone"
    SILENT = "nothing comes back, as behind a firewall that drops packets"


class Line:
    """A TCP line to a port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._state = State.WHOLE
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, state: State) -> None:
        """Cut the line, or mend it. Connections that were cut do not come to life again."""
        with self._lock:
            self._state = state
            for connection in () if state is State.SILENT else self._open:
                _hang_up(connection)

    def close(self) -> None:
        """End it."""
        self.set(State.REFUSED)
        _hang_up(self._server)

    def _accept(self) -> None:
        while True:
            try:
                incoming, _ = self._server.accept()
            except OSError:
                return
            if self._state is State.SILENT:
                with self._lock:
                    self._open.add(incoming)
                continue
            try:
                outgoing = socket.create_connection(("127.0.0.1", self._target), timeout=2)
            except OSError:
                incoming.close()
                continue
            outgoing.settimeout(None)
            with self._lock:
                if self._state is not State.WHOLE:
                    _hang_up(incoming)
                    _hang_up(outgoing)
                    continue
                self._open |= {incoming, outgoing}
            for pair in ((incoming, outgoing), (outgoing, incoming)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self._state is State.WHOLE:
                    target.sendall(data)
        except OSError:
            pass
        finally:
            for connection in (source, target):
                _hang_up(connection)
            with self._lock:
                self._open -= {source, target}


def _hang_up(connection: socket.socket) -> None:
    """Close it; whoever waits in it wakes up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
