"""What tests write to a search cluster and read from it."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

from ops.core.web import Web
from ops.drills.tools.search_client import SearchClient
from tests.config.search_process import SearchProcesses, password_of

BUSY_S = 120.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(name: str, number: int = 0) -> dict[str, Any]:
    return {
        "traceID": TRACE,
        "spanID": f"{number:016x}",
        "operationName": f"work of {name}",
        "startTimeMillis": int(time.time() * 1000),
        "tag": {"data@classification": name},
        "process": {"serviceName": f"service-{name}", "tags": []},
    }


def bulk(cluster: SearchProcesses, user: str, *actions: dict[str, Any]) -> Any:
    lines = "".join(json.dumps(line) + "\n" for line in actions)
    answer = cluster.ask("POST", "/_bulk?refresh=true", user, lines)
    assert answer.status_code == 200, answer.text
    return answer.json()


def readable_documents(
    cluster: SearchProcesses, user: str, index: str, query: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    body = {"query": query or {"match_all": {}}, "size": 100}
    deadline = time.monotonic() + BUSY_S
    while True:
        # A node that is short of memory for a moment would leave a shard out, and say 200.
        answer = cluster.ask("GET", f"/{index}/_search?allow_partial_search_results=false", user, body)
        if answer.status_code not in (429, 503) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    return [hit["_source"] for hit in answer.json()["hits"]["hits"]]


def read_whole(cluster: SearchProcesses, user: str, alias: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """What a drill reads that counts documents."""
    web = Web(str(cluster.ca))
    context: Any = SimpleNamespace(
        kube=SimpleNamespace(pods=lambda _: [SimpleNamespace(ready=True, name=node.url) for node in cluster.nodes]),
        tunnels=SimpleNamespace(url=lambda node, _: node, drop=lambda *_: None),
        web=web,
    )
    try:
        return SearchClient(context, (user, password_of(user)), alias).hits(query, ["body"])
    finally:
        web.close()


def many_logs(cluster: SearchProcesses, count: int) -> list[str]:
    """Add logs whose text says what they are; returns the texts."""
    texts = [f"one of many {number}" for number in range(count)]
    actions = [line for text in texts for line in ({"create": {"_index": "logs-write"}}, {"body": text})]
    answer = bulk(cluster, "log-indexer", *actions)
    assert not answer["errors"], answer
    return texts


ANALYSED = (
    ("Segment 7: recorder-1.example", ("segment 7 recorder 1 example", "segment 7 recorder 1 example")),
    ("録画に失敗", ("録 録画 画 画に に に失 失 失敗 敗", "録画 画に に失 失敗")),
    ("ﾃﾞｨｽｸ満杯", ("デ ディ ィ ィス ス スク ク ク満 満 満杯 杯", "ディ ィス スク ク満 満杯")),
    ("患者ＡＢＣ１２の", ("患 患者 者 abc12 の", "患者 abc12 の")),
    ("카메라 3 오류", ("카 카메 메 메라 라 3 오 오류 류", "카메 메라 3 오류")),
    ("𠮷野", ("𠮷 𠮷野 野", "𠮷野")),
    ("é Ünïcode", ("é ünïcode", "é ünïcode")),
)
"""A text, and the terms that it is cut into in the index of logs: those that are kept, and those that are sought."""


def cut(cluster: SearchProcesses, text: str) -> tuple[str, ...]:
    """Terms that a text is cut into, by the two analyzers of `ANALYSED`."""
    return tuple(" ".join(_terms(cluster, name, text)) for name in ("words_and_bigrams", "words_or_bigrams"))


def _terms(cluster: SearchProcesses, analyzer: str, text: str) -> list[str]:
    answer = cluster.as_admin("GET", "/logs-000001/_analyze", {"analyzer": analyzer, "text": text})
    assert answer.status_code == 200, answer.text
    return [token["token"] for token in answer.json()["tokens"]]
