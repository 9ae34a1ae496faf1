"""Real Jaeger in front of a real search cluster: a collector, and a query for every clearance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import requests

from components.jaeger.config import SearchClient
from components.telemetry.attributes import CLASSES
from tests.config.jaeger_process import (
    JaegerProcess,
    Sent,
    collector_data,
    files,
    jaeger_process,
    query_data,
    trace,
)
from tests.config.search_process import SearchProcesses, password_of
from tests.config.servers import eventually

TRACE_ID = bytes(range(16))
SPANS = (
    Sent(name="entry", service="portal", span_class="public"),
    Sent(name="inside", service="ledger", span_class="internal", parent=0, error=True),
    Sent(name="secret", service="patients", parent=1),
)
"""One trace with a span of every class, the last by default."""


@dataclass(frozen=True)
class JaegerHarness:
    """A collector and a query for every clearance."""

    search: SearchProcesses
    collector: JaegerProcess
    queries: dict[str, JaegerProcess]

    def get(self, clearance: str, path: str) -> requests.Response:
        """A request to the API of a clearance's query."""
        return requests.get(f"http://127.0.0.1:{self.queries[clearance].query_port}{path}", timeout=60)

    def services(self, clearance: str) -> set[str]:
        """Services that a clearance shows."""
        answer = self.get(clearance, "/api/services")
        assert answer.status_code == 200, answer.text
        return set(answer.json()["data"])

    def names(self, clearance: str) -> set[str]:
        """Operations of the trace `TRACE_ID` that a clearance shows."""
        answer = self.get(clearance, f"/api/traces/{TRACE_ID.hex()}")
        if answer.status_code == 404:
            return set()
        assert answer.status_code == 200, answer.text
        return {span["operationName"] for read_trace in answer.json()["data"] for span in read_trace["spans"]}


def search_client(folder: Path, search: SearchProcesses, user: str) -> SearchClient:
    """Files that a pod would mount, and the client of this cluster."""
    client = files(folder, search.nodes[0].url, user)
    (folder / "search-password").write_text(password_of(user))
    return replace(client, ca_file=str(search.ca))


@contextmanager
def jaeger_harness(search: SearchProcesses, folder: Path) -> Iterator[JaegerHarness]:
    """Run them until the block ends; `SPANS` are sent, and found by the highest clearance, when it starts."""
    with ExitStack() as stack:
        own = folder / "collector"
        data = collector_data(own, search_client(own, search, "jaeger-collector"))
        collector = stack.enter_context(jaeger_process(own, data))
        queries: dict[str, JaegerProcess] = {}
        for name in CLASSES:
            own = folder / name
            data = query_data(own, search_client(own, search, f"jaeger-query-{name}"), name)
            queries[name] = stack.enter_context(jaeger_process(own, data))
        harness = JaegerHarness(search, collector, queries)
        assert collector.send(trace(SPANS, TRACE_ID)) is grpc.StatusCode.OK
        highest = CLASSES[-1]
        eventually(lambda: len(harness.names(highest)) == len(SPANS), 30, "the whole trace is found")
        eventually(lambda: len(harness.services(highest)) == len(SPANS), 30, "all services are listed")
        yield harness
