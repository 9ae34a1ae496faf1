"""Jaeger on the real search cluster with its real users: every clearance sees its own classes and those below."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from components.search import access
from components.search.config import Engine
from components.search.indices import IndexPolicy, families
from components.telemetry.attributes import CLASSES
from lab.fakes.grafana.exchange import Answer
from lab.fakes.grafana.proxy import Proxy
from lab.fakes.grafana.query_kinds import FailedQueryError, Question, Window, ask_jaeger, ask_search
from lab.fakes.grafana.sources import Source
from lab.fakes.grafana.telemetry import Log, Metrics
from tests.config.jaeger_harness import TRACE_ID, JaegerHarness, jaeger_harness, search_client
from tests.config.jaeger_process import jaeger_process, query_data
from tests.config.search_process import SearchProcesses, password_of, search_processes

USERS = (
    access.trace_writer("jaeger-collector"),
    *(access.trace_reader(f"jaeger-query-{name}", name) for name in CLASSES),
    access.log_writer("log-indexer"),
    access.log_reader("grafana"),
    *access.own_users([], Engine.OPENSEARCH),
)
POLICY = IndexPolicy(shards=1, replicas=0, retention_days=7)


def _prepare(search: SearchProcesses) -> None:
    """First indices, as the index manager makes them."""
    for family in families(Engine.OPENSEARCH, traces=POLICY, logs=POLICY):
        template = search.as_admin("PUT", f"/_index_template/{family.name}", family.template())
        assert template.status_code == 200, template.text
        first = {"aliases": {family.write_alias: {"is_write_index": True}}}
        response = search.as_admin("PUT", f"/{family.name}-000001", first)
        assert response.status_code == 200, response.text


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JaegerHarness]:
    with search_processes(1, USERS) as search:
        _prepare(search)
        with jaeger_harness(search, tmp_path_factory.mktemp("jaeger")) as started:
            yield started


def test_each_clearance_sees_its_own_class_and_those_below(harness: JaegerHarness) -> None:
    assert harness.names("confidential") == {"entry", "inside", "secret"}
    assert harness.names("internal") == {"entry", "inside"}
    assert harness.names("public") == {"entry"}


def test_names_of_services_are_as_confidential_as_their_spans(harness: JaegerHarness) -> None:
    assert harness.services("public") == {"portal"}
    assert harness.services("internal") == {"portal", "ledger"}
    assert harness.services("confidential") == {"portal", "ledger", "patients"}


@pytest.mark.parametrize(
    ("clearance", "service", "tags", "expected_count"),
    [
        ("internal", "ledger", "", 1),
        ("internal", "ledger", '&tags={"error":"true"}', 1),
        ("confidential", "portal", '&tags={"error":"true"}', 0),
        ("public", "ledger", "", 0),
        ("internal", "patients", "", 0),
    ],
)
def test_traces_are_found_by_service_and_by_error_within_the_clearance(
    harness: JaegerHarness, clearance: str, service: str, tags: str, expected_count: int
) -> None:
    answer = harness.get(clearance, f"/api/traces?service={service}&lookback=1h&limit=5{tags}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == expected_count


@pytest.mark.parametrize("clearance", CLASSES)
def test_the_dependency_map_is_readable(harness: JaegerHarness, clearance: str) -> None:
    answer = harness.get(clearance, f"/api/dependencies?endTs={time.time_ns() // 1_000_000}&lookback=3600000")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []


def test_a_query_that_is_pointed_at_more_is_refused_by_the_search_cluster(
    harness: JaegerHarness, tmp_path: Path
) -> None:
    config: dict[str, Any] = query_data(
        tmp_path, search_client(tmp_path, harness.search, "jaeger-query-public"), "confidential"
    )
    with jaeger_process(tmp_path, config) as query:
        for path in (f"/api/traces/{TRACE_ID.hex()}", "/api/traces?service=patients&lookback=1h", "/api/services"):
            answer = requests.get(f"http://127.0.0.1:{query.query_port}{path}", timeout=60)
            # Jaeger takes a refused part of a multi-search for an empty one.
            assert answer.status_code in (404, 500), f"{path}: {answer.text}"
            assert "secret" not in answer.text
    refused = harness.search.ask("GET", "/confidential-jaeger-span-read/_search", "jaeger-query-public")
    assert refused.status_code == 403


def test_a_collector_can_read_nothing_back(harness: JaegerHarness) -> None:
    response = harness.search.ask("GET", "/public-jaeger-span-read/_search", "jaeger-collector")
    assert response.status_code == 403


# What a panel of Grafana asks here: traces of Jaeger, and logs of the search cluster.


def source(kind: str, url: str = "", **more: Any) -> Source:
    properties: dict[str, Any] = {"user": "", "password": "", "authority": "", "data": {}, **more}
    return Source(id=1, uid="x", name="x", type=kind, url=url, server_name="", default=False, secrets=[], **properties)


def question(**model: Any) -> Question:
    now = time.time()
    return Question(ref="A", window=Window(begin=now - 3600, end=now + 60), points=240, interval_ms=15_000, model=model)


def columns(frame: dict[str, Any]) -> dict[str, list[Any]]:
    names = [field["name"] for field in frame["schema"]["fields"]]
    return dict(zip(names, frame["data"]["values"], strict=True))


class Unencrypted:
    """The way to a Jaeger that listens without TLS, as it does behind its login."""

    def __init__(self, harness: JaegerHarness, clearance: str) -> None:
        self._harness, self._clearance = harness, clearance

    def ask(self, source: Source, method: str, target: str, body: bytes = b"", headers: object = None) -> Answer:
        """One request."""
        response = self._harness.get(self._clearance, f"/{target}")
        return Answer(status=response.status_code, body=response.content)


def test_a_panel_gets_a_trace_and_a_search_from_jaeger_as_far_as_the_clearance_goes(harness: JaegerHarness) -> None:
    proxy: Any = Unencrypted(harness, "confidential")
    (whole,) = ask_jaeger(proxy, source("jaeger"), question(query=TRACE_ID.hex()))
    assert set(columns(whole)["operationName"]) == {"entry", "inside", "secret"}
    by_id = dict(zip(columns(whole)["spanID"], columns(whole)["operationName"], strict=True))
    parents = {
        name: by_id.get(parent, "")
        for name, parent in zip(columns(whole)["operationName"], columns(whole)["parentSpanID"], strict=True)
    }
    assert parents == {"entry": "", "inside": "entry", "secret": "inside"}

    (listed,) = ask_jaeger(proxy, source("jaeger"), question(queryType="search", service="portal", tags="", limit=5))
    assert columns(listed)["traceID"] == [TRACE_ID.hex()]
    assert columns(listed)["traceName"] == ["portal: entry"]

    public: Any = Unencrypted(harness, "public")
    (part,) = ask_jaeger(public, source("jaeger"), question(query=TRACE_ID.hex()))
    assert columns(part)["operationName"] == ["entry"]
    with pytest.raises(FailedQueryError) as caught:
        ask_jaeger(public, source("jaeger"), question(query="f" * 32))
    assert caught.value.status == 404


def test_a_panel_gets_logs_and_counts_from_the_search_cluster_with_grafanas_own_login(harness: JaegerHarness) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    record = {"@timestamp": now, "body": "the pump stands still", "severity": "ERROR", "trace_id": TRACE_ID.hex()}
    written = harness.search.ask("POST", "/logs-write/_doc?refresh=true", "log-indexer", record)
    assert written.status_code == 201, written.text
    logs = source(
        "grafana-opensearch-datasource",
        harness.search.nodes[0].url,
        user="grafana",
        password=password_of("grafana"),
        authority=harness.search.ca.read_text(),
        data={"database": "logs-read", "timeField": "@timestamp", "logMessageField": "body"},
    )
    proxy = Proxy((logs,), 30, 2**24, Log(lambda _: None), Metrics())
    wanted = {"luceneQueryType": "Logs", "metrics": [{"type": "logs"}]}
    (log_frame,) = ask_search(proxy, logs, question(query="severity:ERROR AND pump", **wanted))
    assert columns(log_frame)["body"] == ["the pump stands still"]
    assert columns(log_frame)["trace_id"] == [TRACE_ID.hex()]
    (none,) = ask_search(proxy, logs, question(query="severity:FATAL", **wanted))
    assert columns(none)["body"] == []
    counted = {"metrics": [{"type": "count"}], "bucketAggs": [{"type": "date_histogram"}]}
    (counts,) = ask_search(proxy, logs, question(query="pump", **counted))
    assert sum(columns(counts)["Value"]) == 1

    with pytest.raises(FailedQueryError) as wrong:
        ask_search(proxy, logs, question(query="severity:(((", **wanted))
    assert wrong.value.status == 400
    other = replace(logs, data={**logs.data, "database": "public-jaeger-span-read"})
    with pytest.raises(FailedQueryError) as foreign:
        ask_search(proxy, other, question(query="*", **wanted))
    assert foreign.value.status == 403
