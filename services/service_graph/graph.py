"""Finds calls between services: a span and its parent, or a consumer and the producer that it is linked to.

Spans come in any order and from several records, so each is remembered for a while: in a young and an old generation,
of which the old one is forgotten when the young one has lived for the window. What waits for its parent waits as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.service_graph.spans import CLIENT, CONSUMER, ERROR, PRODUCER, service_name

Known = tuple[str, int, int, bool, int]
"""A span's service, kind, duration in nanoseconds, whether it failed, and what it is news for."""
Call = Callable[[str, str, int, int, bool, int], None]
"""Told of each call: caller, called, duration there, duration seen by the caller (0: unknown), whether it failed, and
what it is news for: a call is known only where both its spans are."""


class Matcher:
    """Remembers spans and tells of calls."""

    def __init__(self, window_ms: int, most_spans: int) -> None:
        """Match spans that come within ``window_ms`` of each other, and remember twice ``most_spans`` at most."""
        self._window_ms = window_ms
        self._most = most_spans
        self._turned_at = 0
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._waiting: dict[bytes, list[tuple[Known, bool]]] = {}
        self._waiting_old: dict[bytes, list[tuple[Known, bool]]] = {}
        self.forgotten_early = 0
        self.unmatched = 0

    @property
    def remembered(self) -> int:
        """Spans in memory."""
        return len(self._young) + len(self._old)

    def clear(self) -> None:
        """Forget everything."""
        for spans in (self._young, self._old, self._waiting, self._waiting_old):
            spans.clear()

    def add(self, traces: Any, now_ms: int, call: Call, news: int = 1) -> int:
        """Take the spans of one record that was written at ``now_ms``; returns their number.

        Args:
            traces: The record.
            now_ms: When it was written.
            call: Told of the calls that it completes.
            news: Bits for those to whom the record is news; a call is news where one of its two spans is.
        """
        if now_ms - self._turned_at >= self._window_ms or len(self._young) >= self._most:
            self._turn(now_ms)
        young, taken, later = self._young, 0, []
        for group in traces.resource_spans:
            service = service_name(group.resource)
            for scope in group.scope_spans:
                for span in scope.spans:
                    taken += 1
                    trace_id, kind = span.trace_id, span.kind
                    duration = span.end_time_unix_nano - span.start_time_unix_nano
                    own = (service, kind, duration if duration > 0 else 0, span.status.code == ERROR, news)
                    key = trace_id + span.span_id
                    young[key] = own
                    parent = span.parent_span_id
                    if parent:
                        later.append((trace_id + parent, own, False))
                    if kind == CONSUMER and span.links:
                        later += [
                            (link.trace_id + link.span_id, own, True)
                            for link in span.links
                            if link.span_id != parent or link.trace_id != trace_id
                        ]
                    if self._waiting or self._waiting_old:
                        self._released(key, own, call)
        for parent_key, own, linked in later:
            known = young.get(parent_key) or self._old.get(parent_key)
            if known is None:
                self._waiting.setdefault(parent_key, []).append((own, linked))
            elif known[0] != own[0]:
                _log_change(known, own, linked, call)
        return taken

    def _released(self, key: bytes, own: Known, call: Call) -> None:
        for waiting in (self._waiting, self._waiting_old):
            for child, linked in waiting.pop(key, ()):
                if child[0] != own[0]:
                    _log_change(own, child, linked, call)

    def _turn(self, now_ms: int) -> None:
        if self._young and now_ms - self._turned_at < self._window_ms:
            self.forgotten_early += len(self._old)
        self._turned_at = now_ms
        self._old, self._young = self._young, {}
        self.unmatched += sum(len(waiting_spans) for waiting_spans in self._waiting_old.values())
        self._waiting_old, self._waiting = self._waiting, {}


def _log_change(caller: Known, called: Known, linked: bool, call: Call) -> None:
    if linked and caller[1] != PRODUCER:
        return
    seen = caller[2] if caller[1] == CLIENT else 0
    call(caller[0], called[0], called[2], seen, caller[3] or called[3], caller[4] | called[4])
