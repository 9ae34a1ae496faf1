"""Readings as Prometheus metrics. What is too old is left out: an alert must not judge yesterday's cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.search_keeper.reading import Reading

_KEPT_INTERVALS = 3
_SLOWEST_ROUND_S = 60.0
_OF_FAMILIES = {
    "search_family_indices": ("Indices of the family", "indices"),
    "search_family_documents": ("Documents of the family, nested ones included", "documents"),
    "search_family_bytes": ("Bytes of the family's primary shards", "bytes"),
    "search_family_oldest_age_seconds": ("Age of the family's oldest index that holds documents", "oldest_age_s"),
    "search_family_keep_seconds": ("How long the family's documents are to be kept", "keep_s"),
    "search_family_rollover_seconds": ("Age at which a new index is begun", "rollover_s"),
}


class KeeperMetrics(Collector):
    """The registry to serve, and the latest reading in it."""

    def __init__(self, expected_nodes: int, interval_s: float) -> None:
        """Report readings that come every ``interval_s`` seconds."""
        self._kept_s = _KEPT_INTERVALS * interval_s + _SLOWEST_ROUND_S
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._read_at = 0.0
        self.registry = CollectorRegistry()
        self.errors = Counter("search_keeper_errors", "Steps that failed, by stage", ["stage"], registry=self.registry)
        self.rollovers = Counter(
            "search_keeper_rollovers", "Indices that were begun", ["family"], registry=self.registry
        )
        self.deletions = Counter(
            "search_keeper_deletions", "Indices that were deleted by age", ["family"], registry=self.registry
        )
        self.repairs = Counter(
            "search_keeper_alias_repairs", "Aliases that were missing or wrong", registry=self.registry
        )
        self.last_success = Gauge(
            "search_keeper_last_success_timestamp_seconds",
            "When a round last succeeded in every step; 0 before the first",
            registry=self.registry,
        )
        self.last_snapshot = Gauge(
            "search_keeper_last_snapshot_timestamp_seconds",
            "Beginning of the last good snapshot; 0 without one or where none are asked for",
            registry=self.registry,
        )
        Gauge("search_nodes_expected", "Nodes that the cluster should have", registry=self.registry).set(expected_nodes)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def publish(self, reading: Reading) -> None:
        """Serve ``reading`` from now on."""
        with self._lock:
            self._reading, self._read_at = reading, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the latest reading, or nothing if it is too old."""
        with self._lock:
            reading = self._reading if time.monotonic() - self._read_at <= self._kept_s else None
        if reading is None:
            return
        yield GaugeMetricFamily("search_cluster_status", "0 green, 1 yellow, 2 red", value=reading.status)
        yield GaugeMetricFamily("search_nodes", "Nodes in the cluster", value=reading.nodes)
        shards = GaugeMetricFamily("search_shards", "Copies of shards, by state", labels=["state"])
        for state, number in reading.shards.items():
            shards.add_metric([state], number)
        yield shards
        yield from _nodes(reading)
        yield from _families(reading)


def _nodes(reading: Reading) -> Iterator[Metric]:
    disk = GaugeMetricFamily("search_node_disk_used_ratio", "Used share of the data disk", labels=["node"])
    heap = GaugeMetricFamily("search_node_heap_used_ratio", "Used share of the Java heap", labels=["node"])
    rejected = CounterMetricFamily(
        "search_node_rejected", "Requests that a thread pool refused since the node started", labels=["node", "pool"]
    )
    for node in reading.per_node:
        disk.add_metric([node.name], node.disk_used)
        heap.add_metric([node.name], node.heap_used)
        for pool, number in node.rejected.items():
            rejected.add_metric([node.name, pool], number)
    yield from (disk, heap, rejected)


def _families(reading: Reading) -> Iterator[Metric]:
    for name, (text, attribute) in _OF_FAMILIES.items():
        family = GaugeMetricFamily(name, text, labels=["family"])
        for state in reading.families:
            family.add_metric([state.name], getattr(state, attribute))
        yield family
