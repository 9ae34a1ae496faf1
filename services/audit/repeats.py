"""Refusals that repeat themselves, told as one record with their number: a client that is refused tries for ever.

The first is told at once. Equal ones are counted, and told together when a window ends; each window is twice as long as
the one before. After two without any, the next such refusal is told at once again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.audit.records import REPEATED, Entry, Outcome

WINDOW_S = 60.0
LONGEST_S = 3600.0
_MOST_EMPTY = 2
_Key = tuple[object, ...]


@dataclass
class _Window:
    """What was counted since the last record of it."""

    ends: float
    length_s: float
    last: Entry
    more: int = 0
    empty: int = 0


class Repeats:
    """What was refused lately."""

    def __init__(self) -> None:
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
            key = _key(entry)
            window = self._windows.get(key)
            if window is None:
                self._windows[key] = _Window(ends=now + WINDOW_S, length_s=WINDOW_S, last=entry)
                told.append(entry)
            else:
                window.last, window.more = entry, window.more + 1
        return told

    def ended(self, now: float) -> list[Entry]:
        """What windows counted that have ended by now."""
        told = []
        for key, window in list(self._windows.items()):
            if window.ends > now:
                continue
            empty = 0 if window.more else window.empty + 1
            if empty == _MOST_EMPTY:
                del self._windows[key]
                continue
            if window.more:
                told.append(_together(window))
            length_s = min(2 * window.length_s, LONGEST_S)
            self._windows[key] = _Window(ends=now + length_s, length_s=length_s, last=window.last, empty=empty)
        return told

    def all(self) -> list[Entry]:
        """What was counted and not told yet: nothing more will come."""
        return [_together(window) for window in self._windows.values() if window.more]


def _key(entry: Entry) -> _Key:
    access = entry.access
    return (entry.source, access.who, access.origin, access.action, access.target, *sorted(access.detail.items()))


def _together(window: _Window) -> Entry:
    access = window.last.access
    detail = {**access.detail, REPEATED: str(window.more)}
    return replace(window.last, access=access.model_copy(update={"detail": detail}))
