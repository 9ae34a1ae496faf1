"""Looks at an object storage again and again, and keeps what was seen at the last look that succeeded."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from services.buckets.bucket import StorageError

INTERVAL_S = 60.0
_STUCK_S = 10 * INTERVAL_S

_T = TypeVar("_T")


class Looking(ABC, Generic[_T]):
    """The looks, in a thread of its own.

    Attributes:
        seen: What the last look that succeeded saw.
        failures: Looks that failed.
        failing: Whether the last look did.
    """

    seen: _T

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._began = time.time()
        self._beat = time.monotonic()
        self._looked = threading.Event()
        self._told = ""
        self.failures = 0
        self.failing = False

    @property
    def began(self) -> float:
        """When it began, seconds since 1970."""
        return self._began

    def looked(self) -> bool:
        """Whether there was a look, failed ones among them: metrics are served while the storage is away."""
        return self._looked.is_set()

    def alive(self) -> bool:
        """Whether looks still happen."""
        return time.monotonic() - self._beat < _STUCK_S

    def beat(self) -> None:
        """Tell, in the middle of a long look, that it goes on."""
        self._beat = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop``."""
        while not stop.is_set():
            self.look()
            stop.wait(INTERVAL_S)

    def look(self) -> None:
        """Look once; a failure is told when it is news."""
        try:
            self.seen = self._look()
            problem = ""
        except StorageError as error:
            self.failures += 1
            problem = str(error)
        if problem != self._told:
            self._log(problem or "the object storage answers again")
            self._told = problem
        self.failing = bool(problem)
        self.beat()
        self._looked.set()

    @abstractmethod
    def _look(self) -> _T:
        """Look.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
