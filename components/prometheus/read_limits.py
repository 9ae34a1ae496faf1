"""How much may be read at the same time, by the memory that the read path has.

Neither a sidecar nor the query layer bounds its memory by itself (docs/adr/0071): a sidecar keeps each answer of its
Prometheus until it is complete, and the query layer every chunk of the queries that run. So what bounds them is how
many run at the same time, and a soft limit of the heap.
"""

from __future__ import annotations

from components.k8s import Resources
from components.sizes import size_of

_QUERY_BYTES = 96 * 2**20
"""Memory of the query layer for one running query."""
_READ_BYTES = 128 * 2**20
"""Memory of a sidecar for one answer of its Prometheus."""
_MOST_QUERIES = 20
"""What Thanos takes where nobody says how many; more of them would only share the same cores."""


def queries_at_once(resources: Resources) -> int:
    """Queries that a pod of the query layer runs at the same time; the others wait for their turn."""
    return max(1, min(_MOST_QUERIES, size_of(resources.memory_limit) // _QUERY_BYTES))


def reads_at_once(sidecar: Resources) -> int:
    """Answers that a Prometheus sends to its sidecar at the same time; the others wait for their turn."""
    return max(1, min(_MOST_QUERIES, size_of(sidecar.memory_limit) // _READ_BYTES))


def heap_limit(resources: Resources) -> dict[str, str]:
    """Environment of a Go program that collects garbage more often as it comes near the limit of its memory."""
    return {"GOMEMLIMIT": f"{size_of(resources.memory_limit) * 8 // 10 // 2**20}MiB"}
