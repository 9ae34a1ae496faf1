"""Which segment is stored next, and when again after a failure: without end, with longer and longer pauses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from services.kafka_archive.metrics import Metrics
from services.kafka_archive.news import News
from services.kafka_archive.places import Place
from services.kafka_archive.storing import WORKERS, Result, Storing

_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class Deposits:
    """Asks the threads of `Storing`; of a place one segment at a time, so that they are stored in order."""

    def __init__(self, storing: Storing, metrics: Metrics, news: News) -> None:
        self._storing, self._metrics, self._news = storing, metrics, news
        self._busy = self._failed_in_row = 0
        self._retry_at = 0.0

    def ask(self, places: Iterable[Place]) -> None:
        """Let the first segments of places be stored, the oldest first; one at a time while the storage fails."""
        if time.monotonic() < self._retry_at:
            return
        free = (1 if self._failed_in_row else WORKERS) - self._busy
        due = [place for place in places if place.closed and not place.storing] if free > 0 else []
        for place in sorted(due, key=lambda each: each.closed[0].opened)[:free]:
            place.storing = True
            self._busy += 1
            self._storing.ask(place.closed[0])

    def collect(self, places: Mapping[tuple[str, int], Place], wait_s: float = 0.0) -> None:
        """Take note of attempts that ended; waits for the first one so long."""
        for result in self._storing.results(wait_s):
            self._busy -= 1
            segment = result.segment
            place = places.get((segment.topic, segment.partition))
            # A place may have been lost, and have come back, since the segment was begun.
            mine = place is not None and bool(place.closed) and place.closed[0] is segment
            if place is not None and mine:
                place.storing = False
            if result.problem:
                self._again(result.problem)
                continue
            self._failed_in_row, self._retry_at = 0, 0.0
            self._news.well("storage")
            self._count(result)
            if place is not None and mine:
                place.stored = place.closed.popleft().last + 1

    def _again(self, problem: str) -> None:
        self._retry_at = time.monotonic() + _PAUSES_S[min(self._failed_in_row, len(_PAUSES_S) - 1)]
        self._failed_in_row += 1
        self._metrics.failed.inc()
        self._news.failed("storage", problem)

    def _count(self, result: Result) -> None:
        segment, metrics = result.segment, self._metrics
        metrics.objects.inc()
        metrics.records.labels(segment.topic).inc(segment.records)
        metrics.plain.labels(segment.topic).inc(segment.plain)
        metrics.stored_bytes.labels(segment.topic).inc(result.size)
        metrics.last.labels(segment.topic).set_to_current_time()
