"""One thread that takes accesses in the order in which they come and writes them, with a checkpoint now and then."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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


class FullError(Exception):
    """Too much waits."""


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Accesses, and what is called once Kafka has them."""

    entries: Sequence[Entry]
    acknowledged: Callable[[], None]


class Writer:
    """The queue between those who read and the journal. Where it is full, they wait, and kubelets keep the lines."""

    def __init__(
        self, journal: Journal, positions: Positions, log: Callable[[str], None], checkpoint_s: float = CHECKPOINT_S
    ) -> None:
        self._journal, self._positions, self._log, self._checkpoint_s = journal, positions, log, checkpoint_s
        self._queue: queue.Queue[Entry | _Batch | None] = queue.Queue(_MOST_WAITING)
        self._repeats = Repeats()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    def emit(self, entry: Entry) -> None:
        """Have an access written; waits while too many are."""
        self._queue.put(entry)

    def emit_all(self, entries: Sequence[Entry], acknowledged: Callable[[], None]) -> None:
        """Have accesses written, and be told once Kafka has them, or once they are counted as repeated ones.

        Raises:
            FullError: Too much waits; none of them is written.
        """
        try:
            self._queue.put_nowait(_Batch(entries=entries, acknowledged=acknowledged))
        except queue.Full:
            raise FullError from None

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
        waiting: list[Callable[[], None]] = []
        over = False
        while True:
            if pending and not self._journal.write(pending, given_up, self._log):
                return
            for acknowledged in waiting:
                acknowledged()
            if over:
                return
            wakes = min(due, self._repeats.due or due)
            positions, taken, waiting, over = self._next(max(0.0, wakes - time.monotonic()))
            now = time.monotonic()
            pending = self._repeats.folded(taken, now)
            pending += self._repeats.all() if over else self._repeats.ended(now)
            if over or now >= due:
                due = now + self._checkpoint_s
                pending.append(_note(CHECKPOINT, positions))

    def _next(self, seconds: float) -> tuple[dict[str, str], list[Entry], list[Callable[[], None]], bool]:
        """How far sources were read, what came up to there or later, who waits for it, and whether that is all."""
        taken: list[Entry] = []
        waiting: list[Callable[[], None]] = []
        items: list[Entry | _Batch | None] = []
        with suppress(queue.Empty):
            items.append(self._queue.get(timeout=seconds))
        # A position is set after its access was put into the queue: all of those before this line are in it.
        positions = self._positions.all()
        with suppress(queue.Empty):
            while items and items[-1] is not None:
                items.append(self._queue.get_nowait())
        for item in items:
            if isinstance(item, Entry):
                taken.append(item)
            elif item is not None:
                taken.extend(item.entries)
                waiting.append(item.acknowledged)
        return positions, taken, waiting, None in items


def _note(action: str, positions: dict[str, str] | None = None) -> Entry:
    told = note(action, "audit:log", datetime.now(UTC))
    return Entry(access=told, source=Source.AUDIT, positions=positions or {})
