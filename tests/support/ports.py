"""TCP ports of loopback for servers of tests, each given to one test only."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

_FIRST, _LAST = 10_000, 32_000
"""Below the ports from which the kernel takes those of clients, so that no connection sits on one meanwhile."""
_TURN = Path(tempfile.gettempdir()) / f"obs-test-ports-{os.getuid()}"


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test process is given before all others were.

    Raises:
        AssertionError: Every port is in use.
    """
    with _TURN.open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        text = turn.read()
        number = int(text) if text.isdecimal() else 0
        for _ in range(_LAST - _FIRST):
            number = (number + 1) % (_LAST - _FIRST)
            if _is_free(_FIRST + number):
                turn.seek(0)
                turn.truncate()
                turn.write(str(number))
                return _FIRST + number
    raise AssertionError(f"every port from {_FIRST} to {_LAST} is in use")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
