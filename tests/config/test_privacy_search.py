"""`ops privacy` on a real search cluster: a pseudonym is found wherever a document can have it, and removed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.search import access, indices
from components.search.access import ERASER, own_users
from components.search.config import Engine
from components.search.indices import IndexPolicy
from ops.core.errors import OpsError
from ops.core.web import Web
from ops.privacy.stores import Family, SearchStore, families, search_all
from ops.telemetry.logs import of_origin
from services.log_indexer.documents import documents
from tests.config.search_process import SearchProcesses, password_of, search_processes
from tests.support.dirty.records import any_value

POLICY = IndexPolicy(shards=2, replicas=0, retention_days=7)
FAMILIES = {family.name: family for family in indices.families(Engine.OPENSEARCH, traces=POLICY, logs=POLICY)}
KEPT = dict.fromkeys(FAMILIES, 7 * 86400.0)
SUBJECT = "5f" * 32
OTHER = "a1" * 32
SPANS = "internal-jaeger-span"
NOW_MS = int(time.time() * 1000)
BEFORE_ORIGIN = {
    "dynamic": False,
    "properties": {
        "@timestamp": {"type": "date_nanos"},
        "body": {"type": "text"},
        "resource": {"type": "flat_object"},
        "attributes": {"type": "flat_object"},
    },
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[SearchProcesses]:
    users = (*own_users(tuple(FAMILIES), Engine.OPENSEARCH), access.log_reader("log-reader"))
    with search_processes(1, users) as started:
        # An index that was begun before resources were searched by `origin`.
        assert started.as_admin("PUT", "/logs-000003", {"mappings": BEFORE_ORIGIN}).status_code == 200
        for name in ("logs", SPANS, "confidential-jaeger-span"):
            template = FAMILIES[name].template()
            answer = started.as_admin("PUT", f"/_index_template/{name}", template)
            assert answer.status_code == 200, answer.text
            for number in (1, 2):
                assert started.as_admin("PUT", f"/{name}-{number:06d}").status_code == 200
        yield started


@pytest.fixture
def store(cluster: SearchProcesses) -> Iterator[SearchStore]:
    web = Web(str(cluster.ca))
    yield SearchStore(web, cluster.nodes[0].url, (ERASER, password_of(ERASER)))
    web.close()


def family(name: str) -> Family:
    return Family(name=name, keep_s=KEPT[name])


def put(cluster: SearchProcesses, index: str, *documents: Mapping[str, Any]) -> None:
    """Write documents as the administrator."""
    for document in documents:
        answer = cluster.as_admin("POST", f"/{index}/_doc?refresh=true", document)
        assert answer.status_code == 201, answer.text


def indexed(**resource: Any) -> dict[str, Any]:
    """A log as the log indexer writes it."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    for key, value in {"layer": "device", "service.name": "recorder", **resource}.items():
        group.resource.attributes.add(key=key).value.CopyFrom(any_value(value))
    group.scope_logs.add().log_records.add(time_unix_nano=NOW_MS * 1_000_000).body.string_value = "started"
    [document] = documents("telemetry-logs", 0, 0, request.SerializeToString(), NOW_MS)
    content: dict[str, Any] = json.loads(document.splitlines()[1])
    return content


def log(**fields: Any) -> dict[str, Any]:
    return {"@timestamp": NOW_MS, "body": "started", "layer": "device", "service": "recorder", **fields}


def span(**fields: Any) -> dict[str, Any]:
    return {
        "traceID": "t" * 32,
        "spanID": "s" * 16,
        "startTimeMillis": NOW_MS,
        "process": {"serviceName": "recorder", "tags": []},
        **fields,
    }


def pair(key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value, "type": "string"}


def all_logs() -> list[dict[str, Any]]:
    return [
        indexed(device_id=SUBJECT),
        log(attributes={"worker.id": SUBJECT}),
        log(attributes={"nested": {"deep": {"user.id": SUBJECT}}}),
        log(body=json.dumps({"user_id": SUBJECT, "text": "保存しました"}, ensure_ascii=False)),
    ]


def all_spans() -> list[dict[str, Any]]:
    process = {"serviceName": "recorder", "tags": [pair("device_id", SUBJECT)]}
    kept_as_fields = {"serviceName": "recorder", "tags": [], "tag": {"device_id": SUBJECT}}
    return [
        span(tags=[pair("enduser.id", SUBJECT)]),
        span(process=process),
        span(logs=[{"timestamp": 1, "fields": [pair("worker.id", SUBJECT)]}]),
        span(tag={"enduser@id": SUBJECT}),
        span(process=kept_as_fields),
    ]


