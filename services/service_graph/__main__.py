"""The program: read spans, serve the map, write a document every interval, stop when asked."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime.json_api import ApiError, WriteAlias
from services.runtime.serving import config_file, https_server, operator_log
from services.runtime.settings import SettingsError
from services.service_graph import ServiceGraphSettings
from services.service_graph.graph import EdgeMetrics, Matcher, Tally, document, document_id
from services.service_graph.reader import AssignmentError, Reader

_FAILURE, _MISTAKE = 1, 2
_COMMIT_EVERY_S = 5.0
_READ_S = 0.5
_SEARCH_S = 20.0
_RETRY_S = 5.0
_STUCK_S = 120.0


log = operator_log("service-graph")


class _Reading(Collector):
    """What the reader and the matcher count."""

    def __init__(self, reader: Reader, matcher: Matcher, edges: EdgeMetrics) -> None:
        self._reader, self._matcher, self._edges = reader, matcher, edges

    def collect(self) -> Iterator[Metric]:
        counters = {
            "service_graph_spans": ("Spans that were read", self._reader.spans),
            "service_graph_records": ("Kafka records that were read", self._reader.records),
            "service_graph_undecodable_records": ("Records that are no spans", self._reader.undecodable),
            "service_graph_unmatched_spans": ("Spans whose parent did not come in time", self._matcher.unmatched),
            "service_graph_spans_forgotten_early": (
                "Spans, and callers waited for, forgotten before the window's end: there were too many",
                self._matcher.forgotten_early,
            ),
            "service_graph_calls_beyond_limit": ("Calls on edges beyond the limit", self._edges.beyond),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(name, text, value=value)
        yield GaugeMetricFamily(
            "service_graph_spans_remembered", "Spans in memory, and callers waited for", value=self._matcher.remembered
        )


class Program:
    """Reading, committing and writing in one loop; only serving has threads of its own."""

    def __init__(
        self,
        settings: ServiceGraphSettings,
        *,
        connect: Callable[..., Any] | None = None,
        writer: WriteAlias | None = None,
    ) -> None:
        """Run as ``settings`` say; ``connect`` and ``writer`` stand in for Kafka and the search cluster."""
        self._settings = settings
        window_ms = round(settings.window_s * 1000)
        matcher = Matcher(window_ms, settings.most_spans)
        self.edges = EdgeMetrics(settings.most_edges)
        self._tally = Tally(settings.most_edges)
        self._reader = Reader(
            settings.kafka,
            matcher,
            self.edges,
            self._tally,
            window_ms=window_ms,
            report=log,
            **({"connect": connect} if connect else {}),
        )
        self._writer = writer or WriteAlias(settings.search, read_s=_SEARCH_S)
        self._last_turn = self._committed_at = self._written_at = time.monotonic()
        self._last_logged, self._failed_at = "", 0.0
        self.registry = CollectorRegistry()
        self._failures = Counter(
            "service_graph_failures", "Attempts that failed, by stage", ["stage"], registry=self.registry
        )
        for stage in ("kafka", "search"):
            self._failures.labels(stage)
        self._documents = Counter(
            "service_graph_documents", "Documents written to the search cluster", registry=self.registry
        )
        self._last_document = Gauge(
            "service_graph_last_document_timestamp_seconds",
            "When a document was last due and written, or there was nothing to write; the start before the first",
            registry=self.registry,
        )
        self._last_document.set_to_current_time()
        ProcessCollector(registry=self.registry)
        for collector in (self.edges, _Reading(self._reader, matcher, self.edges)):
            self.registry.register(collector)

    def alive(self) -> bool:
        """Tell whether the loop still turns; brokers or a search cluster that are away are no reason to restart."""
        return time.monotonic() - self._last_turn < _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Turn until ``stop`` is set; then commit how far was read."""
        while not stop.is_set():
            if not self.turn():
                stop.wait(_RETRY_S)
        self._guarded("kafka", self._reader.commit)
        self._reader.close()
        self._writer.close()

    def turn(self) -> bool:
        """Read, commit and write what is due; False when Kafka failed."""
        self._last_turn = time.monotonic()
        if not self._guarded("kafka", lambda: self._reader.read(_READ_S)):
            return False
        now = time.monotonic()
        if now - self._written_at >= self._settings.interval_s and self._reader.caught_up:
            self._written_at = now
            if self._guarded("search", self._write):
                self._committed_at = now
                return self._guarded("kafka", self._finish)
        if now - self._committed_at >= _COMMIT_EVERY_S:
            self._committed_at = now
            return self._guarded("kafka", self._reader.commit)
        return True

    def _write(self) -> None:
        if self._tally.calls:
            name = document_id(self._settings.kafka.topic, self._reader.begins())
            self._writer.put(name, document(self._tally.calls, self._tally.newest_ms))
            self._documents.inc()

    def _finish(self) -> None:
        self._reader.finish()
        self._last_document.set_to_current_time()

    def _guarded(self, stage: str, step: Callable[[], Any]) -> bool:
        try:
            step()
        except (KafkaException, ApiError, OSError) as error:
            self._failures.labels(stage).inc()
            self._failed_at = time.monotonic()
            self._log_change(f"{stage}: {error}")
            return False
        if self._last_logged and time.monotonic() - self._failed_at > 2 * self._settings.interval_s:
            self._log_change("")
        return True

    def _log_change(self, message: str) -> None:
        if message != self._last_logged:
            self._last_logged = message
            log(message or "all is well again")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 1 to be started again, 2 for a mistake in the settings."""
    config = config_file(arguments, "service-graph", "Dependency map of the observed services.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = ServiceGraphSettings.load(config)
        program = Program(settings)
        server = https_server(settings, program.registry, program.alive, program="service-graph")
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except (OSError, KafkaException) as error:
        log(f"cannot start with {config}: {error}")
        return _MISTAKE
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    try:
        program.run(stop)
    except AssignmentError as error:
        log(str(error))
        return _FAILURE
    finally:
        server.stop()
    log("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
