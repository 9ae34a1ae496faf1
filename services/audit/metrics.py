"""What the audit log tells Prometheus about itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.audit import Source
from services.audit.records import Outcome

_RESULTS: Final = ("written", "login", "content", "size", "cut", "busy", "brokers")


class Metrics:
    """Counters and gauges; all label values are there from the start, so that a first event is an increase."""

    def __init__(self, registry: CollectorRegistry, sources: Iterable[Source]) -> None:
        self.records = Counter(
            "audit_records", "Records that Kafka has acknowledged", ["source", "outcome"], registry=registry
        )
        self.gaps = Counter(
            "audit_gaps", "Times that a source was not read without a gap", ["source"], registry=registry
        )
        self.unreadable = Counter(
            "audit_unreadable", "Lines or events that must tell of an access and do not", ["source"], registry=registry
        )
        self.waiting = Gauge(
            "audit_waiting_since_timestamp_seconds",
            "Since when the oldest record waits for Kafka; 0: none waits",
            registry=registry,
        )
        self.posts = Counter(
            "audit_posts", "Posts of the API server, by what became of them", ["result"], registry=registry
        )
        self._expected = Gauge("audit_expected_streams", "Streams that are to be read", ["source"], registry=registry)
        self._open = Gauge("audit_open_streams", "Streams that are being read", ["source"], registry=registry)
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, Source], set[Hashable]] = {}
        for source in (*sources, Source.AUDIT):
            self.gaps.labels(source)
            self.unreadable.labels(source)
            for outcome in Outcome:
                self.records.labels(source, outcome)
        for source in sources:
            self.expect(source, ())

    def expect(self, source: Source, keys: Iterable[Hashable]) -> None:
        """Streams of a source that there are now."""
        with self._lock:
            self._keys["expected", source] = set(keys)
            self._show(source)

    def expect_posts(self, heard: Callable[[], bool]) -> None:
        """The API server posts; ``heard`` tells whether it did lately."""
        for result in _RESULTS:
            self.posts.labels(result)
        self._expected.labels(Source.CLUSTER).set(1)
        self._open.labels(Source.CLUSTER).set_function(lambda: float(heard()))

    def opened(self, source: Source, key: Hashable, is_open: bool) -> None:
        """A stream is being read, or no more."""
        with self._lock:
            streams = self._keys.setdefault(("open", source), set())
            streams.add(key) if is_open else streams.discard(key)
            self._show(source)

    def _show(self, source: Source) -> None:
        expected = self._keys.get(("expected", source), set())
        self._expected.labels(source).set(len(expected))
        self._open.labels(source).set(len(expected & self._keys.get(("open", source), set())))
