"""How much may be read at once, by the memory there is."""

from __future__ import annotations

import pytest

from components import naming
from components.k8s import Resources
from components.prometheus.config import prometheus_command, queries_at_once, reads_at_once
from components.prometheus.thanos import query_command
from stacks.sizing import PRODUCTION, SMALL, Sizing


def _of(limit: str) -> Resources:
    return Resources(cpu="10m", memory="32Mi", memory_limit=limit)


@pytest.mark.parametrize(("limit", "queries", "reads"), [("48Mi", 1, 1), ("384Mi", 4, 3), ("1Gi", 10, 8)])
def test_what_runs_at_once_follows_the_memory_limit(limit: str, queries: int, reads: int) -> None:
    assert queries_at_once(_of(limit)) == queries
    assert reads_at_once(_of(limit)) == reads


def test_much_memory_does_not_let_everything_run_at_once() -> None:
    assert queries_at_once(_of("64Gi")) == reads_at_once(_of("64Gi")) == 20


def test_the_heap_stays_below_the_limit() -> None:
    assert naming.heap_limit("256Mi") == {"GOMEMLIMIT": "204MiB"}


@pytest.mark.parametrize("sizing", [SMALL, PRODUCTION])
def test_no_query_has_to_wait_for_a_single_other_one(sizing: Sizing) -> None:
    assert queries_at_once(sizing.query) >= 2
    assert reads_at_once(sizing.sidecar) >= 2


def test_the_servers_are_told() -> None:
    assert "--storage.remote.read-concurrent-limit=3" in prometheus_command(
        retention_time="1d", retention_size="1GB", reads_at_once=3
    )
    assert "--query.max-concurrent=5" in query_command(queries_at_once=5)
