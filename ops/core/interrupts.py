"""Signals that ask a process to end: held back while something must not stay half done, and given to others."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM)
_KILLED_S = 10.0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM wait; the first that came has its effect when the block ends.

    Only the main thread gets signals, so nothing is held back in another one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def end(process: subprocess.Popen[Any], seconds: float, ask: signal.Signals = signal.SIGTERM) -> bool:
    """Ask a process to end, and kill it where it does not; whether it ended by itself."""
    if process.poll() is None:
        process.send_signal(ask)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_KILLED_S)
            return False
    return True
