"""The search cluster as one of its users reads it, through a tunnel to a node; when a node fails, to another one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from components.jaeger.query import query_workload
from components.search.config import HTTP_PORT, WORKLOAD
from components.search.indices import LOGS, SPANS, trace_alias
from components.telemetry.attributes import CLASSES
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError

T = TypeVar("T")
_PAGE = 1000
_TRIES, _TRY_AGAIN_S = 6, 1.0
_READINGS, _READ_AGAIN_S = 8, 20.0


class SearchClient:
    """Reads documents behind one alias.

    Args:
        context: The platform.
        login: User of the search cluster.
        alias: What is read.
    """

    def __init__(self, context: Context, login: tuple[str, str], alias: str) -> None:
        self._context, self._login, self._alias = context, login, alias
        self._turn = 0

    def hits(self, query: Mapping[str, Any], fields: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Sources of all documents that a query finds, each with its ``_id`` and ``_index``.

        Each shard is read by itself. A page of a scroll that was not answered is not to be had again, so the reading
        of its shard begins anew: a node whose heap is full refuses reads for a while.

        Raises:
            OpsError: A shard could not be read, several times.
        """
        documents: list[dict[str, Any]] = []
        for index, shards in self._shards().items():
            for shard in range(shards):
                read = partial(self._read, index, shard, query, fields)
                documents += _patiently(read, _READINGS, _READ_AGAIN_S)
        return documents

    def _shards(self) -> dict[str, int]:
        """Each index behind the alias, and how many shards it has."""
        indices = self.call("GET", f"/{self._alias}")
        return {name: int(index["settings"]["index"]["number_of_shards"]) for name, index in indices.items()}

    def _read(self, index: str, shard: int, query: Mapping[str, Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        """All documents of one shard that a query finds."""
        body = {"size": _PAGE, "query": query, "sort": ["_doc"], "_source": list(fields) or True}
        response = self._once("POST", f"/{index}/_search?scroll=1m&preference=_shards:{shard}", body)
        documents: list[dict[str, Any]] = []
        while page := _whole(response)["hits"]["hits"]:
            documents += [{**hit["_source"], "_id": hit["_id"], "_index": hit["_index"]} for hit in page]
            response = self._once("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": response["_scroll_id"]})
        # The cluster has ended it where its last page was read; else it does so after a minute.
        with suppress(OpsError):
            self._once("DELETE", "/_search/scroll", {"scroll_id": [response["_scroll_id"]]})
        return documents

    def count(self, query: Mapping[str, Any]) -> int:
        """Number of documents that a query finds."""
        return int(self.call("POST", f"/{self._alias}/_count", {"query": query})["count"])

    def ask(self, query: Mapping[str, Any]) -> int:
        """Number of documents, asked once and without patience; every shard has to answer.

        Raises:
            OpsError: No answer, or only some of the shards gave one.
        """
        return int(_whole(self._once("POST", f"/{self._alias}/_count", {"query": query}))["count"])

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request; a few more when a node does not answer.

        Raises:
            OpsError: The last of the tries failed.
        """
        return _patiently(lambda: self._once(method, path, body), _TRIES, _TRY_AGAIN_S)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        pods = [pod for pod in self._context.kube.pods(WORKLOAD) if pod.ready]
        if not pods:
            raise OpsError("no search node is ready")
        pod = pods[self._turn % len(pods)].name
        try:
            response = self._context.web.call(
                method,
                self._context.tunnels.url(pod, HTTP_PORT) + path,
                auth=self._login,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
        except OpsError:
            self._turn += 1
            self._context.tunnels.drop(pod, HTTP_PORT)
            raise
        with response:
            if response.status_code != 200:
                self._turn += 1
                raise OpsError(f"search answered {response.status_code} to {path}: {response.text[:300]}")
            answer: dict[str, Any] = response.json()
        return answer


def _patiently(ask: Callable[[], T], tries: int, pause_s: float) -> T:
    """What is answered at one of some tries.

    Raises:
        OpsError: The last of them failed.
    """
    for _ in range(tries - 1):
        try:
            return ask()
        except OpsError:
            time.sleep(pause_s)
    return ask()


def _whole(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of every shard.

    Raises:
        OpsError: It is of some of them only.
    """
    shards = answer["_shards"]
    if shards["failed"] or shards["successful"] != shards["total"]:
        raise OpsError(f"{shards['successful']} of {shards['total']} shards answered")
    return answer


def stored_spans(context: Context) -> SearchClient:
    """Every span that is stored, as the query with the highest clearance reads them."""
    user = query_workload(CLASSES[-1])
    password = context.kube.secret_entry(f"{user}-auth", "search-password")
    return SearchClient(context, (user, password), trace_alias(CLASSES[-1], SPANS, "read"))


def stored_logs(context: Context) -> SearchClient:
    """Every log record that is stored.

    Raises:
        CannotRunError: The stack has no reader of logs.
    """
    reader = context.platform.log_reader
    if reader is None:
        raise CannotRunError("the stack has no reader of logs")
    return SearchClient(context, reader.pair, f"{LOGS}-read")
