"""What repeats itself, told as one record with its number: a client that is refused tries for ever, and a service
comes all day.

Refusals and gaps are counted at every source, what is let in at those where services do the same over and over. The
first is told at once. Equal ones are counted, and told together when a window ends; each window is twice as long as
the one before. After two without any, the next such access is told at once again. Where a source has more different
ones at a time than are kept apart, the others are told together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from services.audit.records import GAP, REPEATED, UNKNOWN, Entry, Outcome
from services.audit.settings import Source

WINDOW_S = 60.0
LONGEST_S = 3600.0
MOST_WINDOWS: Final = 2000
"""Different accesses of a source, refused and others, that are counted apart at a time: whoever tries made-up names
fills no memory, and hides nobody who is let in."""
COUNTED: Final = frozenset({Source.DATABASE, Source.GRAFANA, Source.SEARCH, Source.CLUSTER})
"""Sources at which what is let in is counted as well."""
OTHERS: Final = "others"
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
    """What came lately."""

    def __init__(self) -> None:
        self._windows: dict[_Key, _Window] = {}
        self._sizes: Counter[tuple[Source, bool]] = Counter()

    @property
    def due(self) -> float | None:
        """When the next window ends; None: there is none."""
        return min((window.ends for window in self._windows.values()), default=None)

    def folded(self, entries: Iterable[Entry], now: float) -> list[Entry]:
        """Of these, what is to be told now; ``now`` is a clock that only goes on."""
        told = []
        for entry in entries:
            if entry.access.outcome is not Outcome.REFUSED and entry.source not in COUNTED and not _is_gap(entry):
                told.append(entry)
            elif (first := self._counted(entry, now)) is not None:
                told.append(first)
        return told

    def _counted(self, entry: Entry, now: float) -> Entry | None:
        key = _key(entry)
        if key not in self._windows and self._sizes[_kind(entry)] >= MOST_WINDOWS:
            entry = _without_names(entry)
            key = _key(entry)
        window = self._windows.get(key)
        if window is not None:
            window.last, window.more = entry, window.more + 1
            return None
        self._windows[key] = _Window(ends=now + WINDOW_S, length_s=WINDOW_S, last=entry)
        self._sizes[_kind(entry)] += 1
        return entry

    def ended(self, now: float) -> list[Entry]:
        """What windows counted that have ended by now."""
        told = []
        for key, window in list(self._windows.items()):
            if window.ends > now:
                continue
            empty = 0 if window.more else window.empty + 1
            if empty == _MOST_EMPTY:
                del self._windows[key]
                self._sizes[_kind(window.last)] -= 1
                continue
            if window.more:
                told.append(_together(window))
            length_s = min(2 * window.length_s, LONGEST_S)
            self._windows[key] = _Window(ends=now + length_s, length_s=length_s, last=window.last, empty=empty)
        return told

    def all(self) -> list[Entry]:
        """What was counted and not told yet: nothing more will come."""
        return [_together(window) for window in self._windows.values() if window.more]


def _kind(entry: Entry) -> tuple[Source, bool]:
    return entry.source, entry.access.outcome is Outcome.REFUSED


def _is_gap(entry: Entry) -> bool:
    return entry.source is Source.AUDIT and entry.access.action == GAP


def _key(entry: Entry) -> _Key:
    access = entry.access
    names = (access.who, access.origin, access.action, access.target, entry.part if _is_gap(entry) else "")
    return (entry.source, access.outcome, *names, *sorted(access.detail.items()))


def _without_names(entry: Entry) -> Entry:
    names = {"who": UNKNOWN, "origin": UNKNOWN, "action": OTHERS, "target": f"{entry.source}:{OTHERS}", "detail": {}}
    return replace(entry, access=entry.access.model_copy(update=names))


def _together(window: _Window) -> Entry:
    access = window.last.access
    detail = {**access.detail, REPEATED: str(window.more)}
    return replace(window.last, access=access.model_copy(update={"detail": detail}))
