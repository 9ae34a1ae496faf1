"""Logs from the gateway to the search cluster: all of them, once, and found by the trace that they belong to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.telemetry.layers import LAYERS, Signal
from ops.checks.prometheus import FOUND_SECONDS, layers_with_logs
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.platform import PROJECT
from ops.drills.tools.search_client import SearchClient, stored_logs
from tests.support.drills import limit, problems
from tests.support.results import recorded
from tests.support.traces_request_flow import send_request_flow


@pytest.fixture(scope="module")
def logs(context: Context) -> SearchClient:
    """Every log record that is stored."""
    return stored_logs(context)


@pytest.mark.timeout(180)
def test_the_logs_of_a_trace_are_found_by_its_id(context: Context, logs: SearchClient, tmp_path: Path) -> None:
    with recorded("logs-of-a-trace", context.kube) as figures:
        sent = send_request_flow(context.platform, tmp_path, fails="")
        query = {"term": {"trace_id": sent.trace_id}}
        hits: list[dict[str, Any]] = []

        def complete() -> bool:
            # One answer, not a count and then a look: another copy of the index may answer the second question.
            hits[:] = logs.hits(query, ["service", "layer", "span_id"])
            return len(hits) >= len(sent.logs)

        wait_until(complete, 60, "the request flow's logs", 0.3)
        figures["found after s"] = round(time.time() - sent.ended, 1)
        figures["records"], figures["services"] = len(hits), len({hit["service"] for hit in hits})
        assert sorted(hit["service"] for hit in hits) == sorted(sent.logs)
        assert {hit["layer"] for hit in hits} >= {"device", "streaming", "business"}
        assert all(hit["span_id"] for hit in hits)
        assert figures["found after s"] <= FOUND_SECONDS
        shown = ops_logs("--trace", sent.trace_id)
        assert shown.returncode == 0, shown.stderr[-500:]
        assert "recording can be found" in shown.stdout
        assert all(service in shown.stdout for service in set(sent.logs))


def test_every_layer_has_logs_of_the_last_minutes(context: Context, logs: SearchClient) -> None:
    sending = {layer.name for layer in LAYERS if layer.may_send(Signal.LOGS)}
    # The slowest layers write every few minutes.
    assert set(layers_with_logs(context, "15m")) == sending


@limit("log-indexer")
def test_an_indexer_killed_under_load_loses_and_doubles_nothing(settled: Context) -> None:
    assert problems("log-indexer", settled) == []


def ops_logs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ops logs`` as its users do."""
    return subprocess.run(
        [sys.executable, "-m", "ops", "logs", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "240"},
    )
