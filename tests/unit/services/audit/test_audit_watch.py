"""What is to be read: a follower for each container, gaps for those that went, each Event once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.audit import FollowedContainer, Source
from services.audit.follower import ApiError, KubernetesApi, Positions
from services.audit.metrics import Metrics
from services.audit.records import GAP, CommandEvent, Entry, event
from services.audit.watch import Commands, Pods
from tests.unit.services.audit.api_fake import NAMESPACE, UID, Cluster, api_server, pod
from tests.unit.services.audit.test_audit_follower import at, line

FOLLOWED = (FollowedContainer(source=Source.KAFKA, workload="kafka", container="kafka"),)


class Told:
    """What was told, the gauges, and what ends the watch."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.queue: queue.Queue[Entry] = queue.Queue()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, [Source.KAFKA, Source.OPS])
        self.positions = Positions({})

    def at(self, positions: dict[str, str]) -> Positions:
        """Have reading begin there."""
        self.positions = Positions(positions)
        return self.positions

    def next(self) -> str:
        entry = self.queue.get(timeout=60)
        return entry.access.detail["reason"] if entry.access.action == GAP else entry.access.target

    def value(self, name: str, source: str = "kafka") -> float | None:
        return self.registry.get_sample_value(name, {"source": source})

    def until(self, name: str, value: float, source: str = "kafka") -> None:
        deadline = time.monotonic() + 60
        while self.value(name, source) != value:
            assert time.monotonic() < deadline, (name, self.value(name, source))
            time.sleep(0.02)


