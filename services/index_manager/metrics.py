"""Cluster statistics as Prometheus metrics. What is too old is left out: no alert judges yesterday's cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.index_manager.cluster_stats import ClusterStats

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


class IndexManagerMetrics(Collector):
    """The registry to serve, and the latest stats in it."""

    def __init__(self, expected_nodes: int, interval_s: float) -> None:
        """Report statistics that come every ``interval_s`` seconds."""
        self._kept_s = _KEPT_INTERVALS * interval_s + _SLOWEST_ROUND_S
        self._lock = threading.Lock()
        self._stats: ClusterStats | None = None
        self._published_at = 0.0
        self.registry = CollectorRegistry()
        self.errors = Counter("index_manager_errors", "Steps that failed, by stage", ["stage"], registry=self.registry)
        self.rollovers = Counter(
            "index_manager_rollovers", "Indices that were begun", ["family"], registry=self.registry
        )
        self.deletions = Counter(
            "index_manager_deletions", "Indices that were deleted by age", ["family"], registry=self.registry
        )
        self.repairs = Counter(
            "index_manager_alias_repairs", "Aliases that were missing or wrong", registry=self.registry
        )
        self.last_success = Gauge(
            "index_manager_last_success_timestamp_seconds",
            "When a round last succeeded in every step; 0 before the first",
            registry=self.registry,
        )
        self.last_snapshot = Gauge(
            "index_manager_last_snapshot_timestamp_seconds",
            "Beginning of the last good snapshot; 0 without one or where none are asked for",
            registry=self.registry,
        )
        Gauge("search_nodes_expected", "Nodes that the cluster should have", registry=self.registry).set(expected_nodes)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def publish(self, stats: ClusterStats) -> None:
        """Serve ``stats`` from now on."""
        with self._lock:
            self._stats, self._published_at = stats, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the latest stats, or nothing if it is too old."""
        with self._lock:
            stats = self._stats if time.monotonic() - self._published_at <= self._kept_s else None
        if stats is None:
            return
        yield GaugeMetricFamily("search_cluster_status", "0 green, 1 yellow, 2 red", value=stats.status)
        yield GaugeMetricFamily("search_nodes", "Nodes in the cluster", value=stats.nodes)
        shards = GaugeMetricFamily("search_shards", "Copies of shards, by state", labels=["state"])
        for state, number in stats.shards.items():
            shards.add_metric([state], number)
        yield shards
        yield from _nodes(stats)
        yield from _families(stats)


def _nodes(stats: ClusterStats) -> Iterator[Metric]:
    disk = GaugeMetricFamily("search_node_disk_used_ratio", "Used share of the data disk", labels=["node"])
    heap = GaugeMetricFamily("search_node_heap_used_ratio", "Used share of the Java heap", labels=["node"])
    rejected = CounterMetricFamily(
        "search_node_rejected", "Requests that a thread pool refused since the node started", labels=["node", "pool"]
    )
    for node in stats.per_node:
        disk.add_metric([node.name], node.disk_used)
        heap.add_metric([node.name], node.heap_used)
        for pool, number in node.rejected.items():
            rejected.add_metric([node.name, pool], number)
    yield from (disk, heap, rejected)


def _families(stats: ClusterStats) -> Iterator[Metric]:
    for name, (text, attribute) in _OF_FAMILIES.items():
        family = GaugeMetricFamily(name, text, labels=["family"])
        for state in stats.families:
            family.add_metric([state.name], getattr(state, attribute))
        yield family
