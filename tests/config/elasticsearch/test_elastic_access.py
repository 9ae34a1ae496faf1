"""A real Elasticsearch as `prod` names it: its files and users, the index manager's indices, an erasure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from components.search import access
from components.search.access import ERASER, INDEX_MANAGER, PROBE, RESTORER
from components.telemetry.attributes import CLASSES
from ops.core.web import Web
from ops.privacy import stores
from ops.privacy.stores import SearchStore
from tests.config.elasticsearch.conftest import FAMILIES, USERS
from tests.config.search.documents import TRACE, bulk, many_logs, read_whole, readable_documents, span
from tests.config.search_process import ADMINISTRATOR, SearchProcesses, hashes, password_of
from tests.config.servers import eventually

pytestmark = pytest.mark.drill

PERSON, OTHER = "5f" * 32, "a1" * 32


@pytest.fixture(scope="module")
def filled(cluster: SearchProcesses) -> SearchProcesses:
    """Of each of two persons, a span of each class and a log."""
    for offset, person in ((0, PERSON), (100, OTHER)):
        for number, name in enumerate(CLASSES):
            action = {"index": {"_index": f"{name}-jaeger-span-write"}}
            document = span(name, number + offset) | {"tag": {"enduser@id": person}}
            answer = bulk(cluster, "jaeger-collector", action, document)
            assert not answer["errors"], answer
        log = {"@timestamp": datetime.now(UTC).isoformat(), "body": f"login of {person}", "service": "portal"}
        answer = bulk(cluster, "log-indexer", {"index": {"_index": "logs-write"}}, log)
        assert not answer["errors"], answer
    return cluster


def test_the_index_manager_makes_every_index_with_its_aliases(cluster: SearchProcesses) -> None:
    there = cluster.as_admin("GET", "/_alias").json()
    for family in FAMILIES:
        aliases = there[f"{family.name}-000001"]["aliases"]
        assert {family.write_alias, *family.read_aliases} <= set(aliases)


@pytest.mark.parametrize("clearance", CLASSES)
def test_a_clearance_reads_its_class_and_those_below_and_no_other(filled: SearchProcesses, clearance: str) -> None:
    user, allowed = f"jaeger-query-{clearance}", CLASSES[: CLASSES.index(clearance) + 1]
    seen = readable_documents(filled, user, f"{clearance}-jaeger-span-read", {"term": {"traceID": TRACE}})
    assert {document["process"]["serviceName"] for document in seen} == {f"service-{name}" for name in allowed}
    for name in CLASSES:
        code = filled.ask("GET", f"/{name}-jaeger-span-000001/_search", user).status_code
        assert code == (200 if name in allowed else 403)


@pytest.mark.parametrize(
    ("user", "method", "path", "body"),
    [
        ("jaeger-collector", "GET", "/public-jaeger-span-000001/_search", None),
        ("jaeger-collector", "DELETE", "/public-jaeger-span-000001", None),
        ("jaeger-collector", "PUT", "/public-jaeger-span-000099", None),
        ("jaeger-query-confidential", "POST", "/public-jaeger-span-write/_doc", {"traceID": "x"}),
        ("grafana", "GET", "/public-jaeger-span-000001/_search", None),
        ("grafana", "POST", "/logs-write/_doc", {"body": "x"}),
        ("log-indexer", "GET", "/logs-000001/_search", None),
        ("log-indexer", "POST", "/public-jaeger-span-write/_doc", {"traceID": "x"}),
        ("log-reader", "GET", "/public-jaeger-span-000001/_search", None),
        ("jaeger-query-public", "GET", "/logs-000001/_search", None),
        ("service-graph", "POST", "/public-jaeger-span-write/_doc", {"traceID": "x"}),
        (INDEX_MANAGER, "GET", "/public-jaeger-span-000001/_search", None),
        (PROBE, "GET", "/public-jaeger-span-000001/_search", None),
        (PROBE, "PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": "none"}}),
        (ERASER, "DELETE", "/public-jaeger-span-000001", None),
        (ERASER, "GET", "/public-jaeger-service-000001/_search", None),
        (RESTORER, "PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": "none"}}),
        (RESTORER, "PUT", "/stranger-000001", None),
    ],
)
def test_what_a_user_does_not_need_is_refused(
    cluster: SearchProcesses, user: str, method: str, path: str, body: object
) -> None:
    assert cluster.ask(method, path, user, body).status_code == 403


def test_nobody_unknown_and_no_wrong_password_is_let_in(cluster: SearchProcesses) -> None:
    health = "/_cluster/health"
    assert cluster.ask("GET", health, None).status_code == 401
    assert cluster.ask("GET", health, "elastic", password="changeme").status_code == 401
    assert cluster.ask("GET", health, "grafana", password="wrong").status_code == 401
    assert cluster.ask("GET", health, "grafana").status_code == 200


def test_one_person_is_found_and_what_is_found_may_be_removed(filled: SearchProcesses) -> None:
    """By single deletions: the module that deletes by query is not in this Elasticsearch."""
    web = Web(str(filled.ca))
    try:
        store = SearchStore(web, filled.nodes[0].url, (ERASER, password_of(ERASER)))
        kept = stores.families({family.name: 7 * 86400.0 for family in FAMILIES})
        assert {family.is_logs for family in kept} == {True, False}
        assert [store.find(family, PERSON).matches for family in kept] == [1] * (len(CLASSES) + 1)
        for family in kept:
            index, body = f"{family.name}-000001", {"query": stores.query(family, PERSON)}
            [hit] = filled.ask("GET", f"/{index}/_search", ERASER, body).json()["hits"]["hits"]
            assert filled.ask("DELETE", f"/{index}/_doc/{hit['_id']}?refresh=true", ERASER).status_code == 200
        assert [store.find(family, PERSON).matches for family in kept] == [0] * (len(CLASSES) + 1)
        assert [store.find(family, OTHER).matches for family in kept] == [1] * (len(CLASSES) + 1)
    finally:
        web.close()


def test_a_new_password_holds_without_a_restart(cluster: SearchProcesses) -> None:
    file = cluster.nodes[0].folder / "config" / "users"
    old, new = hashes(USERS), hashes([access.SearchUser(name="grafana2")])["grafana2"]
    before = file.read_text()
    changed = access.elasticsearch_files(USERS, {**old, "grafana": new})["users"]
    file.write_text(changed + "".join(line for line in before.splitlines(True) if line.startswith(f"{ADMINISTRATOR}:")))
    health = "/_cluster/health"
    eventually(
        lambda: cluster.ask("GET", health, "grafana", password=password_of("grafana2")).status_code == 200,
        30,
        "the new password holds",
    )
    assert cluster.ask("GET", health, "grafana").status_code == 401


def test_a_drill_that_counts_reads_every_document_once(filled: SearchProcesses) -> None:
    texts = many_logs(filled, 2500)
    hits = read_whole(filled, "log-reader", "logs-read", {"match_phrase": {"body": "one of many"}})
    assert sorted(hit["body"] for hit in hits) == sorted(texts)
    assert len({(hit["_index"], hit["_id"]) for hit in hits}) == len(texts)
