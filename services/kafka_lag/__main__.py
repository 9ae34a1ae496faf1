"""The program: poll at the brokers every interval, serve the latest poll as Prometheus metrics, stop when asked.

What is too old is left out: an alert must not judge yesterday's lag.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.kafka_lag.brokers import POLL_S, REQUEST_S, Brokers, PollResult, Snapshot, TopicState
from services.kafka_lag.settings import KafkaLagSettings
from services.runtime.periodic import operator_log, wait_for_stop
from services.runtime.serving import config_file, https_server
from services.runtime.settings import SettingsError

# A snapshot outlives this many intervals, so that one missed poll makes no gap.
_KEPT_INTERVALS = 3
_TOPIC_METRICS = {
    "kafka_topic_partitions": ("Partitions of the topic", "partitions"),
    "kafka_topic_under_replicated_partitions": (
        "Partitions with fewer in-sync replicas than replicas",
        "under_replicated",
    ),
    "kafka_topic_leaderless_partitions": ("Partitions without a leader", "leaderless"),
    "kafka_topic_replicas": ("Replicas of each partition (the smallest number)", "replicas"),
    "kafka_topic_in_sync_replicas_min": ("In-sync replicas of the worst partition", "in_sync_min"),
}
_STUCK_S = POLL_S + 2 * REQUEST_S
_MISTAKE = 2


class LagMetrics(Collector):
    """The registry to serve, and the latest snapshot in it."""

    def __init__(self, interval_s: float) -> None:
        """Report snapshots that come every ``interval_s`` seconds."""
        self._kept_s = _KEPT_INTERVALS * interval_s
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._published_at = 0.0
        self.registry = CollectorRegistry()
        self.errors = Counter(
            "kafka_lag_collection_errors",
            "Parts of a collection that failed, by stage",
            ["stage"],
            registry=self.registry,
        )
        self.last_success = Gauge(
            "kafka_lag_last_success_timestamp_seconds",
            "When a collection last succeeded in every part; 0 before the first",
            registry=self.registry,
        )
        self.duration = Gauge(
            "kafka_lag_collection_duration_seconds", "Duration of the latest collection", registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Serve ``snapshot`` from now on."""
        with self._lock:
            self._snapshot, self._published_at = snapshot, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the latest snapshot, or nothing if it is too old."""
        with self._lock:
            snapshot = self._snapshot if time.monotonic() - self._published_at <= self._kept_s else None
        if snapshot is None:
            return
        yield from _groups(snapshot)
        yield from _topics(snapshot)


def _groups(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ["consumergroup", "topic", "partition"]
    lag = GaugeMetricFamily("kafka_consumergroup_lag", "Records the group has not committed yet", labels=labels)
    for (group, topic, partition), value in sorted(snapshot.lags().items()):
        lag.add_metric([group, topic, str(partition)], value)
    yield lag
    position = GaugeMetricFamily("kafka_consumergroup_current_offset", "Offset the group has committed", labels=labels)
    for (group, topic, partition), value in sorted(snapshot.committed.items()):
        position.add_metric([group, topic, str(partition)], value)
    yield position
    members = GaugeMetricFamily("kafka_consumergroup_members", "Members of the group", labels=["consumergroup"])
    for group, count in sorted(snapshot.members.items()):
        members.add_metric([group], count)
    yield members


def _topics(snapshot: Snapshot) -> Iterator[Metric]:
    ends = GaugeMetricFamily("kafka_topic_partition_current_offset", "End of the log", labels=["topic", "partition"])
    for (topic, partition), value in sorted(snapshot.end_offsets.items()):
        ends.add_metric([topic, str(partition)], value)
    yield ends
    for name, (text, attribute) in _TOPIC_METRICS.items():
        family = GaugeMetricFamily(name, text, labels=["topic"])
        for topic, state in sorted(snapshot.topics.items()):
            family.add_metric([topic], _value(state, attribute))
        yield family


def _value(state: TopicState, attribute: str) -> int:
    return int(getattr(state, attribute))


log = operator_log("kafka-lag")


class PollLoop:
    """Polls the brokers."""

    def __init__(self, interval_s: float, metrics: LagMetrics, poll: Callable[[], PollResult]) -> None:
        """Publish to ``metrics`` what ``poll`` finds every ``interval_s`` seconds."""
        self._interval_s = interval_s
        self._metrics = metrics
        self._poll = poll
        self._last_turn = time.monotonic()
        self._last_logged = ""

    def alive(self) -> bool:
        """Tell whether the loop still turns; unreachable brokers are no reason to restart this process."""
        return time.monotonic() - self._last_turn < self._interval_s + _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Poll every interval until ``stop`` is set."""
        while not stop.is_set():
            started = time.monotonic()
            self._last_turn = started
            self.once()
            stop.wait(max(0.1, self._interval_s - (time.monotonic() - started)))

    def once(self) -> None:
        """Poll once; failures are counted and told, not raised."""
        started = time.monotonic()
        outcome = self._poll()
        for stage, _ in outcome.failures:
            self._metrics.errors.labels(stage).inc()
        if outcome.snapshot is not None:
            self._metrics.publish(outcome.snapshot)
        self._metrics.duration.set(time.monotonic() - started)
        if not outcome.failures:
            self._metrics.last_success.set_to_current_time()
        self._log_change([f"{stage}: {reason}" for stage, reason in outcome.failures])

    def _log_change(self, failures: list[str]) -> None:
        message = failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else "") if failures else ""
        if message != self._last_logged:
            log(message or "the brokers answer again")
            self._last_logged = message


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    config = config_file(arguments, "kafka-lag", "Prometheus exporter for Kafka consumer lag.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = KafkaLagSettings.load(config)
        metrics = LagMetrics(settings.interval_s)
        loop = PollLoop(settings.interval_s, metrics, Brokers(settings).poll)
        server = https_server(settings, metrics.registry, loop.alive, program="kafka-lag")
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except OSError as error:
        where = f"{settings.listen_host}:{settings.listen_port} with {settings.cert_file} and {settings.key_file}"
        log(f"cannot serve on {where}: {error}")
        return _MISTAKE
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    threading.Thread(target=loop.run, args=(stop,), daemon=True).start()
    wait_for_stop(stop)
    server.stop()
    log("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
