"""The search cluster as the index manager reports it: part of the rows about traces and logs."""

from __future__ import annotations

from components.search.access import INDEX_MANAGER
from ops.core.context import Context
from ops.core.rows import Finding

_GREEN = 0.0
_JOB = f'{{job="{INDEX_MANAGER}"}}'


def healthy(context: Context, finding: Finding) -> None:
    """Every node is there, every copy of every shard is assigned, and the index manager goes on."""
    thanos = context.thanos
    status = thanos.number(f"max(search_cluster_status{_JOB})")
    finding.expect(status == _GREEN, f"status of the search cluster is {_word(status)}, must be green")
    nodes, expected = thanos.number(f"max(search_nodes{_JOB})"), thanos.number(f"max(search_nodes_expected{_JOB})")
    finding.expect(
        nodes is not None and nodes == expected, f"{nodes or 0:.0f} search nodes, must be {expected or 0:.0f}"
    )
    finding.figures.append(f"search {_word(status)}, {nodes or 0:.0f} nodes")


def documents(context: Context, family: str) -> float:
    """Documents in a family of indices, as the index manager counts them."""
    return context.thanos.number(f'max(search_family_documents{{job="{INDEX_MANAGER}",family="{family}"}})') or 0.0


def _word(status: float | None) -> str:
    return {0.0: "green", 1.0: "yellow", 2.0: "red"}.get(status if status is not None else -1.0, "not reported")
