"""What happened when: changes of a state put together to spans of time, and a chart of them that GitHub draws."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LANES = ("drill", "platform", "dashboards", "alerts", "notices")
MOST_SHOWN = 14
"""Rows of one lane in a chart."""
_UNSAFE = re.compile(r"[^\w .,/()'\u0080-\uffff-]+")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that lasted, or a moment.

    Attributes:
        lane: One of `LANES`.
        what: What it was.
        start: Seconds since the drill began.
        end: Its end; the same as ``start`` for a moment, None while it goes on.
    """

    lane: str
    what: str
    start: float
    end: float | None

    @property
    def moment(self) -> bool:
        """Whether it has no length."""
        return self.end == self.start

    def as_json(self) -> dict[str, Any]:
        """The event for machines."""
        return {"lane": self.lane, "what": self.what, "start": self.start, "end": self.end}


class Changes:
    """Makes spans of time from looks at a state; any thread may tell what it saw."""

    def __init__(self, lane: str) -> None:
        self._lane, self._lock = lane, threading.Lock()
        self._open: dict[str, tuple[float, int]] = {}
        self._done: list[Event] = []

    def feed(self, at: float, scope: str, seen: Mapping[str, int]) -> None:
        """Tell what is the case now.

        Args:
            at: Seconds since the drill began.
            scope: Who looks; what he saw before and does not see any more is over.
            seen: Text in which ``{n}`` stands for the worst number of the span -> the number now.
        """
        keys = {f"{scope}\0{text}": number for text, number in seen.items()}
        with self._lock:
            for key in [
                open_key for open_key in self._open if open_key.startswith(f"{scope}\0") and open_key not in keys
            ]:
                self._done.append(self._event(key, *self._open.pop(key), at))
            for key, number in keys.items():
                start, worst = self._open.get(key, (at, number))
                self._open[key] = (start, max(worst, number))

    def note(self, at: float, what: str) -> None:
        """Tell of a moment."""
        with self._lock:
            self._done.append(Event(lane=self._lane, what=what, start=round(at, 1), end=round(at, 1)))

    def events(self) -> list[Event]:
        """Everything until now, by begin; what goes on has no end."""
        with self._lock:
            going_on = [self._event(key, *value, None) for key, value in self._open.items()]
            return sorted([*self._done, *going_on], key=lambda event: (event.start, event.what))

    def _event(self, key: str, start: float, worst: int, end: float | None) -> Event:
        what = key.partition("\0")[2].replace("{n}", str(worst))
        # A span that begins and ends between two looks has a length all the same.
        until = None if end is None else round(max(end, start + 0.1), 1)
        return Event(lane=self._lane, what=what, start=round(start, 1), end=until)


def mermaid(title: str, events: Iterable[Event], length: float) -> str:
    """A Gantt chart as text of Mermaid, with seconds on its axis.

    Args:
        title: Title.
        events: What to draw; of each lane at most `MOST_SHOWN`, the first ones.
        length: Seconds that the chart is long.
    """
    lines = ["gantt", f"    title {_safe(title)}", "    dateFormat X", "    axisFormat %s s"]
    by_lane: dict[str, list[Event]] = {}
    for event in events:
        by_lane.setdefault(event.lane, []).append(event)
    for lane in sorted(by_lane, key=_order):
        lane_events = sorted(by_lane[lane], key=lambda event: event.start)
        lines.append(f"    section {_safe(lane)}")
        lines += [_bar(lane_event, length) for lane_event in lane_events[:MOST_SHOWN]]
        if more := len(lane_events) - MOST_SHOWN:
            lines += [f"    and {more} more :milestone, {_second(length)}, 0s"] if more > 0 else []
    return "\n".join(lines)


def rows(events: Sequence[Event]) -> list[str]:
    """The same as rows of a Markdown table."""
    lines = ["| seconds | | what |", "|---|---|---|"]
    for shown in sorted(events, key=lambda event: (event.start, _order(event.lane))):
        until = "" if shown.moment else f" to {shown.end:.1f}" if shown.end is not None else " on"
        lines.append(f"| {shown.start:.1f}{until} | {shown.lane} | {cell(shown.what)} |")
    return lines


def cell(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _order(lane: str) -> tuple[int, str]:
    return (LANES.index(lane) if lane in LANES else len(LANES), lane)


def _bar(event: Event, length: float) -> str:
    name = _safe(event.what)
    if event.moment:
        return f"    {name} :milestone, {_second(event.start)}, 0s"
    tag = {"platform": "crit, ", "dashboards": "crit, ", "alerts": "active, "}.get(event.lane, "")
    end = max(_second(event.end if event.end is not None else length), _second(event.start) + 1)
    return f"    {name} :{tag}{_second(event.start)}, {end}"


def _second(moment: float) -> int:
    return max(0, round(moment))


def _safe(text: str) -> str:
    """Text without what Mermaid takes for itself: colons, semicolons, commas in names, comment signs."""
    return " ".join(_UNSAFE.sub(" ", text.replace(",", " ")).split()) or "-"
