"""Periodic tasks in threads of their own, logs for the operator, and waiting for the signal to stop."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

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
