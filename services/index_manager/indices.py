"""Indices of a family: templates, aliases, new ones, and the end of old ones; and the state of the cluster: health,
nodes and indices, as plain data and as Prometheus metrics.

What is too old is left out: no alert judges yesterday's cluster.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.index_manager import FamilySettings
from services.runtime.json_api import JsonApi

_MS = 1000.0


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index of a family: its number, the moment of its creation, its aliases."""

    name: str
    number: int
    created: float
    aliases: frozenset[str]


def first_index(family: FamilySettings) -> str:
    """Name of a family's first index; the server counts on from there."""
    return f"{family.name}-000001"


def listed(client: JsonApi, families: Iterable[FamilySettings]) -> dict[str, list[Index]]:
    """Family -> its indices, oldest first."""
    families = tuple(families)
    patterns = ",".join(f"{family.name}-0*" for family in families)
    shown = "filter_path=*.aliases,*.settings.index.creation_date&expand_wildcards=all&ignore_unavailable=true"
    answer = client.ask("GET", f"/{patterns}?{shown}") or {}
    return {family.name: _of_family(family, answer) for family in families}


def _of_family(family: FamilySettings, answer: Mapping[str, Any]) -> list[Index]:
    indices = []
    for name, content in answer.items():
        prefix, _, number = name.rpartition("-")
        if prefix == family.name and number.isdigit():
            created = int(content["settings"]["index"]["creation_date"]) / _MS
            aliases = frozenset(content.get("aliases", {}))
            indices.append(Index(name=name, number=int(number), created=created, aliases=aliases))
    return sorted(indices, key=lambda index: index.number)


def ensure_template(client: JsonApi, family: FamilySettings) -> bool:
    """Store the family's template unless it is there as it should be; tell whether it was stored."""
    checksum = hashlib.sha256(json.dumps(family.template, sort_keys=True).encode()).hexdigest()
    answer = client.ask("GET", f"/_index_template/{family.name}") or {}
    for entry in answer.get("index_templates", []):
        if entry["index_template"].get("_meta", {}).get("checksum") == checksum:
            return False
    client.ask("PUT", f"/_index_template/{family.name}", {**family.template, "_meta": {"checksum": checksum}})
    return True


def ensure_first(client: JsonApi, family: FamilySettings) -> None:
    """Create the family's first index, with its write alias."""
    client.ask("PUT", f"/{first_index(family)}", {"aliases": {family.write_alias: {}}})


def alias_changes(
    families: Sequence[FamilySettings], indices: Mapping[str, Sequence[Index]]
) -> list[dict[str, dict[str, str]]]:
    """What is missing or wrong among the aliases of every index.

    Only the newest index is written to. An alias of another family that leads to an index of this one would show it to
    the wrong readers, so it is taken away; aliases that are none of ours are left alone.
    """
    ours = {alias for family in families for alias in (family.write_alias, *family.read_aliases)}
    changes: list[dict[str, dict[str, str]]] = []
    for family in families:
        own = indices[family.name]
        for index in own:
            wanted = {*family.read_aliases} | ({family.write_alias} if index is own[-1] else set())
            changes += [_change("remove", index.name, alias) for alias in sorted((index.aliases & ours) - wanted)]
            changes += [_change("add", index.name, alias) for alias in sorted(wanted - index.aliases)]
    return changes


def _change(action: str, index: str, alias: str) -> dict[str, dict[str, str]]:
    return {action: {"index": index, "alias": alias}}


def roll_over(client: JsonApi, family: FamilySettings) -> bool:
    """Begin a new index if the newest has reached one of its limits; tell whether one was begun."""
    conditions = {
        "max_age": f"{family.rollover.age_s}s",
        "max_size": f"{family.rollover.bytes}b",
        "max_docs": family.rollover.documents,
    }
    answer = client.ask("POST", f"/{family.write_alias}/_rollover", {"conditions": conditions}) or {}
    return bool(answer.get("rolled_over"))


def expired(family: FamilySettings, indices: Sequence[Index], now: float) -> list[Index]:
    """Indices whose newest document is older than the family is kept: the next index has been written for that long.

    No index is older than the one before it: a node whose clock was wrong when it made one must not end that one early.
    """
    return [
        index for index, following in pairwise(indices) if now - max(index.created, following.created) > family.keep_s
    ]