def test_only_families_that_hold_people_are_looked_at() -> None:
    named = {family.name for family in families(KEPT)}
    assert named == {"logs", "public-jaeger-span", "internal-jaeger-span", "confidential-jaeger-span"}


def test_everything_of_one_subject_is_found_and_removed_and_nothing_else(
    cluster: SearchProcesses, store: SearchStore
) -> None:
    others = [indexed(device_id=OTHER), log(body=f"{SUBJECT[:-1]}0 is another")]
    put(cluster, "logs-000001", *all_logs(), *others)
    put(cluster, "logs-000002", indexed(owners=[SUBJECT, OTHER], device_id="x"))
    before_origin = [log(resource={"device_id": SUBJECT, "layer": "device"}), indexed(device_id=SUBJECT)]
    put(cluster, "logs-000003", *before_origin, log(resource={"device_id": OTHER}))
    others.append(others[0])
    put(cluster, f"{SPANS}-000001", *all_spans(), span(tags=[pair("enduser.id", OTHER)]))
    put(cluster, "confidential-jaeger-span-000001", all_spans()[0])
    wanted = [family(name) for name in ("logs", SPANS, "confidential-jaeger-span")]
    before = search_all(store, wanted, SUBJECT, erase=False)
    assert [holding.matches for holding in before] == [7, 5, 1]
    assert [holding.left for holding in before] == [7, 5, 1]
    assert all(holding.removable and holding.expires and holding.newest for holding in before)
    erased = search_all(store, wanted, SUBJECT, erase=True)
    assert [(holding.matches, holding.removed, holding.left, holding.expires) for holding in erased] == [
        (7, 7, 0, None),
        (5, 5, 0, None),
        (1, 1, 0, None),
    ]
    assert [store.find(one, SUBJECT).matches for one in wanted] == [0, 0, 0]
    assert [store.find(one, OTHER).matches for one in wanted] == [2, 1, 0]
    left = cluster.as_admin("GET", "/logs-0*/_count").json()["count"]
    assert left == len(others)
    answer = cluster.ask("GET", "/logs-0*/_search", "log-reader", {"query": of_origin("device_id", OTHER)}).json()
    assert {hit["_index"] for hit in answer["hits"]["hits"]} == {"logs-000001", "logs-000003"}


def test_more_than_one_request_removes_is_removed(cluster: SearchProcesses, store: SearchStore) -> None:
    lines = "".join(
        f'{{"create":{{"_index":"logs-000001"}}}}\n{json.dumps(indexed(device_id=SUBJECT))}\n' for _ in range(2300)
    )
    assert not bulk(cluster, lines)["errors"]
    erased = store.erase(family("logs"), SUBJECT)
    assert (erased.matches, erased.removed, erased.left) == (2300, 2300, 0)


def bulk(cluster: SearchProcesses, lines: str) -> Any:
    response = requests.post(
        f"{cluster.nodes[0].url}/_bulk?refresh=true",
        data=lines.encode(),
        headers={"content-type": "application/x-ndjson"},
        cert=(str(cluster.root / "admin" / "tls.crt"), str(cluster.root / "admin" / "tls.key")),
        verify=str(cluster.ca),
        timeout=60,
    )
    assert response.status_code == 200, response.text
    return response.json()


def test_who_only_reads_removes_nothing(cluster: SearchProcesses) -> None:
    put(cluster, "logs-000001", all_logs()[0])
    web = Web(str(cluster.ca))
    try:
        reader = SearchStore(web, cluster.nodes[0].url, ("log-reader", password_of("log-reader")))
        assert reader.find(family("logs"), SUBJECT).matches == 1
        with pytest.raises(OpsError, match="answered 403"):
            reader.erase(family("logs"), SUBJECT)
    finally:
        web.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/logs-000001", None),
        ("PUT", "/logs-000099", None),
        ("POST", "/internal-jaeger-service-000001/_search", {"query": {"match_all": {}}}),
        ("POST", "/logs-000001/_close", None),
        ("GET", "/_plugins/_security/api/internalusers", None),
    ],
)
def test_who_erases_may_nothing_else(cluster: SearchProcesses, method: str, path: str, body: object) -> None:
    assert cluster.ask(method, path, ERASER, body).status_code == 403
