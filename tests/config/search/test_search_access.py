"""Who may do what in a real search cluster, and what is found there."""

from __future__ import annotations

import socket
import subprocess
from typing import Any

import pytest
import requests

from components.telemetry.attributes import CLASSES
from ops.telemetry.logs import of_origin
from tests.config.index_manager_process import (
    FAMILIES,
    IndexManagerFiles,
)
from tests.config.search.documents import TRACE, bulk, many_logs, read_whole, readable_documents
from tests.config.search_process import SearchProcesses


@pytest.mark.parametrize("clearance", CLASSES)
def test_a_clearance_reads_its_class_and_those_below_and_no_other(spans: SearchProcesses, clearance: str) -> None:
    user = f"jaeger-query-{clearance}"
    allowed = CLASSES[: CLASSES.index(clearance) + 1]
    seen = readable_documents(spans, user, f"{clearance}-jaeger-span-read", {"term": {"traceID": TRACE}})
    assert sorted(source["process"]["serviceName"] for source in seen) == sorted(f"service-{name}" for name in allowed)
    for name in CLASSES:
        for index in (f"{name}-jaeger-span-000001", f"{name}-jaeger-span-write"):
            assert spans.ask("GET", f"/{index}/_search", user).status_code == (200 if name in allowed else 403)


def test_a_search_over_everything_is_refused_to_who_may_not_read_everything(spans: SearchProcesses) -> None:
    for path in ("/_search", "/*/_search", "/*-jaeger-span-*/_search", "/confidential-jaeger-span-read/_search"):
        assert spans.ask("GET", path, "jaeger-query-public").status_code == 403, path
    lines = '{"index":"confidential-jaeger-span-read"}\n{"query":{"match_all":{}}}\n'
    answer = spans.ask("POST", "/_msearch", "jaeger-query-public", lines)
    assert "service-confidential" not in answer.text
    assert [response["status"] for response in answer.json()["responses"]] == [403]


@pytest.mark.parametrize(
    ("user", "method", "path", "body"),
    [
        ("jaeger-collector", "GET", "/public-jaeger-span-000001/_search", None),
        ("jaeger-collector", "POST", "/public-jaeger-span-write/_delete_by_query", {"query": {"match_all": {}}}),
        ("jaeger-collector", "PUT", "/public-jaeger-span-000099", None),
        ("jaeger-collector", "DELETE", "/public-jaeger-span-000001", None),
        ("jaeger-collector", "POST", "/logs-write/_doc", {"body": "x"}),
        ("jaeger-query-confidential", "POST", "/public-jaeger-span-write/_doc", {"traceID": "x"}),
        ("jaeger-query-confidential", "GET", "/logs-read/_search", None),
        ("log-indexer", "GET", "/logs-read/_search", None),
        ("grafana", "POST", "/logs-write/_doc", {"body": "x"}),
        ("grafana", "GET", "/public-jaeger-span-read/_search", None),
        ("grafana", "GET", "/_plugins/_security/api/internalusers", None),
        ("index-manager", "GET", "/logs-000001/_search", None),
        ("index-manager", "GET", "/_plugins/_security/api/internalusers", None),
        ("search-probe", "GET", "/logs-000001/_search", None),
        ("search-probe", "PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": "none"}}),
    ],
)
def test_what_a_user_does_not_need_is_refused(
    spans: SearchProcesses, user: str, method: str, path: str, body: object
) -> None:
    assert spans.ask(method, path, user, body).status_code == 403


def test_nobody_unknown_and_no_wrong_password_is_let_in(cluster: SearchProcesses) -> None:
    assert cluster.ask("GET", "/", None).status_code == 401
    assert cluster.ask("GET", "/", "admin", password="admin").status_code == 401
    assert cluster.ask("GET", "/", "grafana", password="wrong").status_code == 401
    assert cluster.ask("GET", "/", "grafana").status_code == 200


def test_the_api_speaks_tls_only_and_the_transport_wants_a_certificate(cluster: SearchProcesses) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://localhost:{cluster.nodes[0].http_port}/", timeout=60)
    refused = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{cluster.nodes[0].transport_port}", "-tls1_2"],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"alert" in refused.stderr, refused.stderr
    with socket.create_connection(("localhost", cluster.nodes[0].transport_port), timeout=60) as plain:
        plain.sendall(b"ES\x00\x00\x00\x01")
        plain.settimeout(60)
        assert plain.recv(1) in (b"", b"\x15")


def test_a_write_to_an_alias_that_is_missing_makes_no_index(cluster: SearchProcesses, files: IndexManagerFiles) -> None:
    answer = bulk(cluster, "log-indexer", {"index": {"_index": "logs-0-missing"}}, {"body": "x"})
    assert answer["errors"]
    assert cluster.as_admin("GET", "/logs-0-missing").status_code == 404


def test_japanese_and_english_logs_are_found_by_words_by_trace_and_by_attribute(
    cluster: SearchProcesses, files: IndexManagerFiles
) -> None:
    bodies = ("電池残量が低下しました", "録画を開始しました", "Battery LOW on camera", "upload finished")
    lines: list[dict[str, Any]] = []
    for number, body in enumerate(bodies):
        document = {
            "@timestamp": "2026-11-24T10:00:00.123456789Z",
            "trace_id": TRACE if number == 0 else f"{number:032x}",
            "body": body,
            "severity": "ERROR",
            "resource": {"service.name": f"service-{number}", "deep": {"er": "x"}},
            "origin": [f"service.name=service-{number}", "deep=x"],
            "attributes": {f"key{number}": "value"},
        }
        lines += [{"create": {"_index": "logs-write", "_id": f"log-{number}"}}, document]
    assert not bulk(cluster, "log-indexer", *lines)["errors"]
    again = bulk(cluster, "log-indexer", *lines)
    assert [item["create"]["status"] for item in again["items"]] == [409] * len(bodies)

    def bodies_of(query: dict[str, Any]) -> list[str]:
        return [document["body"] for document in readable_documents(cluster, "log-reader", "logs-read", query)]

    for words, body in (("電池", 0), ("残量", 0), ("録", 1), ("battery", 2), ("ｂａｔｔｅｒｙ", 2), ("finished", 3)):
        assert bodies_of({"match": {"body": {"query": words, "operator": "and"}}}) == [bodies[body]], words
    assert bodies_of({"term": {"trace_id": TRACE}}) == [bodies[0]]
    assert bodies_of(of_origin("service.name", "service-2")) == [bodies[2]]
    assert bodies_of({"term": {"attributes.key3": "value"}}) == [bodies[3]]
    count = len(cluster.as_admin("GET", "/logs-000001/_mapping").json()["logs-000001"]["mappings"]["properties"])
    assert count == len(FAMILIES[-1].mapping["properties"])


def test_a_drill_that_counts_reads_every_document_once(spans: SearchProcesses) -> None:
    texts = many_logs(spans, 2500)
    hits = read_whole(spans, "log-reader", "logs-read", {"match_phrase": {"body": "one of many"}})
    assert sorted(hit["body"] for hit in hits) == sorted(texts)
    assert len({(hit["_index"], hit["_id"]) for hit in hits}) == len(texts)
