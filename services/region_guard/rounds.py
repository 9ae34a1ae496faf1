"""Threads that do one thing again and again, and what they tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_STUCK_S = 300.0
"""Longer than any look may take, name resolution included."""


class Rounds:
    """Does one thing every so many seconds, and at once when it is woken."""

    def __init__(self, name: str, every_s: float, once: Callable[[], None]) -> None:
        self._name, self._every_s, self._once = name, every_s, once
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
        return time.monotonic() - self._beat < max(_STUCK_S, 2 * self._every_s)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            try:
                self._once()
            except BaseException:
                self._beat = float("-inf")
                raise
            self._beat = time.monotonic()
            self._wake.wait(self._every_s)


class News:
    """Tells a problem once while it lasts, and its end."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._told: dict[str, str] = {}

    def tell(self, what: str, problem: str) -> None:
        """Tell how it is with something; ``problem`` is empty when all is well."""
        if problem != self._told.get(what, ""):
            self._told[what] = problem
            self._log(problem or f"{what}: all is well again")
