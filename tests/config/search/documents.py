"""What tests write to a search cluster and read from it."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.config.search_process import SearchProcesses

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
