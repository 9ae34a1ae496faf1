"""The drill of dedicated controllers: what it notes, what it refuses, and what of a quorum it says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from kafka.errors import KafkaTimeoutError

from components.kafka.config import BROKERS, CONTROLLERS
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Pod
from ops.core.platform import Platform
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import kafka_controllers
from ops.drills.procedures.kafka_controllers import Answer, Quorum, QuorumWatch, Trials, lose_controllers
from ops.drills.run import find
from ops.evidence import files as evidence
from ops.evidence.reading import named
from tests.support.running import running
from tests.unit.ops.test_ops_drill_procedures import CLOCK, Load, Producer, Returning

VOTERS = {1000: f"{CONTROLLERS}-0", 1001: f"{CONTROLLERS}-1", 1002: f"{CONTROLLERS}-2"}


class Live:
    """Three controllers that choose who leads, and start again where nobody keeps them down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.controllers, self.leader, self.epoch = 3, 1001, 4
        self.leads_alone = self.makes_always = self.reads_nothing = False
        self.direct = Producer()
        self.killed: list[str] = []
        self.scales: list[tuple[str, int]] = []
        self.lost = 0
        stubs: dict[str, Any] = {
            "OtlpLoad": self._points,
            "ProducerLoad": lambda *_, **__: self.direct,
            "scratch_topic": scratch_topic,
            "QuorumWatch": lambda _: Watch(self),
            "trials": self._trials,
            "Returning": Returning,
            "kill": self._kill,
            "settle": lambda _: None,
            "time": SimpleNamespace(time=CLOCK.time, monotonic=CLOCK.time),
        }
        for name, stub in stubs.items():
            monkeypatch.setattr(kafka_controllers, name, stub)
        kube = SimpleNamespace(pods=self.pods, scale=self._scale, wait_ready=lambda *_: 9.0)
        platform = SimpleNamespace(prometheus_replicas=("primary", "secondary"))
        kafka = SimpleNamespace(end_offsets=lambda _: {0: 0})
        self.context = cast(
            Context, SimpleNamespace(kube=kube, kafka=kafka, platform=platform, replica=lambda name: name)
        )

    def run(self) -> tuple[list[str], dict[str, Any]]:
        figures: dict[str, Any] = {}
        return lose_controllers(self.context, figures), figures

    def pods(self, workload: str) -> list[Pod]:
        count = self.controllers if workload == CONTROLLERS else 3
        return [running(f"{workload}-{index}", workload) for index in range(count)]

    def led(self) -> bool:
        return self.controllers > 1

    def _scale(self, workload: str, replicas: int) -> None:
        self.scales.append((workload, replicas))
        self.controllers = replicas

    def _kill(self, _: object, pod: Pod) -> str:
        self.killed.append(pod.name)
        if pod.name == VOTERS[self.leader]:
            self.leader, self.epoch = 1000, self.epoch + 1
        return "SIGKILL to 1 process"

    @contextmanager
    def _trials(self, *_: object) -> Iterator[Any]:
        def make(_: float) -> str:
            return "" if self.led() or self.makes_always else "REQUEST_TIMED_OUT"

        yield SimpleNamespace(make=make, wait_made=lambda _: CLOCK.sleep(1.0))

    def _points(self, _: Context) -> Load:
        load = Points(self.direct)
        load.lost = self.lost
        if self.reads_nothing:
            load.in_prometheus = self._nothing  # type: ignore[method-assign]
        return load

    @staticmethod
    def _nothing(*_: object) -> set[Any]:
        CLOCK.sleep(10.0)
        return set()


class Points(Load):
    """Points, beside which the producer sends."""

    def __init__(self, direct: Producer) -> None:
        super().__init__()
        self._direct = direct

    def run_for(self, seconds: float) -> None:
        super().run_for(seconds)
        self._direct._acknowledge()