@contextmanager
def watching(
    folder: Path, cluster: Cluster, work: Callable[[KubernetesApi, Told, threading.Event], None]
) -> Iterator[Told]:
    told = Told()
    with api_server(folder, cluster) as where:
        thread = threading.Thread(target=work, args=(KubernetesApi(where, quiet_s=30), told, told.stop), daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.stop.set()
            cluster.changes.put(None)
            for waiting in cluster.live.values():
                waiting.put(None)
            thread.join(60)


def pods(
    positions: dict[str, str], *, first: bool = False, end: Callable[[Pods], None] = lambda watch: None
) -> Callable[[KubernetesApi, Told, threading.Event], None]:
    def work(api: KubernetesApi, told: Told, stop: threading.Event) -> None:
        watch = Pods(api, FOLLOWED, told.at(positions), told.queue.put, told.metrics, first=first)
        watch.run(stop)
        end(watch)

    return work


def cluster_of(*names: str) -> Cluster:
    return Cluster(
        pods={name: pod(name, f"uid-{name}") for name in names},
        logs={name: [line(1, name)] for name in ("kafka-0", "kafka-1")},
        live={name: queue.Queue() for name in ("kafka-0", "kafka-1")},
    )


def test_pods_that_are_there_and_pods_that_come_are_followed(tmp_path: Path) -> None:
    cluster = cluster_of("kafka-0")
    with watching(tmp_path, cluster, pods({}, first=True)) as told:
        assert told.next() == "topic:kafka-0"
        told.until("audit_open_streams", 1)
        cluster.pods["kafka-1"] = pod("kafka-1", "uid-kafka-1")
        cluster.changes.put(("pods", "ADDED", cluster.pods["kafka-1"]))
        assert told.next() == "topic:kafka-1"
        told.until("audit_open_streams", 2)
        assert told.value("audit_expected_streams") == 2
        gone = cluster.pods.pop("kafka-0")
        cluster.changes.put(("pods", "DELETED", gone))
        told.until("audit_expected_streams", 1)
        assert told.value("audit_gaps_total") == 0
    assert any("labelSelector=app.kubernetes.io%2Fname+in+%28kafka%29" in path for path in cluster.requests)


def test_a_pod_that_went_while_nobody_read_is_a_gap(tmp_path: Path) -> None:
    known = {f"kafka-1/{UID}/kafka/0": at(1), "kafka-0/uid-kafka-0/kafka/0": "2026-11-28T06:00:00.500000000Z"}
    cluster = cluster_of("kafka-0")
    cluster.logs["kafka-0"] = [line(0, "old"), line(1, "new")]
    with watching(tmp_path, cluster, pods(known)) as told:
        targets = {told.next(), told.next()}
    assert targets == {"the pod went while nobody read it: its last lines may be missing", "topic:new"}
    assert told.value("audit_gaps_total") == 1


def test_restarts_before_the_first_start_are_no_gap(tmp_path: Path) -> None:
    cluster = cluster_of("kafka-0")
    cluster.pods["kafka-0"] = pod("kafka-0", "uid-kafka-0", restarts=5)
    with watching(tmp_path, cluster, pods({}, first=True)) as told:
        assert told.next() == "topic:kafka-0"
        assert told.value("audit_gaps_total") == 0


class Ending:
    """Ends the reading once it is asked to, and says what came of it."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s, self.left, self.began, self.over = limit_s, -1, threading.Event(), threading.Event()

    def __call__(self, watch: Pods) -> None:
        self.began.set()
        try:
            self.left = watch.end(self.limit_s)
        finally:
            self.over.set()


def stopped(told: Told, cluster: Cluster, ending: Ending) -> None:
    told.stop.set()
    cluster.changes.put(None)
    assert ending.began.wait(60)


def deleted(cluster: Cluster, name: str) -> None:
    cluster.pods[name]["metadata"]["deletionTimestamp"] = "2026-11-28T06:00:00Z"


def test_a_pod_that_is_ending_is_read_to_its_end_before_reading_stops(tmp_path: Path) -> None:
    cluster, ending = cluster_of("kafka-0", "kafka-1"), Ending(60)
    with watching(tmp_path, cluster, pods({}, first=True, end=ending)) as told:
        assert {told.next(), told.next()} == {"topic:kafka-0", "topic:kafka-1"}
        deleted(cluster, "kafka-0")
        stopped(told, cluster, ending)
        assert not ending.over.wait(0.5)
        cluster.live["kafka-0"].put(line(2, "last"))
        assert told.next() == "topic:last"
        del cluster.pods["kafka-0"]
        cluster.live["kafka-0"].put(None)
        assert ending.over.wait(60)
        assert ending.left == 0
        assert told.positions.all() == {"kafka-1/uid-kafka-1/kafka/0": at(1)}
        assert told.value("audit_gaps_total") == 0


def test_reading_does_not_wait_for_pods_that_stay(tmp_path: Path) -> None:
    cluster, ending = cluster_of("kafka-0"), Ending(3600)
    with watching(tmp_path, cluster, pods({}, first=True, end=ending)) as told:
        assert told.next() == "topic:kafka-0"
        stopped(told, cluster, ending)
        assert ending.over.wait(60)
    assert ending.left == 0


def test_a_pod_that_never_ends_is_left_after_a_while_and_where_it_was_read_is_kept(tmp_path: Path) -> None:
    cluster, ending = cluster_of("kafka-0"), Ending(0.2)
    with watching(tmp_path, cluster, pods({}, first=True, end=ending)) as told:
        assert told.next() == "topic:kafka-0"
        deleted(cluster, "kafka-0")
        stopped(told, cluster, ending)
        assert ending.over.wait(60)
        assert ending.left == 1
        assert told.positions.all() == {"kafka-0/uid-kafka-0/kafka/0": at(1)}


def test_where_nobody_says_which_pods_are_ending_reading_stops(tmp_path: Path) -> None:
    cluster, refused = cluster_of("kafka-0"), threading.Event()

    def end(watch: Pods) -> None:
        cluster.token = "another"
        with pytest.raises(ApiError, match="the API server answers 401"):
            watch.end(60)
        refused.set()

    with watching(tmp_path, cluster, pods({}, first=True, end=end)) as told:
        assert told.next() == "topic:kafka-0"
        told.stop.set()
        cluster.changes.put(None)
        assert refused.wait(60)


def item(name: str, message: str | None = None) -> dict[str, Any]:
    command = CommandEvent(run=name, account="alice", user="root", machine="desk", command="ack", state="done", code=0)
    content = event(command, NAMESPACE, datetime.now(UTC))
    return {
        **content,
        "metadata": {"name": name, "resourceVersion": "2"},
        "message": content["message"] if message is None else message,
    }


def test_each_event_is_told_once_and_what_is_none_is_counted(tmp_path: Path) -> None:
    cluster = Cluster(events=[item("known"), item("one")])

    def work(api: KubernetesApi, told: Told, stop: threading.Event) -> None:
        Commands(api, ["known"], told.queue.put, told.metrics).run(stop)

    with watching(tmp_path, cluster, work) as told:
        assert told.queue.get(timeout=60).access.detail["run"] == "one"
        told.until("audit_open_streams", 1, "ops")
        for kind, name in (("ADDED", "one"), ("MODIFIED", "two"), ("ADDED", "three")):
            cluster.changes.put(("events", kind, item(name)))
        assert told.queue.get(timeout=60).access.detail["run"] == "three"
        cluster.changes.put(("events", "ADDED", item("four", "no JSON")))
        unreadable = told.queue.get(timeout=60)
        assert unreadable.access.detail == {"reason": "an Event of a command cannot be read"}
        assert list(unreadable.positions) == ["event/four"]
        assert told.value("audit_unreadable_total", "ops") == 1
    assert told.queue.empty()


@pytest.mark.parametrize(("away_s", "gaps"), [(3599.0, 0), (4000.0, 1)])
def test_commands_whose_events_were_gone_before_anybody_took_them_are_a_gap(
    tmp_path: Path, away_s: float, gaps: int
) -> None:
    def work(api: KubernetesApi, told: Told, stop: threading.Event) -> None:
        Commands(api, [], told.queue.put, told.metrics, away_s=away_s).run(stop)

    with watching(tmp_path, Cluster(events=[item("one")]), work) as told:
        reasons = [told.next() for _ in range(gaps)]
        assert told.next() == "platform:passwords"
    assert reasons == ["nobody took Events of commands for 4000 s: Kubernetes keeps them for an hour"] * gaps
    assert told.value("audit_gaps_total", "ops") == gaps
