"""Dead man's switch: tells somebody when the platform stops saying that it is alive (requirement D4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from lab.fakes.receivers.record import DEAD_MANS_SWITCH, HEARTBEAT, Record

GRACE_S = 150.0
"""Alertmanager repeats the heartbeat every 30 to 60 s: two may be lost without a false alarm."""
AUDIENCE = "operators"
SILENT, BACK = "silent", "back"
_LOOK_EVERY_S = 1.0


class DeadMansSwitch:
    """Armed by the first heartbeat; tells once when none came for a while, and once when they are back.

    What it told last is in the record, so a restart of the fake neither forgets an alarm nor tells it again.
    """

    def __init__(
        self, record: Record, grace_s: float = GRACE_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Go on from the record; the time without heartbeats counts from now.

        Args:
            record: Where heartbeats and alarms go.
            grace_s: Seconds without a heartbeat that mean trouble.
            clock: Seconds that never go back.
        """
        self._record, self._clock, self.grace_s = record, clock, grace_s
        self._lock = threading.Lock()
        told = record.last(DEAD_MANS_SWITCH)
        self._silent = told is not None and told.body.get("state") == SILENT
        self._last = clock() if record.last(HEARTBEAT) or self._silent else None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self, title: str = "heartbeat", body: Any = None) -> None:
        """Take a heartbeat."""
        with self._lock:
            now = self._clock()
            self._record.add(HEARTBEAT, AUDIENCE, title, body)
            silence, self._last = now - (self._last if self._last is not None else now), now
            if self._silent:
                self._silent = False
                self._tell(BACK, silence, "The monitoring is back: heartbeats arrive again")

    def check(self) -> None:
        """Tell when the heartbeats have stopped, unless it was told already."""
        with self._lock:
            if self._last is None or self._silent:
                return
            silence = self._clock() - self._last
            if silence >= self.grace_s:
                self._silent = True
                self._tell(SILENT, silence, f"The monitoring itself is down: no heartbeat for {silence:.0f} s")

    def data(self) -> dict[str, Any]:
        """State as JSON data: armed, silent, seconds since the last heartbeat."""
        with self._lock:
            quiet = None if self._last is None else round(self._clock() - self._last, 1)
            return {"armed": self._last is not None, "silent": self._silent, "quiet_s": quiet, "grace_s": self.grace_s}

    def start(self) -> None:
        """Look every second, in a thread of its own, until `stop`."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_EVERY_S):
            self.check()

    def _tell(self, state: str, silence: float, title: str) -> None:
        self._record.add(DEAD_MANS_SWITCH, AUDIENCE, title, {"state": state, "silence_s": round(silence, 1)})
