"""Indices of the peer's Jaeger in the platform's own search cluster, used as the cluster's administrator.

Jaeger makes its templates by itself; the platform's nodes make no index by themselves, so its daily indices are made
here from those templates. Their names begin with `PREFIX`, and all of them are removed at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from components.search.access import members
from components.search.config import HTTP_PORT, WORKLOAD
from components.search.indices import SPANS, trace_family
from components.telemetry.attributes import CLASSES
from lab import LabError
from ops.backups.destinations import Cluster, remove_indices, search_administrator
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.loadtest.bench_requests import ENVIRONMENT
from services.backup import BackupError

PREFIX = "bench-default"
_SPANS, _SERVICES = f"{PREFIX}-jaeger-span-", f"{PREFIX}-jaeger-service-"
_NAME = "localhost"
"""Each node's certificate has this name, among others."""
_ASSIGNED_S = 40
_NEAR_S = 3600
"""Spans of the load begin at most so long before or after the moment at which indices are made."""


@dataclass(frozen=True, kw_only=True)
class SpanIndices:
    """The peer's indices.

    Attributes:
        cluster: The search cluster as its administrator.
        url: Where it is asked; called anew for each question, so that a broken tunnel is opened again.
        addresses: ``host:port`` of every node, where Jaeger writes.
    """

    cluster: Cluster
    url: Callable[[], str]
    addresses: Sequence[str]

    def backend(self) -> dict[str, Any]:
        """Jaeger's store: where it is and how its indices are called; everything else is Jaeger's default.

        Raises:
            LabError: The administrator has no certificate.
        """
        if self.cluster.certificate is None:
            raise LabError("the peer of traces needs the lab's OpenSearch, whose administrator has a certificate")
        certificate, key = map(str, self.cluster.certificate)
        tls = {"ca_file": str(self.cluster.ca_file), "cert_file": certificate, "key_file": key}
        return {
            "opensearch": {
                "server_urls": [f"https://{address}" for address in self.addresses],
                "tls": {**tls, "server_name_override": _NAME},
                "indices": {"index_prefix": PREFIX},
            }
        }

    def create(self) -> None:
        """Make the indices that Jaeger writes today, and tomorrow where that is near.

        Raises:
            LabError: Jaeger has made no templates, or the nodes do not get all copies within `_ASSIGNED_S`.
            OpsError: The cluster refuses or does not answer.
        """
        now = time.time()
        days = sorted({datetime.fromtimestamp(now + shift, UTC).date().isoformat() for shift in (-_NEAR_S, _NEAR_S)})
        with _errors(), self._cluster().web() as web:
            if not web.ask("GET", f"/_template/{PREFIX}-*"):
                raise LabError("the peer's Jaeger has made no templates of indices")
            for name in (f"{start}{day}" for day in days for start in (_SPANS, _SERVICES)):
                limits = {"wait_for_active_shards": "all", "timeout": f"{_ASSIGNED_S}s"}
                if not web.ask("PUT", f"/{name}", params=limits)["shards_acknowledged"]:
                    raise LabError(f"index {name} has not all of its copies after {_ASSIGNED_S} s: see `ops verify`")

    def remove(self) -> None:
        """Remove the indices and Jaeger's templates, those of an earlier run, too.

        Raises:
            OpsError: The cluster refuses or does not answer.
        """
        cluster = self._cluster()
        with _errors(), cluster.web() as web:
            remove_indices(cluster, sorted(web.ask("GET", f"/{PREFIX}-*") or {}))
            for name in sorted(web.ask("GET", f"/_template/{PREFIX}-*") or {}):
                web.ask("DELETE", f"/_template/{name}")

    def spans(self) -> float:
        """Spans that the peer has stored.

        Raises:
            OpsError: The cluster refuses or does not answer.
        """
        return self._count(f"{_SPANS}*", {"match_all": {}})

    def spans_of_platform(self) -> float:
        """Spans of load tests that the platform has stored, of every class.

        Raises:
            OpsError: The cluster refuses or does not answer.
        """
        tags = "process.tags"
        wanted = {"key": "deployment.environment.name", "value": ENVIRONMENT}
        terms = [{"term": {f"{tags}.{field}": text}} for field, text in wanted.items()]
        query = {"nested": {"path": tags, "query": {"bool": {"filter": terms}}}}
        return self._count(",".join(members(trace_family(name, SPANS)) for name in CLASSES), query)

    def _cluster(self) -> Cluster:
        return replace(self.cluster, url=self.url())

    def _count(self, indices: str, query: dict[str, Any]) -> float:
        body = {"query": query, "size": 0, "track_total_hits": True}
        with _errors(), self._cluster().web() as web:
            # Copies of a shard show what was written one after the other: two looks at different ones would differ.
            answer = web.ask("POST", f"/{indices}/_search", body, params={"preference": "_primary"}, again=True)
        if answer is None or answer["timed_out"] or answer["_shards"]["failed"]:
            raise OpsError(f"the search cluster does not count all of {indices}")
        return float(answer["hits"]["total"]["value"])


@contextmanager
def span_indices(context: Context) -> Iterator[SpanIndices]:
    """Indices of the peer, in the cluster of a platform; removed at the end, whatever happened.

    Raises:
        OpsError: Nobody here is the cluster's administrator, or it does not answer.
    """
    addresses = [f"{pod.address}:{HTTP_PORT}" for pod in context.kube.pods(WORKLOAD) if pod.ready and pod.address]

    def url() -> str:
        return context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, HTTP_PORT)

    with search_administrator(context) as cluster:
        indices = SpanIndices(cluster=cluster, url=url, addresses=addresses)
        indices.remove()
        try:
            yield indices
        finally:
            indices.remove()


@contextmanager
def _errors() -> Iterator[None]:
    """The client's errors as those of `ops`."""
    try:
        yield
    except BackupError as error:
        raise OpsError(str(error)) from None
