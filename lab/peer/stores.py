"""Where the peer's items end, and how many of them are there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import requests

from lab.peer.plans import LOG_STORE, PROMETHEUS
from lab.peer.search import SpanIndices
from lab.toolchain import tools
from ops.core.errors import OpsError
from ops.loadtest.bench_requests import Batch, samples_query

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
