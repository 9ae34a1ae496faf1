"""Export of a real OpenSearch and a real Elasticsearch by a user that only reads, and a restore into one that has
nothing of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

from components.search.access import RESTORER, SearchUser, own_users
from components.search.config import Engine
from services.backup import BackupError, Search
from services.backup import search as restore_search
from services.backup import search as search_export
from services.backup.manifest import Manifest, RunWriter, run_name
from services.backup.restore import Outcome, connected, differences, fetch
from services.backup.store import Store
from tests.config.search_process import SearchProcesses, password_of, search_processes
from tests.config.storage_process import storage_process

IDENTITY = pyrage.x25519.Identity.generate()
FAMILIES = ("logs", "internal-jaeger-span")
READER = SearchUser(name="backup", reads=FAMILIES)
INDICES = ("logs-000001", "logs-000002", "internal-jaeger-span-000001")
DOCUMENTS = 2345
REFUSED = {
    Engine.OPENSEARCH: r"^search cluster: GET /secret-0\*: 403 no permissions for",
    Engine.ELASTICSEARCH: r"^search cluster: no index is named like secret-0\*; see search\.indices",
}
"""Of a pattern of indices that a reader may not read: Elasticsearch does not tell that there are any."""
RELEASES = {Engine.OPENSEARCH: "OpenSearch 2.19.4", Engine.ELASTICSEARCH: "Elasticsearch 8.19.21"}


@pytest.fixture(scope="module", params=Engine)
def cluster(request: pytest.FixtureRequest) -> Iterator[SearchProcesses]:
    with search_processes(1, (*own_users(FAMILIES, request.param), READER), request.param) as started:
        yield started


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storage_process(tmp_path_factory.mktemp("storage")) as storage, storage.store("backups/") as opened_store:
        yield opened_store


def good(answer: Any) -> Any:
    """Content of a good answer."""
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def fill(cluster: SearchProcesses) -> None:
    """Indices with several shards, an alias that is written to, documents with and without routing."""
    mappings = {"dynamic": "strict", "properties": {"text": {"type": "text"}, "number": {"type": "long"}}}
    for index, shards in zip(INDICES, (3, 1, 2), strict=True):
        settings = {"number_of_shards": shards, "number_of_replicas": 0, "codec": "best_compression"}
        good(cluster.as_admin("PUT", f"/{index}", {"settings": {"index": settings}, "mappings": mappings}))
    aliases = [
        {"add": {"index": INDICES[0], "alias": "logs-write", "is_write_index": False}},
        {"add": {"index": INDICES[1], "alias": "logs-write", "is_write_index": True}},
        {"add": {"index": INDICES[0], "alias": "logs-few", "filter": {"term": {"number": 1}}, "routing": "a"}},
    ]
    good(cluster.as_admin("POST", "/_aliases", {"actions": aliases}))
    dice = random.Random(8)
    bulk(cluster, INDICES[0], [(f"id-{n}", {}, {"text": f"現場 {n}", "number": n}) for n in range(DOCUMENTS)])
    routed = [(f"r/{n} %", {"routing": dice.choice("abc")}, {"text": "\u2028\n", "number": -n}) for n in range(1000)]
    bulk(cluster, INDICES[2], routed)
    # Deleted and changed documents leave holes in the shards.
    for number in range(0, 200, 7):
        good(cluster.as_admin("DELETE", f"/{INDICES[0]}/_doc/id-{number}"))
    good(cluster.as_admin("POST", f"/{INDICES[0]}/_doc/id-1", {"text": "changed", "number": 1}))
    good(cluster.as_admin("POST", "/_refresh"))


def bulk(cluster: SearchProcesses, index: str, those: list[tuple[str, dict[str, str], dict[str, Any]]]) -> None:
    """Index documents."""
    lines = [line for name, more, source in those for line in ({"index": {"_id": name, **more}}, source)]
    certificate, login = cluster.administrator
    with connected("search", cluster.nodes[0].url, cluster.ca, login=login, certificate=certificate) as web:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        assert not web.ask("POST", f"/{index}/_bulk", body=body)["errors"]


def everything(cluster: SearchProcesses) -> dict[str, Any]:
    """Definition and documents of all indices, read without what is tested."""
    indices: dict[str, Any] = {}
    for index in INDICES:
        whole = good(cluster.as_admin("GET", f"/{index}"))[index]
        query = {"size": 10_000, "sort": [{"number": "asc"}], "version": False}
        hits = good(cluster.as_admin("POST", f"/{index}/_search", query))["hits"]["hits"]
        documents = {hit["_id"]: (hit["_source"], hit.get("_routing")) for hit in hits}
        assert len(documents) == len(hits)
        indices[index] = (search_export.definition(whole), documents)
    return indices


def settings(cluster: SearchProcesses, folder: Path, *indices: str) -> Search:
    """What is exported."""
    (folder / "password").write_text(password_of(READER.name) + "\n")
    return Search(
        url=cluster.nodes[0].url,
        ca_file=cluster.ca,
        user=READER.name,
        password_file=folder / "password",
        engine=cluster.engine.value,
        indices=indices,
    )


def test_indices_come_back_with_every_document(cluster: SearchProcesses, store: Store, tmp_path: Path) -> None:
    fill(cluster)
    before = everything(cluster)
    target = RunWriter(store, "search", [str(IDENTITY.to_public())])
    manifest = target.finish(
        search_export.back_up(settings(cluster, tmp_path, "logs-0*", "internal-jaeger-span-0*"), target),
        platform="obs",
        region="tokyo",
    )
    left = DOCUMENTS - len(range(0, 200, 7))
    assert dict(manifest.counts) == {"indices": 3, INDICES[0]: left, INDICES[1]: 0, INDICES[2]: 1000}
    assert manifest.program == RELEASES[cluster.engine]
    nodes = good(cluster.as_admin("GET", "/_nodes/stats/indices/search"))["nodes"].values()
    assert [node["indices"]["search"]["open_contexts"] for node in nodes] == [0], "a point in time is still open"
    run = tmp_path / "run"
    fetch(store, "search", manifest.run, [IDENTITY], run)
    certificate, _ = cluster.administrator
    # As `ops backup restore search` comes: with the administrator's certificate, or with the login that restores.
    login = None if certificate else (RESTORER, password_of(RESTORER))

    def restored(*, replace: bool = False) -> Outcome:
        url = cluster.nodes[0].url
        return restore_search.restore(run, url, login, ca_file=cluster.ca, certificate=certificate, replace=replace)

    with pytest.raises(BackupError, match=r"is not empty \(documents of .*logs-000001: \d+.*\); nothing was changed"):
        restored()

    for index in INDICES:
        good(cluster.as_admin("DELETE", f"/{index}"))
    # A exporter makes the first index of a family as soon as there is a cluster.
    good(cluster.as_admin("PUT", f"/{INDICES[0]}", {"aliases": {"logs-write": {"is_write_index": True}}}))
    outcome = restored()
    assert differences(manifest, outcome.counts) == []
    assert everything(cluster) == before

    good(cluster.as_admin("POST", f"/{INDICES[1]}/_doc?refresh=true", {"text": "later", "number": 1}))
    again = restored(replace=True)
    assert again == outcome
    assert everything(cluster) == before


def test_a_restored_index_takes_no_write_alias_from_the_one_that_is_written_to(
    cluster: SearchProcesses, tmp_path: Path
) -> None:
    for index in INDICES:
        cluster.as_admin("DELETE", f"/{index}")
    mappings: dict[str, Any] = {"properties": {"number": {"type": "long"}}}
    first, second = (
        {"aliases": aliases, "mappings": mappings, "settings": {"number_of_shards": "1", "number_of_replicas": "0"}}
        for aliases in ({"logs-read": {}}, {"logs-read": {}, "logs-write": {}})
    )
    run = tmp_path / "run"
    write_run(run, {"logs-000001": first, "logs-000002": second})
    certificate, _ = cluster.administrator
    login = None if certificate else (RESTORER, password_of(RESTORER))

    def restored() -> Outcome:
        url = cluster.nodes[0].url
        return restore_search.restore(run, url, login, ca_file=cluster.ca, certificate=certificate, replace=True)

    def aliases() -> dict[str, set[str]]:
        shown = good(cluster.as_admin("GET", "/logs-0*/_alias"))
        return {name: set(index["aliases"]) for name, index in shown.items()}

    # The index manager has begun an index that the backup does not have.
    good(cluster.as_admin("PUT", "/logs-000003", {"aliases": {"logs-read": {}, "logs-write": {}}}))
    outcome = restored()
    assert outcome.notes == ("alias logs-write stays with logs-000003, which is not in the backup",)
    assert aliases() == {
        "logs-000001": {"logs-read"},
        "logs-000002": {"logs-read"},
        "logs-000003": {"logs-read", "logs-write"},
    }
    assert good(cluster.as_admin("POST", "/logs-write/_doc", {"number": 1}))["_index"] == "logs-000003"

    # It has made the first index while the others were restored.
    good(cluster.as_admin("DELETE", "/logs-000003"))
    good(
        cluster.as_admin(
            "PUT",
            "/_index_template/early",
            {"index_patterns": ["logs-000001"], "template": {"aliases": {"logs-write": {}}}},
        )
    )
    try:
        assert restored().notes == ()
    finally:
        good(cluster.as_admin("DELETE", "/_index_template/early"))
    assert aliases() == {"logs-000001": {"logs-read"}, "logs-000002": {"logs-read", "logs-write"}}
    assert good(cluster.as_admin("POST", "/logs-write/_doc", {"number": 1}))["_index"] == "logs-000002"


def write_run(folder: Path, indices: dict[str, Any]) -> None:
    """A fetched run of empty indices."""
    folder.mkdir()
    now = datetime.now(UTC)
    manifest = Manifest(
        kind="search",
        run=run_name(now),
        platform="obs",
        region="tokyo",
        started=now,
        finished=now,
        program="OpenSearch",
        recipients=(str(IDENTITY.to_public()),),
        objects=(),
        counts={"indices": len(indices), **dict.fromkeys(indices, 0)},
    )
    (folder / "manifest.json").write_bytes(manifest.content())
    (folder / search_export.INDICES).write_text(json.dumps(indices))
    for index in indices:
        (folder / search_export.file_name(index)).write_bytes(b"".join(search_export.compressed(iter(()))))


def test_a_reader_cannot_write_nor_export_what_it_may_not_read(
    cluster: SearchProcesses, store: Store, tmp_path: Path
) -> None:
    for name in ("secret-000001", INDICES[1]):
        cluster.as_admin("PUT", f"/{name}")
    with pytest.raises(BackupError, match=REFUSED[cluster.engine]):
        search_export.back_up(
            settings(cluster, tmp_path, "secret-0*"), RunWriter(store, "search", [str(IDENTITY.to_public())])
        )
    assert cluster.ask("PUT", f"/{INDICES[1]}/_doc/x", READER.name, {"number": 1}).status_code == 403
    assert cluster.ask("DELETE", f"/{INDICES[1]}", READER.name).status_code == 403
