"""One thread that takes accesses in the order in which they come and writes them, with a checkpoint now and then."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from services.audit.follower import Positions
from services.audit.journal import Journal
from services.audit.records import CHECKPOINT, START, Entry, note
from services.audit.repeats import Repeats
from services.audit.settings import Source

CHECKPOINT_S: Final = 900.0
"""How often it is written how far each source was read: so much is read again after a crash, and left out."""
_MOST_WAITING: Final = 2000
_MOST_AT_ONCE: Final = 500


class Writer:
    """The queue between those who read and the journal. Where it is full, they wait, and kubelets keep the lines."""

    def __init__(
        self, journal: Journal, positions: Positions, log: Callable[[str], None], checkpoint_s: float = CHECKPOINT_S
    ) -> None:
        self._journal, self._positions, self._log, self._checkpoint_s = journal, positions, log, checkpoint_s
        self._queue: queue.Queue[Entry | None] = queue.Queue(_MOST_WAITING)
        self._repeats = Repeats()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    def emit(self, entry: Entry) -> None:
        """Have an access written; waits while too many are."""
        self._queue.put(entry)

    def start(self, stop: threading.Event) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(stop,), name="writer", daemon=True)
        self._thread.start()

    def end(self, seconds: float) -> bool:
        """Write what waits, and end; whether that was done in time. ``stop`` is set already."""
        if self._thread is None:
            return True
        self._queue.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def alive(self) -> bool:
        """Whether it still works; brokers that are away are no reason to restart."""
        return self._thread is None or self._thread.is_alive()

    def _run(self, stop: threading.Event) -> None:
        # Of its own: what waits when it is asked to stop is still written.
        given_up = threading.Event()
        due = time.monotonic() + self._checkpoint_s
        pending = [_note(START)]
        over = False
        while True:
            if pending and not self._journal.write(pending, given_up, self._log):
                return
            if over:
                return
            wakes = min(due, self._repeats.due or due)
            positions, taken, over = self._next(max(0.0, wakes - time.monotonic()))
            now = time.monotonic()
            pending = self._repeats.folded(taken, now)
            pending += self._repeats.all() if over else self._repeats.ended(now)
            if over or now >= due:
                due = now + self._checkpoint_s
                pending.append(_note(CHECKPOINT, positions))

    def _next(self, seconds: float) -> tuple[dict[str, str], list[Entry], bool]:
        """How far sources were read, then what came up to there or later, and whether that is all."""
        taken: list[Entry] = []
        try:
            first = self._queue.get(timeout=seconds)
        except queue.Empty:
            first = None
            over = False
        else:
            over = first is None
        # A position is set after its access was put into the queue: all of those before this line are in it.
        positions = self._positions.all()
        if first is not None:
            taken.append(first)
        while not over:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                over = True
            else:
                taken.append(entry)
        return positions, taken, over


def _note(action: str, positions: dict[str, str] | None = None) -> Entry:
    told = note(action, "audit:log", datetime.now(UTC))
    return Entry(access=told, source=Source.AUDIT, positions=positions or {})
