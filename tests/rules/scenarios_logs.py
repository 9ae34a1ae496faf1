"""Scenarios of the log indexer's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

INDEXER = 'job="log-indexer",instance="10-88-0-9"'
_DOCUMENTS = f"log_indexer_documents_total{{{INDEXER}}}"
_REJECTED = f'log_indexer_rejected_documents_total{{{INDEXER},reason="mapper_parsing_exception"}}'
_UP = f"up{{{INDEXER}}}"
_END = 'kafka_topic_partition_current_offset{job="kafka-lag",topic="telemetry-logs",partition="0"}'
_OTHER_END = 'kafka_topic_partition_current_offset{job="kafka-lag",topic="telemetry-metrics",partition="0"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="LogIndexerStalled",
        bad={_DOCUMENTS: "0+10x9 90x60", _END: "0+10x70"},
        good={_DOCUMENTS: "0+10x9 90x60", _END: "0+10x9 90x60", _OTHER_END: "0+10x70"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels={"job": "log-indexer"},
    ),
    Scenario(
        alert="LogIndexerRejects",
        bad={_REJECTED: "0x9 4x40"},
        good={_REJECTED: "4x50", _DOCUMENTS: "0+10x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels={"job": "log-indexer"},
    ),
    # The counter of a reason does not exist before the first one.
    Scenario(
        alert="LogIndexerRejects",
        bad={_REJECTED: "_x10 4x40", _UP: "1x50"},
        good={_DOCUMENTS: "_x10 4x40", _UP: "1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels={"job": "log-indexer"},
    ),
)
