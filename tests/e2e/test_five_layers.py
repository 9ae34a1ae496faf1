"""The five layers' telemetry arrives in both Prometheus and through Thanos Query (L1..L5, P1)."""

from __future__ import annotations

import statistics

import pytest

from components.telemetry.layers import LAYERS, Layer
from ops.checks.prometheus import freshness, layer_check, layer_counts
from ops.core.context import Context
from tests.support.results import recorded

FRESHNESS_RUNS = 5
FRESH_ENOUGH_SECONDS = 30.0


@pytest.mark.timeout(300)
def test_all_layers_are_in_both_prometheus_and_behind_the_one_read_address(context: Context) -> None:
    with recorded("five-layers", context.kube) as figures:
        queries = [*(context.prometheus(replica) for replica in context.platform.prometheus_replicas), context.thanos]
        for query in queries:
            counts = layer_counts(query)
            figures[f"series at {query.name}"] = sum(counts.values())
            assert all(counts.values()), f"{query.name} has no series of some layer: {counts}"
        delays = [freshness(context) for _ in range(FRESHNESS_RUNS)]
        figures["freshness median s"] = round(statistics.median(delays), 2)
        figures["freshness worst s"] = round(max(delays), 2)
        assert max(delays) < FRESH_ENOUGH_SECONDS


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_every_metric_of_the_catalogue_is_live(context: Context, layer: Layer) -> None:
    assert layer_check(layer)(context).wrong == []
