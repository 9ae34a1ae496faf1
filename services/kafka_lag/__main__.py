"""The program: poll at the brokers every interval, serve the latest poll as Prometheus metrics, stop when asked.

What is too old is left out: an alert must not judge yesterday's lag.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import GroupIdNotFoundError, KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.kafka_lag import KafkaLagSettings, Selection
from services.runtime import kafka
from services.runtime.serving import config_file, https_server, operator_log, wait_for_stop
from services.runtime.settings import SettingsError

REQUEST_S = 10.0
"""Limit of one request to the brokers."""
POLL_S = 5 * REQUEST_S
"""A poll is several requests one after the other; after so long it begins none."""
Failed = Callable[[str, str], None]
"""Told stage and reason of a part that could not be had."""


@dataclass(frozen=True)
class TopicState:
    """A topic's replicas: partitions, how many lack a replica or a leader, and the smallest in-sync set."""

    partitions: int
    under_replicated: int
    leaderless: int
    replicas: int
    in_sync_min: int


@dataclass(frozen=True)
class Snapshot:
    """What one poll found. Keys of offsets are (topic, partition); of commits (group, topic, partition)."""

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    end_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    committed: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)

    def lags(self) -> dict[tuple[str, str, int], int]:
        """Return records not yet committed, by (group, topic, partition); where the log's end is unknown, nothing."""
        ends = self.end_offsets
        return {
            (group, topic, partition): max(0, ends[topic, partition] - offset)
            for (group, topic, partition), offset in self.committed.items()
            if (topic, partition) in ends
        }


@dataclass(frozen=True)
class PollResult:
    """What came of one poll: the snapshot, None if nobody answered, and (stage, reason) of each part that failed."""

    snapshot: Snapshot | None = None
    failures: tuple[tuple[str, str], ...] = ()


class Brokers:
    """Polls with one client, made when it is needed; not for several threads."""

    def __init__(self, settings: KafkaLagSettings, connect: Callable[..., Any] = kafka.admin) -> None:
        """Ask the brokers of ``settings``; ``connect`` makes the client."""
        self._settings = settings
        self._connect = connect
        self._client: Any = None
        self._authority = self._password = ""

    def poll(self) -> PollResult:
        """Poll once; failures are told, not raised. After one, the next poll has a new client."""
        failures: list[tuple[str, str]] = []
        settings = self._settings
        try:
            snapshot = poll(
                self._admin(), settings.groups, settings.topics, lambda stage, reason: failures.append((stage, reason))
            )
        except (KafkaError, OSError) as error:
            failures.append(("brokers", str(error)))
            snapshot = None
        except Exception as error:  # Whatever the client does not understand is one failed poll, not the last one.
            failures.append(("brokers", f"{type(error).__name__}: {error}"))
            snapshot = None
        if failures:
            self.close()
        return PollResult(snapshot=snapshot, failures=tuple(failures))

    def close(self) -> None:
        """End the client and its connections."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError, OSError, RuntimeError):
                client.close()

    def _admin(self) -> Any:
        """Return the client; a new one whenever the CA was renewed.

        The password stays that of the start. A later one may be of another user, whom only a new process is told.
        """
        settings = self._settings
        authority = settings.ca_file.read_text()
        self._password = self._password or settings.password_file.read_text().strip()
        if self._client is None or authority != self._authority:
            self.close()
            self._client = self._connect(
                bootstrap=settings.bootstrap,
                ca=authority,
                username=settings.username,
                password=self._password,
                client_id="kafka-lag",
                request_s=REQUEST_S,
            )
            self._authority = authority
        return self._client


def poll(admin: Any, groups: Selection, topics: Selection, failed: Failed) -> Snapshot:
    """Ask the brokers once.

    Args:
        admin: A client of `services.runtime.kafka.admin`.
        groups: The consumer groups to report.
        topics: The topics to report.
        failed: Told of each part that could not be had; the others are still reported.

    Raises:
        KafkaError: Not even the list of topics could be had.
    """
    parts = _Parts(failed)
    described = {topic["name"]: topic["partitions"] for topic in admin.describe_topics() if topic["name"] in topics}
    ends = _end_offsets(admin, described, parts)
    names = sorted(groups.names) if groups.names is not None else _matching(admin, groups, parts)
    members: dict[str, int] = {}
    committed: dict[tuple[str, str, int], int] = {}
    for name in names:
        count = parts.ask("group_members", name, _members, admin, name)
        if count is not None:
            members[name] = count
        offsets = parts.ask("group_offsets", name, kafka.committed, admin, name)
        for (topic, partition), offset in (offsets or {}).items():
            if topic in topics:
                committed[name, topic, partition] = offset
    return Snapshot(
        topics={name: _state(partitions) for name, partitions in described.items()},
        end_offsets=ends,
        committed=committed,
        members=members,
    )


class _Parts:
    """Parts of one poll, which together may take `POLL_S`."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed
        self._deadline = time.monotonic() + POLL_S

    def ask(self, stage: str, what: str, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; None if there is none, which is told."""
        if time.monotonic() > self._deadline:
            self.failed(stage, f"{what}: not asked, since the poll took longer than {POLL_S:g} s")
            return None
        try:
            return question(*arguments)
        except (KafkaError, OSError) as error:
            self.failed(stage, f"{what}: {error}")
            return None


def _state(partitions: Iterable[Mapping[str, Any]]) -> TopicState:
    replicas = [(len(partition["replica_nodes"]), len(partition["isr_nodes"])) for partition in partitions]
    return TopicState(
        partitions=len(replicas),
        under_replicated=sum(in_sync < copies for copies, in_sync in replicas),
        leaderless=sum(partition["leader_id"] < 0 for partition in partitions),
        replicas=min((copies for copies, _ in replicas), default=0),
        in_sync_min=min((in_sync for _, in_sync in replicas), default=0),
    )


def _end_offsets(admin: Any, topics: Mapping[str, Iterable[Mapping[str, Any]]], parts: _Parts) -> dict[Any, int]:
    """The ends of the logs by (topic, partition), asked topic by topic and leader by leader."""
    led: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for name, partitions in topics.items():
        for partition in partitions:
            led[name, partition["leader_id"]].append(partition["partition_index"])
    ends: dict[tuple[str, int], int] = {}
    for (name, leader), numbers in sorted(led.items()):
        what = f"{name} {','.join(map(str, sorted(numbers)))}"
        if leader < 0:
            parts.failed("log_end_offsets", f"{what}: no leader")
            continue
        wanted = {TopicPartition(name, number): OffsetSpec.LATEST for number in numbers}
        answer = parts.ask("log_end_offsets", what, admin.list_partition_offsets, wanted)
        ends |= {(key.topic, key.partition): end.offset for key, end in (answer or {}).items()}
    return ends


def _matching(admin: Any, wanted: Selection, parts: _Parts) -> list[str]:
    listed = parts.ask("group_list", "all groups", kafka.consumer_groups, admin) or []
    return [name for name in listed if name in wanted]


def _members(admin: Any, name: str) -> int:
    """Members of a group; a group that does not exist has none.

    Raises:
        KafkaError: The coordinator does not say.
    """
    group = admin.describe_groups([name])[name]
    error = group["error"]
    if error and GroupIdNotFoundError.__name__ not in error:
        raise KafkaError(error)
    return 0 if error else len(group["members"])


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