class Watch:
    """Sees who leads."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _answer(self) -> Answer:
        return Answer(CLOCK.now, CLOCK.now, Quorum(self._live.leader, self._live.epoch, dict.fromkeys(VOTERS, 0.2)))

    def since(self, _: float) -> list[Answer]:
        return [self._answer()] if self._live.leads_alone else []

    def wait(self, _: float, epoch: int = -1) -> Answer:
        assert self._live.led()
        assert self._live.epoch > epoch
        CLOCK.sleep(2.0)
        return self._answer()

    def wait_whole(self, voters: Mapping[int, str]) -> Quorum:
        assert voters == VOTERS
        return self._answer().quorum

    def longest_silence(self, _: float) -> float:
        return 44.0


@contextmanager
def scratch_topic(_: Context) -> Iterator[str]:
    yield "scratch"


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(monkeypatch)


def test_who_leads_is_killed_then_two_then_a_broker_and_every_figure_is_noted(live: Live) -> None:
    problems, figures = live.run()
    assert problems == []
    assert live.killed == ["kafka-controller-1", "kafka-controller-1", "kafka-controller-2", "kafka-2"]
    assert live.scales == [(CONTROLLERS, count) for count in (1, 3, 2, 3)]
    assert (figures["voters"], figures["new active controller after s"], figures["topic created after s"]) == (3, 2, 3)
    assert (figures["answer to a new topic"], figures["topics created without a quorum"]) == ("REQUEST_TIMED_OUT", 0)
    assert figures["acknowledged without a quorum"] == figures["read without a quorum"] == 2
    drill, entry = find("kafka-controllers"), evidence.catalog().entry("kafka-controllers")
    wanted = {name for texts in (*drill.figures.values(), (entry.text,)) for text in texts for name in named(text)}
    assert [name for name in sorted(wanted) if evidence.figure(figures, name) is None] == []
    assert [problem for target in entry.targets if (problem := target.problem(figures))] == []


@pytest.mark.parametrize("count", [0, 2])
def test_a_platform_whose_brokers_vote_is_refused_with_what_to_do(live: Live, count: int) -> None:
    live.controllers = count
    with pytest.raises(
        CannotRunError,
        match=rf"^there are {count} dedicated controllers of Kafka, must be 3: .*lab up --controllers`\)$",
    ):
        live.run()
    assert (live.killed, live.scales) == ([], [])


def test_a_topic_that_is_made_and_a_node_that_leads_without_a_quorum_are_problems(live: Live) -> None:
    live.makes_always = live.leads_alone = True
    problems, figures = live.run()
    assert problems == [
        "node 1000 led with two of three controllers gone",
        "a topic was created without a quorum",
    ]
    assert figures["topics created without a quorum"] == 1


def test_points_that_are_not_read_without_a_quorum_are_a_problem_after_a_while(live: Live) -> None:
    live.reads_nothing = True
    began = CLOCK.now
    assert live.run()[0] == ["a Prometheus got 0 of 2 points acknowledged without a quorum"]
    assert CLOCK.now - began < 300


def test_a_producer_that_stands_still_without_a_quorum_is_a_problem(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Points, "run_for", Load.run_for)
    assert live.run()[0] == ["no record of the producer was acknowledged without a quorum"]


def test_what_is_lost_is_a_problem(live: Live) -> None:
    live.lost = 1
    problems, figures = live.run()
    stores = ("Kafka", "prometheus-primary", "prometheus-secondary")
    assert problems == [f"1 acknowledged points are not in {store}" for store in stores]
    assert figures["missing"] == 3


def test_where_something_fails_the_controllers_are_brought_back(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> str:
        if live.scales:
            raise OpsError("no process")
        return "SIGKILL"

    monkeypatch.setattr(live, "epoch", 9)
    monkeypatch.setattr(kafka_controllers, "kill", fails)
    monkeypatch.setattr(Watch, "wait", lambda self, *_: self._answer())
    with pytest.raises(OpsError, match="no process"):
        live.run()
    assert live.scales == [(CONTROLLERS, 1), (CONTROLLERS, 3)]


def described(leader: int = 1001, error: str | None = None) -> dict[str, Any]:
    """What kafka-python tells of a quorum."""
    times = ((1001, 90_000), (1000, 88_500), (1002, -1))
    voters = [{"replica_id": voter, "last_caught_up_timestamp": at} for voter, at in times]
    partition = {"leader_id": leader, "leader_epoch": 7, "current_voters": voters, "error": error}
    return {"topics": [{"partitions": [partition]}]}


def test_a_voter_is_as_far_behind_as_it_knew_all_before_the_leader() -> None:
    assert kafka_controllers.read(described()) == Quorum(1001, 7, {1000: 1.5, 1001: 0.0, 1002: math.inf})


@pytest.mark.parametrize("answer", [described(leader=-1), described(error="NotLeaderForPartitionError")])
def test_an_answer_without_a_leader_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(OpsError, match=r"^nobody leads Kafka's quorum: (no leader is known|NotLeaderForPartition)"):
        kafka_controllers.read(answer)


def watch_of(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> tuple[QuorumWatch, list[str]]:
    """A watch whose clients give these answers, the last one for ever, and what happens to them."""
    events: list[str] = []

    def describe() -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(*_: object, **__: object) -> Any:
        events.append("made")
        return SimpleNamespace(describe_metadata_quorum=describe, close=lambda: events.append("closed"))

    monkeypatch.setattr(kafka_controllers, "second_client", client)
    monkeypatch.setattr(kafka_controllers, "_LOOK_EVERY_S", 0.01)
    login = SimpleNamespace(pair=("admin", "word"))
    known = SimpleNamespace(kafka_admin=login, kafka_bootstrap="kafka:9094", ca_certificate="")
    return QuorumWatch(cast(Platform, known)), events


def test_a_watch_asks_again_with_another_client_where_there_was_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, events = watch_of(monkeypatch, [KafkaTimeoutError("late"), described(error="none"), described()])
    since = time.time()
    with watch:
        assert watch.wait(since).quorum.leader == 1001
        assert watch.wait(since, 6).quorum.epoch == 7
    assert events == ["made", "closed"] * 3
    assert watch.since(time.time()) == []
    assert watch.longest_silence(since - 30) >= 30.0


def test_voters_that_do_not_catch_up_are_told_with_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_controllers, "_QUORUM_S", 0.2)
    watch, _ = watch_of(monkeypatch, [described()])
    with watch, pytest.raises(OpsError, match=r"^waited 0 s in vain for 3 voters .*; last seen: Quorum\(leader=1001"):
        watch.wait_whole(VOTERS)
    with pytest.raises(OpsError, match=r"; last seen: nobody leads$"):
        watch.wait_whole(VOTERS)


def test_topics_that_were_asked_for_are_deleted_those_too_that_came_late() -> None:
    names: list[str] = []
    deleted: list[str] = []

    def create(topics: list[Any], **_: object) -> dict[str, Any]:
        names.append(topics[0].topic)

        def result(timeout: float) -> None:
            if len(names) == 1:
                raise KafkaException(ClientError(ClientError.REQUEST_TIMED_OUT))
            if len(names) == 2:
                raise TimeoutError

        return {topics[0].topic: SimpleNamespace(result=result)}

    def delete(names: list[str]) -> dict[str, Any]:
        deleted.extend(names)
        return {name: SimpleNamespace(result=lambda timeout: None) for name in names}

    client = SimpleNamespace(create_topics=create, delete_topics=delete)
    kafka = SimpleNamespace(client=client, topics=lambda: dict.fromkeys([*names, "other"]))
    context = cast(Context, SimpleNamespace(kafka=kafka))
    with kafka_controllers.trials(context, 3) as trials:
        answers = []
        for _ in range(3):
            answers.append(trials.make(1.0))
            time.sleep(0.002)
    assert answers == ["REQUEST_TIMED_OUT", "no answer", ""]
    assert deleted == sorted(names)
    assert isinstance(trials, Trials)
    assert BROKERS not in deleted
