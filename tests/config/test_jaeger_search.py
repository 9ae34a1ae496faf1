"""Jaeger on the real search cluster with its real users: every clearance sees its own classes and those below."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from components.jaeger.process import SearchClient
from components.search import access
from components.search.config import Engine
from components.search.indices import IndexPolicy, families
from components.telemetry.classification import CLASSES
from tests.config.jaeger_process import (
    JaegerProcess,
    Sent,
    collector_data,
    files,
    jaeger_process,
    query_data,
    trace,
)
from tests.config.search_process import SearchProcesses, password_of, search_processes
from tests.config.servers import eventually

TRACE_ID = bytes(range(16))
USERS = (
    access.trace_writer("jaeger-collector"),
    *(access.trace_reader(f"jaeger-query-{name}", name) for name in CLASSES),
    *access.own_users([]),
)
POLICY = IndexPolicy(shards=1, replicas=0, retention_days=7)


@dataclass(frozen=True)
class Site:
    """A collector and a query for every clearance, on one search node."""

    search: SearchProcesses
    collector: JaegerProcess
    queries: dict[str, JaegerProcess]

    def get(self, clearance: str, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.queries[clearance].query_port}{path}", timeout=30)

    def services(self, clearance: str) -> set[str]:
        """Services that a clearance shows."""
        answer = self.get(clearance, "/api/services")
        assert answer.status_code == 200, answer.text
        return set(answer.json()["data"])

    def names(self, clearance: str) -> set[str]:
        """Operations of the test's trace that a clearance shows."""
        answer = self.get(clearance, f"/api/traces/{TRACE_ID.hex()}")
        if answer.status_code == 404:
            return set()
        assert answer.status_code == 200, answer.text
        return {span["operationName"] for found in answer.json()["data"] for span in found["spans"]}


def _prepare(search: SearchProcesses) -> None:
    """First indices, as the search keeper makes them."""
    for family in families(Engine.OPENSEARCH, traces=POLICY, logs=POLICY):
        template = search.as_admin("PUT", f"/_index_template/{family.name}", family.template())
        assert template.status_code == 200, template.text
        first = {"aliases": {family.write_alias: {"is_write_index": True}}}
        made = search.as_admin("PUT", f"/{family.name}-000001", first)
        assert made.status_code == 200, made.text


def _client(folder: Path, search: SearchProcesses, user: str) -> SearchClient:
    made = files(folder, search.nodes[0].url, user)
    (folder / "search-password").write_text(password_of(user))
    return SearchClient(url=made.url, user=user, password_file=made.password_file, ca_file=str(search.ca))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        search = stack.enter_context(search_processes(1, USERS))
        _prepare(search)
        folder = tmp_path_factory.mktemp("collector")
        collector = stack.enter_context(
            jaeger_process(folder, collector_data(folder, _client(folder, search, "jaeger-collector")))
        )
        queries: dict[str, JaegerProcess] = {}
        for name in CLASSES:
            folder = tmp_path_factory.mktemp(name)
            config = query_data(folder, _client(folder, search, f"jaeger-query-{name}"), name)
            queries[name] = stack.enter_context(jaeger_process(folder, config))
        made = Site(search, collector, queries)
        spans = [
            Sent(name="entry", service="portal", span_class="public"),
            Sent(name="inside", service="ledger", span_class="internal", parent=0, error=True),
            Sent(name="secret", service="patients", parent=1),
        ]
        assert collector.send(trace(spans, TRACE_ID)) is grpc.StatusCode.OK
        started = time.monotonic()
        eventually(lambda: len(made.names("confidential")) == 3, 30, "the whole trace is found")
        eventually(lambda: len(made.services("confidential")) == 3, 30, "all services are listed")
        print(f"found after {time.monotonic() - started:.1f} s")
        yield made


def test_each_clearance_sees_its_own_class_and_those_below(site: Site) -> None:
    assert site.names("confidential") == {"entry", "inside", "secret"}
    assert site.names("internal") == {"entry", "inside"}
    assert site.names("public") == {"entry"}


def test_names_of_services_are_as_confidential_as_their_spans(site: Site) -> None:
    assert site.services("public") == {"portal"}
    assert site.services("internal") == {"portal", "ledger"}
    assert site.services("confidential") == {"portal", "ledger", "patients"}


@pytest.mark.parametrize(
    ("clearance", "service", "tags", "found"),
    [
        ("internal", "ledger", "", 1),
        ("internal", "ledger", '&tags={"error":"true"}', 1),
        ("confidential", "portal", '&tags={"error":"true"}', 0),
        ("public", "ledger", "", 0),
        ("internal", "patients", "", 0),
    ],
)
def test_traces_are_found_by_service_and_by_error_within_the_clearance(
    site: Site, clearance: str, service: str, tags: str, found: int
) -> None:
    answer = site.get(clearance, f"/api/traces?service={service}&lookback=1h&limit=5{tags}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == found


@pytest.mark.parametrize("clearance", CLASSES)
def test_the_dependency_map_is_readable(site: Site, clearance: str) -> None:
    answer = site.get(clearance, f"/api/dependencies?endTs={time.time_ns() // 1_000_000}&lookback=3600000")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []


def test_a_query_that_is_pointed_at_more_is_refused_by_the_search_cluster(site: Site, tmp_path: Path) -> None:
    config: dict[str, Any] = query_data(tmp_path, _client(tmp_path, site.search, "jaeger-query-public"), "confidential")
    with jaeger_process(tmp_path, config) as query:
        for path in (f"/api/traces/{TRACE_ID.hex()}", "/api/traces?service=patients&lookback=1h", "/api/services"):
            answer = requests.get(f"http://127.0.0.1:{query.query_port}{path}", timeout=30)
            # Jaeger takes a refused part of a multi-search for an empty one.
            assert answer.status_code in (404, 500), f"{path}: {answer.text}"
            assert "secret" not in answer.text
    refused = site.search.ask("GET", "/confidential-jaeger-span-read/_search", "jaeger-query-public")
    assert refused.status_code == 403


def test_a_collector_can_read_nothing_back(site: Site) -> None:
    found = site.search.ask("GET", "/public-jaeger-span-read/_search", "jaeger-collector")
    assert found.status_code == 403