def earliest_clock(client: JsonApi, own: float) -> float:
    """The earliest of all clocks, the nodes' and our own: what is deleted does not come back.

    Raises:
        ApiError: The cluster does not tell its time.
    """
    answer = client.ask("GET", "/_nodes/stats/os?filter_path=nodes.*.timestamp") or {}
    clocks = (float(content["timestamp"]) / _MS for content in answer.get("nodes", {}).values())
    return min([own, *clocks])


def delete(client: JsonApi, index: Index) -> None:
    """Delete an index with its documents."""
    client.ask("DELETE", f"/{index.name}")


STATUS: Mapping[str, int] = {"green": 0, "yellow": 1, "red": 2}
_SHARDS = ("active", "relocating", "initializing", "unassigned", "delayed_unassigned")
_POOLS = ("write", "search")
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


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node: used share of its disk and of its heap, and requests that its thread pools have refused."""

    name: str
    disk_used: float
    heap_used: float
    rejected: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class FamilyState:
    """A family: documents and bytes (primaries only) of all its indices, and the age of the oldest."""

    name: str
    indices: int
    documents: int
    bytes: int
    oldest_age_s: float
    keep_s: int
    rollover_s: int


@dataclass(frozen=True, kw_only=True)
class ClusterStats:
    """Health, nodes and indices at one moment."""

    status: int
    nodes: int
    shards: Mapping[str, int]
    per_node: Sequence[Node] = ()
    families: Sequence[FamilyState] = field(default_factory=tuple)


def health(client: JsonApi) -> dict[str, Any]:
    """Health of the cluster."""
    answer: dict[str, Any] = client.ask("GET", "/_cluster/health") or {}
    return answer


def sizes(client: JsonApi, families: Sequence[FamilySettings]) -> dict[str, tuple[int, int]]:
    """Index -> documents and bytes of its primaries."""
    patterns = ",".join(f"{family.name}-0*" for family in families)
    shown = "filter_path=indices.*.primaries.docs.count,indices.*.primaries.store.size_in_bytes"
    answer = client.ask("GET", f"/{patterns}/_stats/docs,store?{shown}&ignore_unavailable=true") or {}
    return {
        name: (
            content["primaries"].get("docs", {}).get("count", 0),
            content["primaries"].get("store", {}).get("size_in_bytes", 0),
        )
        for name, content in answer.get("indices", {}).items()
    }


def nodes(client: JsonApi) -> list[Node]:
    """Disk, heap and refusals of every node that answers."""
    shown = "filter_path=nodes.*.name,nodes.*.fs.total,nodes.*.jvm.mem.heap_used_percent,nodes.*.thread_pool.*.rejected"
    answer = client.ask("GET", f"/_nodes/stats/fs,jvm,thread_pool?{shown}") or {}
    return sorted((_node(content) for content in answer.get("nodes", {}).values()), key=lambda node: node.name)


def _node(content: Mapping[str, Any]) -> Node:
    disk = content.get("fs", {}).get("total", {})
    total = disk.get("total_in_bytes", 0)
    return Node(
        name=content["name"],
        disk_used=1 - disk.get("available_in_bytes", 0) / total if total else 0.0,
        heap_used=content.get("jvm", {}).get("mem", {}).get("heap_used_percent", 0) / 100,
        rejected={pool: content.get("thread_pool", {}).get(pool, {}).get("rejected", 0) for pool in _POOLS},
    )


def assemble(
    of_cluster: Mapping[str, Any],
    per_node: Sequence[Node],
    families: Sequence[FamilySettings],
    indices: Mapping[str, Sequence[Index]],
    of_index: Mapping[str, tuple[int, int]],
    now: float,
) -> ClusterStats:
    """Put the answers together."""
    return ClusterStats(
        status=STATUS[of_cluster["status"]],
        nodes=of_cluster["number_of_nodes"],
        shards={state: of_cluster[f"{state}_shards"] for state in _SHARDS},
        per_node=per_node,
        families=[_family(family, indices[family.name], of_index, now) for family in families],
    )


def _family(
    family: FamilySettings, own: Sequence[Index], of_index: Mapping[str, tuple[int, int]], now: float
) -> FamilyState:
    totals = [of_index.get(index.name, (0, 0)) for index in own]
    # An index that nobody has written to holds nothing old, however old it is.
    filled = [index for index, (documents, _) in zip(own, totals, strict=True) if documents]
    return FamilyState(
        name=family.name,
        indices=len(own),
        documents=sum(documents for documents, _ in totals),
        bytes=sum(size for _, size in totals),
        oldest_age_s=max(0.0, now - filled[0].created) if filled else 0.0,
        keep_s=family.keep_s,
        rollover_s=family.rollover.age_s,
    )


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
