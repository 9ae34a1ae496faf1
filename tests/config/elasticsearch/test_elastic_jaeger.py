"""Jaeger on a real Elasticsearch: spans of a collector, found by the query of every clearance as far as it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components.telemetry.attributes import CLASSES
from services.runtime.json_api import WriteAlias
from services.service_graph import ServiceGraphSettings
from services.service_graph.graph import document, document_id
from tests.config.elasticsearch.conftest import FAMILIES
from tests.config.jaeger_harness import SPANS, TRACE_ID, JaegerHarness, jaeger_harness, search_client
from tests.config.jaeger_process import JaegerProcess, collector_data, jaeger_process, query_data
from tests.config.search_process import SearchProcesses, password_of
from tests.unit.services.test_service_graph_parts import content

pytestmark = pytest.mark.drill

NAMES = [span.name for span in SPANS]
SERVICES = [span.service for span in SPANS]


@pytest.fixture(scope="module")
def harness(cluster: SearchProcesses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JaegerHarness]:
    with jaeger_harness(cluster, tmp_path_factory.mktemp("jaeger")) as started:
        yield started


def test_each_span_ends_in_the_index_of_its_class(harness: JaegerHarness) -> None:
    for number, name in enumerate(CLASSES):
        query = {"query": {"term": {"traceID": TRACE_ID.hex()}}}
        answer = harness.search.as_admin("GET", f"/{name}-jaeger-span-0*/_search", query).json()
        assert [hit["_source"]["operationName"] for hit in answer["hits"]["hits"]] == [NAMES[number]]
        assert [hit["_index"] for hit in answer["hits"]["hits"]] == [f"{name}-jaeger-span-000001"]


def test_jaeger_makes_no_index_and_no_template_of_its_own(harness: JaegerHarness) -> None:
    indices = harness.search.as_admin("GET", "/_cat/indices?format=json&h=index").json()
    assert {row["index"] for row in indices if "jaeger" in row["index"]} == {
        f"{family.name}-000001" for family in FAMILIES if "jaeger" in family.name
    }
    templates = harness.search.as_admin("GET", "/_index_template/*jaeger*").json()["index_templates"]
    assert {template["name"] for template in templates} <= {family.name for family in FAMILIES}


@pytest.mark.parametrize("clearance", CLASSES)
def test_a_clearance_sees_its_class_and_those_below(harness: JaegerHarness, clearance: str) -> None:
    count = CLASSES.index(clearance) + 1
    assert harness.names(clearance) == set(NAMES[:count])
    assert harness.services(clearance) == set(SERVICES[:count])


@pytest.mark.parametrize(
    ("clearance", "service", "more", "expected_count"),
    [
        ("internal", "ledger", "", 1),
        ("internal", "ledger", '&tags={"error":"true"}', 1),
        ("internal", "ledger", '&tags={"data.classification":"internal"}', 1),
        ("internal", "ledger", '&tags={"data.classification":"public"}', 0),
        ("internal", "ledger", "&operation=inside", 1),
        ("internal", "ledger", "&operation=other", 0),
        ("internal", "ledger", "&minDuration=1h", 0),
        ("confidential", "portal", '&tags={"error":"true"}', 0),
        ("public", "ledger", "", 0),
        ("internal", "patients", "", 0),
    ],
)
def test_traces_are_found_by_service_operation_tag_and_duration_within_the_clearance(
    harness: JaegerHarness, clearance: str, service: str, more: str, expected_count: int
) -> None:
    answer = harness.get(clearance, f"/api/traces?service={service}&lookback=1h&limit=5{more}")
    assert answer.status_code == 200, answer.text
    assert [hit["traceID"] for hit in answer.json()["data"]] == [TRACE_ID.hex()] * expected_count


def test_the_operations_of_a_service_are_listed(harness: JaegerHarness) -> None:
    answer = harness.get("internal", "/api/services/ledger/operations")
    assert (answer.status_code, answer.json()["data"]) == (200, ["inside"])
    assert not harness.get("public", "/api/services/ledger/operations").json()["data"]


def test_what_the_service_graph_writes_is_the_dependency_map_from_its_class_on(
    harness: JaegerHarness, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(password_of("service-graph"))
    given = content()
    given["search"] |= {
        "url": harness.search.nodes[0].url,
        "server_name": "localhost",
        "ca_file": str(harness.search.ca),
        "password_file": str(tmp_path / "password"),
    }
    settings, now = ServiceGraphSettings.parse(given), time.time_ns() // 1_000_000
    writer = WriteAlias(settings.search, read_s=60)
    try:
        for calls in (3, 7):
            writer.put(document_id(settings.kafka.topic, {0: 1}), document({("portal", "ledger"): calls}, now))
    finally:
        writer.close()
    harness.search.as_admin("POST", "/internal-jaeger-dependencies-0*/_refresh")

    def links(clearance: str) -> list[tuple[str, str, int]]:
        answer = harness.get(clearance, f"/api/dependencies?endTs={now + 60_000}&lookback=3600000")
        assert answer.status_code == 200, answer.text
        return [(link["parent"], link["child"], link["callCount"]) for link in answer.json()["data"]]

    assert links("internal") == links("confidential") == [("portal", "ledger", 7)]
    assert links("public") == []


def test_a_query_that_is_pointed_at_more_is_refused(harness: JaegerHarness, tmp_path: Path) -> None:
    client = search_client(tmp_path, harness.search, "jaeger-query-public")
    with jaeger_process(tmp_path, query_data(tmp_path, client, "confidential")) as query:
        for path in (f"/api/traces/{TRACE_ID.hex()}", "/api/traces?service=patients&lookback=1h", "/api/services"):
            answer = _ask(query, path)
            # Elasticsearch leaves out what a user may not read where a search lets indices be absent.
            assert answer.status_code in (404, 500) or not answer.json()["data"], f"{path}: {answer.text}"
            assert "secret" not in answer.text
            assert "patients" not in answer.text
    assert harness.search.ask("GET", "/confidential-jaeger-span-read/_search", client.user).status_code == 403


@pytest.mark.parametrize("part", ["collector", "query"])
def test_with_a_wrong_password_jaeger_does_not_start(harness: JaegerHarness, tmp_path: Path, part: str) -> None:
    collects = part == "collector"
    client = search_client(tmp_path, harness.search, "jaeger-collector" if collects else "jaeger-query-public")
    (tmp_path / "search-password").write_text("wrong")
    config = collector_data(tmp_path, client) if collects else query_data(tmp_path, client, "public")
    with pytest.raises(AssertionError, match="it ended with code"), jaeger_process(tmp_path, config):
        pass
    log = (tmp_path / "jaeger.log").read_text()
    assert "failed to create Elasticsearch client: elastic: Error 401 (Unauthorized)" in log
    assert "wrong" not in log


def _ask(query: JaegerProcess, path: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{query.query_port}{path}", timeout=60)
