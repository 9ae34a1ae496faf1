"""Sends one layer's telemetry on a thread of its own: bounded queue, bounded retries with back-off, counts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0


@dataclass
class Counts:
    """Requests of one sender.

    Attributes:
        accepted: The gateway took them.
        retried: Attempts that failed and were repeated.
        refused: Given up after the last attempt.
        dropped: Pushed out of the full queue, or left in it at the end.
    """

    accepted: int = 0
    retried: int = 0
    refused: int = 0
    dropped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class Sender:
    """Queue and thread of one layer and signal. A gateway that is away delays no other layer."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Any]], bool],
        *,
        max_pending: int,
        max_attempts: int,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.name = name
        self.counts = Counts()
        self.healthy = False
        self._send = send
        self._pending: deque[Sequence[Any]] = deque()
        self._max_pending = max_pending
        self._max_attempts = max_attempts
        self._first_wait_s = first_wait_s
        self._changed = threading.Condition()
        self._idle = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"send-{name}", daemon=True)
        self._thread.start()

    def put(self, items: Sequence[Any]) -> None:
        """Queue one request; of a full queue the oldest is dropped."""
        if not items:
            return
        with self._changed:
            if len(self._pending) >= self._max_pending:
                self._pending.popleft()
                self.counts.dropped += 1
            self._pending.append(items)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything was sent or given up; whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and self._idle, timeout=timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Send what is left within the time, then end; what remains counts as dropped."""
        self.flush(timeout_s)
        self._stopping.set()
        with self._changed:
            self.counts.dropped += len(self._pending)
            self._pending.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._pending) or self._stopping.is_set())
                if not self._pending:
                    return
                items = self._pending.popleft()
                self._idle = False
            self._deliver(items)

    def _deliver(self, items: Sequence[Any]) -> None:
        wait_s = self._first_wait_s
        for attempt in range(1, self._max_attempts + 1):
            if self._send(items):
                self.counts.accepted += 1
                self.healthy = True
                return
            self.healthy = False
            if attempt == self._max_attempts or self._stopping.wait(wait_s):
                break
            self.counts.retried += 1
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self.counts.refused += 1
