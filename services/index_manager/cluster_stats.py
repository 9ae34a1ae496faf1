"""State of the cluster: health, nodes and indices, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.index_manager.indices import Index
from services.index_manager.settings import FamilySettings
from services.runtime.json_api import JsonApi

STATUS: Mapping[str, int] = {"green": 0, "yellow": 1, "red": 2}
_SHARDS = ("active", "relocating", "initializing", "unassigned", "delayed_unassigned")
_POOLS = ("write", "search")


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
