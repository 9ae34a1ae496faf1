"""What the archive tells Prometheus; every failure is counted, and logged once while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

STAGES = ("kafka", "record", "storage")
_MOST_LOGGED = 20


class Metrics:
    """The registry to serve, and what is in it; all of a topic is there from the start."""

    def __init__(self, topics: Iterable[str]) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"kafka_archive_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"kafka_archive_{name}", text, labels, registry=registry)

        topic = ("topic",)
        self.records = counter("records", "Records that are stored", topic)
        self.plain = counter("plain_bytes", "Bytes of keys, values and headers that are stored", topic)
        self.stored_bytes = counter("stored_bytes", "Bytes of the objects that were stored", topic)
        self.gaps = counter("gap_records", "Records that retention removed before they were archived", topic)
        self.skipped = counter(
            "skipped_offsets", "Offsets for which the brokers gave no record: marks of transactions, compaction", topic
        )
        self.last = gauge(
            "last_stored_timestamp_seconds", "When an object was last stored; before the first: the start", topic
        )
        self.objects = counter("stored_objects", "Objects that were stored")
        self.failed = counter("failed_stores", "Attempts to store an object that failed")
        self.failures = counter("failures", "Attempts that failed, by stage", ("stage",))
        self.waiting_records = gauge("waiting_records", "Records in memory that are not stored yet")
        self.waiting_bytes = gauge("waiting_bytes", "Bytes that they take in memory, compressed")
        self.waiting_s = gauge("waiting_seconds", "Age in memory of the oldest of them; 0 for none")
        self.paused = gauge("paused", "1 while no more is read, since the memory is full")
        self.partitions = gauge("partitions", "Partitions that this process reads")
        for stage in STAGES:
            self.failures.labels(stage)
        for name in topics:
            for family in (self.records, self.plain, self.stored_bytes, self.gaps, self.skipped):
                family.labels(name)
            self.last.labels(name).set_to_current_time()


class FailureRecorder:
    """Problems by stage (`metrics.STAGES`)."""

    def __init__(self, metrics: Metrics, log: Callable[[str], None]) -> None:
        self._failures, self.log = metrics.failures, log
        self._logged: dict[str, set[str]] = {}
        self._failed_at: dict[str, float] = {}

    def failed(self, stage: str, problem: str) -> None:
        """Count a failure; log it unless it was logged since the last recovery."""
        self._failures.labels(stage).inc()
        self._failed_at[stage] = time.monotonic()
        logged = self._logged.setdefault(stage, set())
        if problem not in logged and len(logged) < _MOST_LOGGED:
            logged.add(problem)
            self.log(f"{stage}: {problem}")

    def recovered(self, stage: str, quiet_s: float = 0.0) -> None:
        """Log the recovery, if there was a failure: nothing failed for ``quiet_s`` seconds, and now it works."""
        if self._logged.get(stage) and time.monotonic() - self._failed_at[stage] >= quiet_s:
            self._logged[stage].clear()
            self.log(f"{stage}: all is well again")
