"""Snapshots as Prometheus metrics. What is too old is left out: an alert must not judge yesterday's lag."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.kafka_lag.model import Snapshot, TopicState

# A snapshot outlives this many intervals, so that one missed poll makes no gap.
_KEPT_INTERVALS = 3
_TOPIC_METRICS = {
    "kafka_topic_partitions": ("Partitions of the topic", "partitions"),
    "kafka_topic_under_replicated_partitions": (
        "Partitions with fewer in-sync replicas than replicas",
        "under_replicated",
    ),
    "kafka_topic_leaderless_partitions": ("Partitions without a leader", "leaderless"),
    "kafka_topic_replicas": ("Replicas of each partition (the smallest number)", "replicas"),
    "kafka_topic_in_sync_replicas_min": ("In-sync replicas of the worst partition", "in_sync_min"),
}


class LagMetrics(Collector):
    """The registry to serve, and the latest snapshot in it."""

    def __init__(self, interval_s: float) -> None:
        """Report snapshots that come every ``interval_s`` seconds."""
        self._kept_s = _KEPT_INTERVALS * interval_s
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._published_at = 0.0
        self.registry = CollectorRegistry()
        self.errors = Counter(
            "kafka_lag_collection_errors",
            "Parts of a collection that failed, by stage",
            ["stage"],
            registry=self.registry,
        )
        self.last_success = Gauge(
            "kafka_lag_last_success_timestamp_seconds",
            "When a collection last succeeded in every part; 0 before the first",
            registry=self.registry,
        )
        self.duration = Gauge(
            "kafka_lag_collection_duration_seconds", "Duration of the latest collection", registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Serve ``snapshot`` from now on."""
        with self._lock:
            self._snapshot, self._published_at = snapshot, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the latest snapshot, or nothing if it is too old."""
        with self._lock:
            snapshot = self._snapshot if time.monotonic() - self._published_at <= self._kept_s else None
        if snapshot is None:
            return
        yield from _groups(snapshot)
        yield from _topics(snapshot)


def _groups(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ["consumergroup", "topic", "partition"]
    lag = GaugeMetricFamily("kafka_consumergroup_lag", "Records the group has not committed yet", labels=labels)
    for (group, topic, partition), value in sorted(snapshot.lags().items()):
        lag.add_metric([group, topic, str(partition)], value)
    yield lag
    position = GaugeMetricFamily("kafka_consumergroup_current_offset", "Offset the group has committed", labels=labels)
    for (group, topic, partition), value in sorted(snapshot.committed.items()):
        position.add_metric([group, topic, str(partition)], value)
    yield position
    members = GaugeMetricFamily("kafka_consumergroup_members", "Members of the group", labels=["consumergroup"])
    for group, count in sorted(snapshot.members.items()):
        members.add_metric([group], count)
    yield members


def _topics(snapshot: Snapshot) -> Iterator[Metric]:
    ends = GaugeMetricFamily("kafka_topic_partition_current_offset", "End of the log", labels=["topic", "partition"])
    for (topic, partition), value in sorted(snapshot.end_offsets.items()):
        ends.add_metric([topic, str(partition)], value)
    yield ends
    for name, (text, attribute) in _TOPIC_METRICS.items():
        family = GaugeMetricFamily(name, text, labels=["topic"])
        for topic, state in sorted(snapshot.topics.items()):
            family.add_metric([topic], _value(state, attribute))
        yield family


def _value(state: TopicState, attribute: str) -> int:
    return int(getattr(state, attribute))
