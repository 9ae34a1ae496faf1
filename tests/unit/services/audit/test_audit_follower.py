"""A log is followed through reconnections, restarts and ends of pods: each line once, and gaps are told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.audit import Source
from services.audit import follower as follower_module
from services.audit.follower import ApiError, Follower, KubernetesApi, Life, Positions, moment, stamp
from services.audit.metrics import Metrics
from services.audit.records import GAP, Access, Entry, Line
from tests.unit.services.audit.api_fake import UID, Break, Cluster, api_server, pod
from tests.unit.services.audit.test_audit_sources import DENIED

LIFE = Life(source=Source.KAFKA, workload="kafka", pod="kafka-0", uid=UID, container="kafka", restarts=0)
LOG = f"pods/{LIFE.pod}/log"


def line(second: int, topic: str, nano: int = 0) -> str:
    denied = DENIED.replace("LITERAL:other", f"LITERAL:{topic}")
    return f"2026-11-28T06:00:{second:02d}.{nano:09d}Z {denied}"


def at(second: int) -> str:
    return f"2026-11-28T06:00:{second:02d}.000000000Z"


class Run:
    """A follower in a thread of its own, with what it told."""

    def __init__(self, api: KubernetesApi, positions: Positions, life: Life) -> None:
        self.told: queue.Queue[Entry] = queue.Queue()
        self.positions, self.registry = positions, CollectorRegistry()
        metrics = Metrics(self.registry, [Source.KAFKA])
        metrics.expect(Source.KAFKA, [life.stream])
        self.stop = threading.Event()
        follower = Follower(api, life, positions, self.told.put, metrics, first_pause_s=0.01)
        self.thread = threading.Thread(target=follower.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def next(self) -> str:
        """Target, or reason of a gap, of the next record."""
        entry = self.told.get(timeout=60)
        return entry.access.detail["reason"] if entry.access.action == GAP else entry.access.target

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name, {"source": "kafka"})


@contextmanager
def following(
    folder: Path, cluster: Cluster, positions: dict[str, str] | None = None, life: Life = LIFE
) -> Iterator[Run]:
    with api_server(folder, cluster) as where:
        run = Run(KubernetesApi(where, quiet_s=30), Positions(positions or {}), life)
        try:
            yield run
        finally:
            run.stop.set()
            for waiting in cluster.live.values():
                waiting.put(None)
            run.thread.join(60)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(
        pods={"kafka-0": pod()}, logs={"kafka-0": [line(1, "a"), line(2, "b")]}, live={"kafka-0": queue.Queue()}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28T06:00:01Z", "2026-11-28T06:00:01.000000000Z"),
        ("2026-11-28T06:00:01.5Z", "2026-11-28T06:00:01.500000000Z"),
        ("2026-11-28T15:00:01.123456789+09:00", "2026-11-28T06:00:01.123456789Z"),
        ("2026-11-28", None),
        ("", None),
    ],
)
def test_timestamps_become_texts_that_are_in_order(text: str, expected: str | None) -> None:
    assert stamp(text) == expected


def test_a_position_is_a_moment() -> None:
    assert moment("2026-11-28T06:00:01.123456789Z").isoformat() == "2026-11-28T06:00:01.123456+00:00"


def test_lines_are_told_as_they_come(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.live["kafka-0"].put(line(3, "c"))
        assert run.next() == "topic:c"
        assert run.metric("audit_open_streams") == 1
    assert run.positions.get(LIFE.key) == at(3)
    assert run.metric("audit_open_streams") == 0


def test_reading_goes_on_where_it_was_and_tells_no_line_twice(tmp_path: Path, cluster: Cluster) -> None:
    cluster.logs["kafka-0"] = [line(1, "a"), line(2, "b", 5), line(2, "c", 7), line(3, "d")]
    with following(tmp_path, cluster, {LIFE.key: "2026-11-28T06:00:02.000000005Z"}) as run:
        assert [run.next(), run.next()] == ["topic:c", "topic:d"]
        assert run.metric("audit_gaps_total") == 0


def test_a_stream_that_ends_is_opened_again(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.logs["kafka-0"].append(line(3, "c"))
        cluster.live["kafka-0"].put(None)
        assert run.next() == "topic:c"
        assert run.metric("audit_gaps_total") == 0


@pytest.mark.parametrize("breaks", [["before"], ["within"], ["before", "within", "before"]])
def test_a_connection_that_breaks_is_opened_again(tmp_path: Path, cluster: Cluster, breaks: list[Break]) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.logs["kafka-0"].append(line(3, "c"))
        cluster.breaks += breaks
        cluster.live["kafka-0"].put(None)
        assert run.next() == "topic:c"
        assert (cluster.breaks, run.metric("audit_gaps_total")) == ([], 0)


def test_a_request_that_breaks_off_is_an_error_in_one_line_and_a_quiet_one_is_none(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.breaks += ["before", "silent"]
    with api_server(tmp_path, cluster) as where:
        api = KubernetesApi(where)
        with pytest.raises(ApiError, match=r"^pods/kafka-0/log: RemoteDisconnected"), api.open(LOG, 30.0):
            pytest.fail("it was answered")
        with pytest.raises(TimeoutError), api.open(LOG, 0.1):
            pytest.fail("it was answered")


def test_after_a_restart_the_rest_of_the_life_before_comes_first(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.previous["kafka-0"] = [*cluster.logs["kafka-0"], line(3, "last-words")]
        cluster.logs["kafka-0"] = [line(4, "new-life")]
        cluster.pods["kafka-0"] = pod(restarts=1)
        cluster.live["kafka-0"].put(None)
        assert [run.next(), run.next()] == ["topic:last-words", "topic:new-life"]
        assert run.metric("audit_gaps_total") == 0
    assert run.positions.all().keys() == {LIFE.key[:-1] + "1"}


def test_lives_that_nobody_read_are_a_gap(tmp_path: Path, cluster: Cluster) -> None:
    cluster.pods["kafka-0"] = pod(restarts=3)
    cluster.previous["kafka-0"] = [line(7, "third")]
    cluster.logs["kafka-0"] = [line(8, "fourth")]
    with following(tmp_path, cluster, {LIFE.key: at(2)}) as run:
        assert run.next() == "3 restarts since it was read last, the log of one is kept"
        assert [run.next(), run.next()] == ["topic:third", "topic:fourth"]
        assert run.metric("audit_gaps_total") == 1


def test_an_earlier_life_that_cannot_be_read_any_more_is_a_gap(tmp_path: Path, cluster: Cluster) -> None:
    cluster.pods["kafka-0"] = pod(restarts=1)
    with following(tmp_path, cluster, {LIFE.key: at(2)}) as run:
        assert run.next().startswith("the log of an earlier start cannot be read any more")
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]


def test_a_log_that_was_rotated_while_nobody_read_it_is_a_gap(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster, {LIFE.key: "2026-11-28T05:00:00.000000000Z"}) as run:
        assert run.next() == "the log was rotated while nobody read it"
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]


def test_a_log_that_was_rotated_while_its_stream_was_broken_is_a_gap(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.logs["kafka-0"] = [line(9, "after")]
        cluster.live["kafka-0"].put(None)
        assert [run.next(), run.next()] == ["the log was rotated while nobody read it", "topic:after"]
        assert run.metric("audit_gaps_total") == 1


def test_lines_that_come_with_an_earlier_or_equal_time_are_told(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster, {LIFE.key: at(1)}) as run:
        assert run.next() == "topic:b"
        for second, topic in ((2, "equal"), (1, "earlier"), (3, "c")):
            cluster.live["kafka-0"].put(line(second, topic))
        assert [run.next(), run.next(), run.next()] == ["topic:equal", "topic:earlier", "topic:c"]
    assert run.positions.get(LIFE.key) == at(3)


def test_a_line_that_cannot_be_read_is_a_record_with_its_place(tmp_path: Path, cluster: Cluster) -> None:
    life = replace(LIFE, source=Source.TRACES)
    cluster.logs["kafka-0"] = ["2026-11-28T06:00:05.000000000Z access of nobody"]
    with following(tmp_path, cluster, life=life) as run:
        entry = run.told.get(timeout=60)
    assert (entry.source, entry.access.action, entry.access.target) == (Source.AUDIT, GAP, "source:traces")
    assert entry.access.detail == {"reason": "a request of a login proxy cannot be read"}
    assert (entry.part, entry.positions) == ("kafka-0", {life.key: at(5)})
    assert run.registry.get_sample_value("audit_unreadable_total", {"source": "traces"}) == 1


def test_a_line_that_no_parser_expects_costs_its_own_record_only(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = follower_module.PARSERS[Source.KAFKA]

    def strict(given: Line) -> Access | None:
        if "LITERAL:b" in given.text:
            raise KeyError(given.text)
        return parse(given)

    monkeypatch.setitem(follower_module.PARSERS, Source.KAFKA, strict)
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "a line cannot be read"]
        cluster.live["kafka-0"].put(line(3, "c"))
        assert run.next() == "topic:c"
        assert run.metric("audit_unreadable_total") == 1
        assert run.metric("audit_open_streams") == 1
    assert run.positions.get(LIFE.key) == at(3)


def test_an_error_that_nobody_expects_does_not_end_the_reading(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    count = follower_module.restarts_of

    def fails_once(pod: Mapping[str, Any], container: str) -> int | None:
        if not failed.is_set():
            failed.set()
            raise KeyError("containerStatuses")
        return count(pod, container)

    monkeypatch.setattr(follower_module, "restarts_of", fails_once)
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        assert failed.is_set()


def test_it_ends_with_its_pod(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.pods["kafka-0"] = pod(uid="another")
        cluster.live["kafka-0"].put(None)
        run.thread.join(60)
        assert not run.thread.is_alive()
        assert run.positions.all() == {}
        assert run.metric("audit_gaps_total") == 0


def test_a_pod_that_goes_while_its_log_is_opened_again_is_no_gap(tmp_path: Path, cluster: Cluster) -> None:
    with following(tmp_path, cluster) as run:
        assert [run.next(), run.next()] == ["topic:a", "topic:b"]
        cluster.breaks.append("gone")
        cluster.live["kafka-0"].put(None)
        run.thread.join(60)
        assert not run.thread.is_alive()
        assert (cluster.breaks, run.metric("audit_gaps_total"), run.told.qsize()) == ([], 0, 0)


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (["before", "gone"], "RemoteDisconnected"),
        (["within", "gone"], "broke off: "),
        (["gone"], "it was never opened"),
    ],
)
def test_a_pod_that_goes_before_its_log_was_read_to_its_end_is_a_gap(
    tmp_path: Path, cluster: Cluster, breaks: list[Break], reason: str
) -> None:
    cluster.breaks += breaks
    with following(tmp_path, cluster) as run:
        told = run.next()
        run.thread.join(60)
        assert told.startswith("the pod is gone, and its log was not read to its end: ")
        assert reason in told
        assert not run.thread.is_alive()
        assert (cluster.breaks, run.metric("audit_gaps_total")) == ([], 1)


def test_a_wrong_token_is_one_line_without_the_token(tmp_path: Path, cluster: Cluster) -> None:
    with api_server(tmp_path, cluster) as where:
        where.token_file.write_text("something-else")
        with pytest.raises(ApiError) as caught:
            KubernetesApi(where).get("pods")
    assert str(caught.value) == "pods: the API server answers 401"
