"""Refusals that repeat themselves, told as one record with their number: a client that is refused tries for ever.

The first is told at once; equal ones within the window are counted, and told together when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.audit.records import REPEATED, Entry, Outcome

WINDOW_S = 60.0
_Key = tuple[object, ...]


@dataclass
class _Window:
    ends: float
    last: Entry
    more: int = 0


class Repeats:
    """What was refused lately."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._windows: dict[_Key, _Window] = {}

    @property
    def due(self) -> float | None:
        """When the next window ends; None: there is none."""
        return min((window.ends for window in self._windows.values()), default=None)

    def folded(self, entries: Iterable[Entry], now: float) -> list[Entry]:
        """Of these, what is to be told now; ``now`` is a clock that only goes on."""
        told = []
        for entry in entries:
            if entry.access.outcome is not Outcome.REFUSED:
                told.append(entry)
                continue
            access = entry.access
            key = (
                entry.source, access.who, access.origin, access.action, access.target, *sorted(access.detail.items())
            )  # fmt: skip
            window = self._windows.get(key)
            if window is None:
                self._windows[key] = _Window(ends=now + self._window_s, last=entry)
                told.append(entry)
            else:
                window.last, window.more = entry, window.more + 1
        return told

    def ended(self, now: float) -> list[Entry]:
        """What windows counted that have ended by now; one in which nothing was counted is over without a word."""
        over = [key for key, window in self._windows.items() if window.ends <= now]
        return [_together(window) for key in over if (window := self._windows.pop(key)).more]


def _together(window: _Window) -> Entry:
    access = window.last.access
    detail = {**access.detail, REPEATED: str(window.more)}
    return replace(window.last, access=access.model_copy(update={"detail": detail}))
