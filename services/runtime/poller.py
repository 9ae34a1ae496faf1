"""Polls an object storage, and keeps what was seen at the last poll that succeeded."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from services.runtime.s3 import StorageError

INTERVAL_S = 60.0
_STUCK_S = 10 * INTERVAL_S

_T = TypeVar("_T")


class Poller(ABC, Generic[_T]):
    """Polls in a thread of its own.

    Attributes:
        snapshot: What the last poll that succeeded saw.
        failures: Polls that failed.
        failing: Whether the last poll did.
    """

    snapshot: _T

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._began = time.time()
        self._beat = time.monotonic()
        self._polled = threading.Event()
        self._last_logged = ""
        self.failures = 0
        self.failing = False

    @property
    def began(self) -> float:
        """When it began, seconds since 1970."""
        return self._began

    def polled(self) -> bool:
        """Whether there was a poll, failed ones among them: metrics are served while the storage is away."""
        return self._polled.is_set()

    def alive(self) -> bool:
        """Whether polls still happen."""
        return time.monotonic() - self._beat < _STUCK_S

    def beat(self) -> None:
        """Tell, in the middle of a long poll, that it goes on."""
        self._beat = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``."""
        while not stop.is_set():
            self.poll()
            stop.wait(INTERVAL_S)

    def poll(self) -> None:
        """Poll once; log a failure once while it lasts."""
        try:
            self.snapshot = self._poll()
            problem = ""
        except StorageError as error:
            self.failures += 1
            problem = str(error)
        if problem != self._last_logged:
            self._log(problem or "the object storage answers again")
            self._last_logged = problem
        self.failing = bool(problem)
        self.beat()
        self._polled.set()

    @abstractmethod
    def _poll(self) -> _T:
        """Poll.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
