"""Where the peer's items end, and how many of them are there. Spans end in indices of its Jaeger in the platform's own
search cluster, used as the cluster's administrator.

Jaeger makes its templates by itself; the platform's nodes make no index by themselves, so its daily indices are made
here from those templates. Their names begin with `PREFIX`, and all of them are removed at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import requests

from components.search.access import members
from components.search.config import HTTP_PORT, WORKLOAD
from components.search.indices import SPANS, trace_family
from components.telemetry.attributes import CLASSES
from lab import LabError
from lab.toolchain import tools
from ops.backups.destinations import Cluster, remove_indices, search_administrator
from ops.backups.options import errors
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.loadtest.bench_requests import ENVIRONMENT, Batch, samples_query

PROMETHEUS, LOG_STORE = "peer Prometheus", "peer VictoriaLogs"
"""Processes of the peer that store."""

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
        with errors(), self._cluster().web() as web:
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
        with errors(), cluster.web() as web:
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
        with errors(), self._cluster().web() as web:
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


_ANSWER_S = 15


class Store(Protocol):
    """The end of the peer's path."""

    def mark(self) -> float:
        """Begin to count."""

    def arrived(self, mark: float) -> float:
        """Items that have arrived since a mark.

        Raises:
            OpsError: The store does not say so.
        """


class Server(Store, Protocol):
    """A store that is a process of the peer, which takes OTLP over HTTP."""

    name: str
    """Of the process."""
    exporter: dict[str, Any]
    """Settings of the collector's exporter `otlphttp`."""

    def command(self, folder: Path) -> list[str]:
        """Command line; what it writes goes into the folder."""


class Prometheus:
    """One Prometheus: samples of the sequence numbers."""

    name = PROMETHEUS

    def __init__(self, port: int, batch: Batch) -> None:
        self._port, self._per_sample = port, batch.items / batch.units
        self.exporter: dict[str, Any] = {"endpoint": f"http://127.0.0.1:{port}/api/v1/otlp"}

    def command(self, folder: Path) -> list[str]:
        """With an empty configuration, and the receiver of OTLP switched on."""
        file = folder / "prometheus.yml"
        file.write_text("{}\n")
        return [
            str(tools.path("prometheus")),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-otlp-receiver",
        ]

    def mark(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def arrived(self, mark: float) -> float:
        """Points, by the samples of the sequence numbers."""
        now = time.time()
        params = {"query": samples_query(now - mark), "time": f"{now:.3f}"}
        return _value(self.name, f"http://127.0.0.1:{self._port}/api/v1/query", params) * self._per_sample


class VictoriaLogs:
    """One VictoriaLogs: all that it holds."""

    name = LOG_STORE

    def __init__(self, port: int) -> None:
        self._port = port
        self.exporter: dict[str, Any] = {"logs_endpoint": f"http://127.0.0.1:{port}/insert/opentelemetry/v1/logs"}

    def command(self, folder: Path) -> list[str]:
        """With its defaults."""
        return [
            str(tools.path("victoria-logs")),
            f"-storageDataPath={folder / 'victoria-logs'}",
            f"-httpListenAddr=127.0.0.1:{self._port}",
        ]

    def mark(self) -> float:
        """Log records that it holds."""
        return self._held()

    def arrived(self, mark: float) -> float:
        """Log records beyond those of the mark."""
        return self._held() - mark

    def _held(self) -> float:
        params = {"query": "* | stats count() as records"}
        return _value(self.name, f"http://127.0.0.1:{self._port}/select/logsql/stats_query", params)


class JaegerIndices:
    """Indices of the search cluster that the peer's Jaeger fills."""

    def __init__(self, indices: SpanIndices) -> None:
        self.indices = indices

    def mark(self) -> float:
        """Spans that they hold."""
        return self.indices.spans()

    def arrived(self, mark: float) -> float:
        """Spans beyond those of the mark."""
        return self.indices.spans() - mark


def _value(name: str, url: str, params: dict[str, str]) -> float:
    """The one value of an instant query in the form of Prometheus; 0 where nothing answers to it."""
    try:
        answer = requests.get(url, params=params, timeout=_ANSWER_S)
        answer.raise_for_status()
        result = answer.json()["data"]["result"]
    except (requests.RequestException, ValueError, KeyError) as error:
        raise OpsError(f"the {name} gives no answer: {type(error).__name__}") from None
    return float(result[0]["value"][1]) if result else 0.0
