"""Scenarios of the log indexer's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

INDEXER = 'job="log-indexer",instance="10-88-0-9"'
_DOCUMENTS = f"log_indexer_documents_total{{{INDEXER}}}"
_REJECTED = f'log_indexer_rejected_documents_total{{{INDEXER},reason="mapper_parsing_exception"}}'
_UP = f"up{{{INDEXER}}}"
_PRODUCED = 'otelcol_kafkabuckets_items_total{job="gateway",instance="gateway-0",topic="telemetry-logs"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="LogIndexerStalled",
        bad={_DOCUMENTS: "0+10x9 90x60", _PRODUCED: "0+10x70"},
        good={_DOCUMENTS: "0+10x9 90x60", _PRODUCED: "0+10x9 90x60"},
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
