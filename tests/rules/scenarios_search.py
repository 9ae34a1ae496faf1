"""Scenarios of the alerts about the search cluster."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_OF = 'job="index-manager",instance="index-manager-0"'
_LABELS = {"job": "index-manager", "instance": "index-manager-0"}
_NODE = f'{_OF},node="search-1"'
_FAMILY = f'{_OF},family="logs"'
_DAY = 86400


def _ages(oldest_days: float) -> dict[str, str]:
    return {
        f"search_family_oldest_age_seconds{{{_FAMILY}}}": f"{int(oldest_days * _DAY)}+30x100",
        f"search_family_keep_seconds{{{_FAMILY}}}": f"{14 * _DAY}x100",
        f"search_family_rollover_seconds{{{_FAMILY}}}": f"{_DAY}x100",
    }


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="SearchClusterRed",
        bad={f"search_cluster_status{{{_OF}}}": "0x9 2x20"},
        good={f"search_cluster_status{{{_OF}}}": "0x9 2 1x20"},
        silent_at="5m30s",
        firing_at="5m45s",
        labels=_LABELS,
    ),
    Scenario(
        alert="SearchClusterUnknown",
        bad={f"search_cluster_status{{{_OF}}}": "0x9 stale"},
        good={f"search_cluster_status{{{_OF}}}": "0x9 2x20"},
        silent_at="6m15s",
        firing_at="6m30s",
        labels={"job": "index-manager"},
    ),
    Scenario(
        alert="SearchClusterYellow",
        bad={f"search_cluster_status{{{_OF}}}": "0x9 1x60"},
        good={f"search_cluster_status{{{_OF}}}": "0x9 1x28 0x30"},
        silent_at="19m45s",
        firing_at="20m30s",
        labels=_LABELS,
    ),
    Scenario(
        alert="SearchNodeMissing",
        bad={f"search_nodes{{{_OF}}}": "3x9 2x20", f"search_nodes_expected{{{_OF}}}": "3x30"},
        good={f"search_nodes{{{_OF}}}": "3x9 2x4 3x20", f"search_nodes_expected{{{_OF}}}": "3x40"},
        silent_at="7m45s",
        firing_at="8m30s",
        labels=_LABELS,
    ),
    Scenario(
        alert="SearchDiskFull",
        bad={f"search_node_disk_used_ratio{{{_NODE}}}": "0.8x9 0.86x30"},
        good={f"search_node_disk_used_ratio{{{_NODE}}}": "0.8x9 0.85x30"},
        silent_at="9m45s",
        firing_at="10m30s",
        labels={**_LABELS, "node": "search-1"},
    ),
    Scenario(
        alert="SearchHeapHigh",
        bad={f"search_node_heap_used_ratio{{{_NODE}}}": "0.5x9 0.9x50"},
        good={f"search_node_heap_used_ratio{{{_NODE}}}": "0.5x9 " + "0.9x8 0.5 " * 5},
        silent_at="16m15s",
        firing_at="17m",
        labels={**_LABELS, "node": "search-1"},
    ),
    Scenario(
        alert="SearchWritesRejected",
        bad={f'search_node_rejected_total{{{_NODE},pool="write"}}': "0x9 0+3x20"},
        good={
            f'search_node_rejected_total{{{_NODE},pool="write"}}': "7x30",
            f'search_node_rejected_total{{{_NODE},pool="search"}}': "0x9 0+3x20",
        },
        silent_at="6m30s",
        firing_at="8m",
        labels={**_LABELS, "node": "search-1", "pool": "write"},
    ),
    Scenario(
        alert="IndexManagerStalled",
        bad={f"index_manager_last_success_timestamp_seconds{{{_OF}}}": "0+30x9 270x30"},
        good={f"index_manager_last_success_timestamp_seconds{{{_OF}}}": "0+30x9 270x8 540+30x30"},
        silent_at="11m15s",
        firing_at="12m",
        labels=_LABELS,
    ),
    Scenario(
        alert="SearchIndexTooOld",
        bad=_ages(16.001),
        good=_ages(15.9),
        silent_at="29m30s",
        firing_at="31m",
        labels={**_LABELS, "family": "logs"},
    ),
)
