"""Counts of the calls: since the start for Prometheus, and since the last document for Jaeger."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_S: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)
_NS = 1_000_000_000
_BOUNDS_NS = [round(bound * _NS) for bound in BUCKETS_S]
_LABELS = ["client", "server"]

Edge = tuple[str, str]


@dataclass
class _Latency:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_ns: int = 0

    def observe(self, duration_ns: int) -> None:
        self.buckets[bisect_left(_BOUNDS_NS, duration_ns)] += 1
        self.total_ns += duration_ns

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        sums, total = [], 0
        for count in self.buckets:
            total += count
            sums.append(float(total))
        return list(zip(names, sums, strict=True))


@dataclass
class _Calls:
    calls: int = 0
    failed: int = 0
    served: _Latency = field(default_factory=_Latency)
    waited: _Latency = field(default_factory=_Latency)


class EdgeMetrics(Collector):
    """The map since the start, with a bound on the number of its edges: clients choose the names of services."""

    def __init__(self, most: int) -> None:
        """Tell ``most`` edges apart at most."""
        self._most = most
        self._lock = threading.Lock()
        self._edges: dict[Edge, _Calls] = {}
        self.beyond = 0

    def add(self, client: str, server: str, served_ns: int, waited_ns: int, failed: bool) -> None:
        """Count one call."""
        edge = (client, server)
        with self._lock:
            calls = self._edges.get(edge)
            if calls is None:
                if len(self._edges) >= self._most:
                    self.beyond += 1
                    return
                calls = self._edges[edge] = _Calls()
            calls.calls += 1
            calls.failed += failed
            calls.served.observe(served_ns)
            if waited_ns:
                calls.waited.observe(waited_ns)

    def collect(self) -> Iterator[Metric]:
        """Yield the map under the names that Grafana's service graph reads."""
        calls = CounterMetricFamily("traces_service_graph_request", "Calls between two services", labels=_LABELS)
        failed = CounterMetricFamily(
            "traces_service_graph_request_failed", "Calls that failed on either side", labels=_LABELS
        )
        served = HistogramMetricFamily(
            "traces_service_graph_request_server_seconds", "Duration in the called service", labels=_LABELS
        )
        waited = HistogramMetricFamily(
            "traces_service_graph_request_client_seconds", "Duration seen by a waiting caller", labels=_LABELS
        )
        with self._lock:
            for edge, edge_calls in sorted(self._edges.items()):
                names = list(edge)
                calls.add_metric(names, edge_calls.calls)
                failed.add_metric(names, edge_calls.failed)
                for family, latency in ((served, edge_calls.served), (waited, edge_calls.waited)):
                    family.add_metric(names, latency.cumulative(), latency.total_ns / _NS)
        yield from (calls, failed, served, waited)


class Tally:
    """Calls since the last document."""

    def __init__(self, most: int) -> None:
        """Hold ``most`` edges at most."""
        self._most = most
        self.calls: dict[Edge, int] = {}
        self.newest_ms = 0

    def add(self, client: str, server: str) -> None:
        """Count one call."""
        edge = (client, server)
        count = self.calls.get(edge, 0)
        if count or len(self.calls) < self._most:
            self.calls[edge] = count + 1

    def clear(self) -> None:
        """Begin again."""
        self.calls.clear()
        self.newest_ms = 0


def links(calls: Mapping[Edge, int]) -> list[dict[str, str | int]]:
    """The calls as Jaeger's ``dependencies``."""
    return [
        {"parent": client, "child": server, "callCount": count} for (client, server), count in sorted(calls.items())
    ]
