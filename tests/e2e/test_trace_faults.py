"""Parts of the traces' and logs' paths die under load: search goes on, logs lose nothing, lost spans are bounded."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("search-node")
def test_search_goes_on_while_a_search_node_is_dead_and_logs_lose_nothing(settled: Context) -> None:
    assert problems("search-node", settled) == []


@limit("jaeger")
def test_a_jaeger_collector_killed_under_load_loses_no_more_than_one_bulk(settled: Context) -> None:
    assert problems("jaeger", settled) == []


@limit("sampler")
def test_a_sampler_killed_under_load_loses_only_what_waited_for_its_decision(settled: Context) -> None:
    assert problems("sampler", settled) == []


@limit("agent")
def test_an_agent_killed_under_load_loses_nothing_that_it_acknowledged(settled: Context) -> None:
    assert problems("agent", settled) == []
