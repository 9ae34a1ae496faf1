"""Dedicated controllers of Kafka lost under load: who leads, two of three, and one of them with a broker (K1); and
their quorum as the brokers tell it, with topics that are made to see whether somebody leads it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException
from kafka.errors import KafkaError

from components.kafka.config import BROKERS as BROKER_PODS
from components.kafka.config import CONTROLLERS, controller_nodes
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, client_settings, second_client
from ops.core.kube import Kube, wait_until
from ops.core.platform import Platform
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError, settle
from ops.drills.procedures.kafka import BROKERS, scratch_topic
from ops.drills.tools import durations
from ops.drills.tools.accounts import Number, account, all_arrived, gaps, must, unmet
from ops.drills.tools.faults import Returning, kill, scaled
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from services.runtime import kafka

RESIGNS_S: Final = 5.0
"""A leader that no majority follows leads no more after three seconds."""
_MADE_S: Final = 60.0
_REFUSED_S: Final = 10.0
_GONE_S: Final = 120.0
_READ_S: Final = 60.0
_LOOK_S: Final = 5.0
ANSWER_S: Final = 3.0
"""A broker hands the question on to who leads, and keeps it while nobody does."""
_LOOK_EVERY_S: Final = 0.25
_ENDS_S: Final = 60.0
_QUORUM_S: Final = 120.0
_BEHIND_S: Final = 5.0
"""A voter may be behind so much: who leads writes twice a second, and leads no more three seconds after it was left."""


@dataclass(frozen=True)
class Quorum:
    """Who leads, and how far the voters are.

    Attributes:
        leader: Node that leads; -1: nobody.
        epoch: How often a leader was chosen.
        behind: Voter -> seconds since it last knew all that the leader knew; infinite where it never did.
    """

    leader: int
    epoch: int
    behind: Mapping[int, float]


@dataclass(frozen=True)
class Answer:
    """A quorum that somebody led, with the Unix times of the question and of its answer."""

    question: float
    at: float
    quorum: Quorum


def dedicated(kube: Kube) -> dict[int, str]:
    """Node -> pod of the dedicated controllers.

    Raises:
        CannotRunError: There are not three of them: the brokers vote.
    """
    pods = [pod.name for pod in kube.pods(CONTROLLERS)]
    if len(pods) != 3:
        raise CannotRunError(
            f"there are {len(pods)} dedicated controllers of Kafka, must be 3: bring a new platform up with "
            "kafka.controllers: 3 (in the lab: `make destroy`, then `python -m lab up --controllers`)"
        )
    return {node.identity: node.host for node in controller_nodes(tuple(pods))}


def read(answer: Mapping[str, Any]) -> Quorum:
    """The quorum in the answer of a broker.

    Raises:
        OpsError: It names no leader.
    """
    partition = answer["topics"][0]["partitions"][0]
    if partition.get("error") or partition["leader_id"] < 0:
        raise OpsError(f"nobody leads Kafka's quorum: {partition.get('error') or 'no leader is known'}")
    known = {voter["replica_id"]: voter["last_caught_up_timestamp"] for voter in partition["current_voters"]}
    now = known.get(partition["leader_id"], 0)
    return Quorum(
        leader=partition["leader_id"],
        epoch=partition["leader_epoch"],
        behind={voter: (now - at) / 1000 if at >= 0 else math.inf for voter, at in sorted(known.items())},
    )


class QuorumWatch:
    """Asks who leads, again and again, as long as its block lasts.

    Args:
        platform: How the brokers are reached.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch of the quorum")

    def __enter__(self) -> QuorumWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(_ENDS_S)
        must(not self._thread.is_alive(), f"{self._thread.name} did not end within {_ENDS_S:.0f} s")

    def since(self, moment: float) -> list[Answer]:
        """Answers to questions from a Unix time on, each of which named a leader."""
        with self._lock:
            return [answer for answer in self._answers if answer.question >= moment]

    def wait(self, moment: float, epoch: int = -1) -> Answer:
        """Wait for an answer to a question from a Unix time on; the first one.

        Args:
            moment: The Unix time.
            epoch: The leader must have been chosen after the one of this epoch.

        Raises:
            OpsError: There is none in time.
        """
        answers: list[Answer] = []

        def answered() -> bool:
            answers[:] = [answer for answer in self.since(moment) if answer.quorum.epoch > epoch]
            return bool(answers)

        wait_until(answered, _QUORUM_S, "a leader of Kafka's quorum", _LOOK_EVERY_S)
        return answers[0]

    def wait_whole(self, voters: Mapping[int, str]) -> Quorum:
        """Wait until all of these and no others vote, and know what the leader knows.

        Raises:
            OpsError: They do not in time.
        """
        since, quorums = time.time(), list[Quorum]()

        def whole() -> bool:
            quorums[:] = [answer.quorum for answer in self.since(since)][-1:]
            return any(
                set(quorum.behind) == set(voters) and max(quorum.behind.values()) <= _BEHIND_S for quorum in quorums
            )

        try:
            wait_until(whole, _QUORUM_S, f"{len(voters)} voters that know what the leader knows", _LOOK_EVERY_S)
        except OpsError as error:
            raise OpsError(f"{error}; last seen: {quorums[0] if quorums else 'nobody leads'}") from None
        return quorums[0]

    def longest_silence(self, since: float) -> float:
        """Longest time without a leader that a broker could name, in seconds, from a Unix time until now."""
        times = [since, *(answer.at for answer in self.since(since - ANSWER_S) if answer.at >= since), time.time()]
        return round(max(later - earlier for earlier, later in gaps(times, -1.0)), 1)

    def _look(self) -> None:
        client: kafka.Admin | None = None
        try:
            while not self._stopping.is_set():
                question = time.time()
                try:
                    client = client or self._client()
                    quorum = read(client.describe_metadata_quorum())
                except (KafkaError, OpsError, OSError):
                    _close(client)
                    client = None
                else:
                    with self._lock:
                        self._answers.append(Answer(question, time.time(), quorum))
                self._stopping.wait(_LOOK_EVERY_S)
        finally:
            _close(client)

    def _client(self) -> kafka.Admin:
        settings = client_settings(self._platform, self._platform.kafka_admin)
        return second_client(settings, client_id="ops-quorum", request_s=ANSWER_S)


def _close(client: kafka.Admin | None) -> None:
    if client is not None:
        with suppress(KafkaError, OSError):
            client.close()


class Trials:
    """Topics that are asked for, each once: who leads the quorum has to make them.

    Args:
        context: The platform.
        copies: Replicas of each.
    """

    def __init__(self, context: Context, copies: int) -> None:
        self._kafka, self._copies = context.kafka, copies
        self._names: list[str] = []

    def make(self, seconds: float) -> str:
        """Ask for one; empty where Kafka has made it, else what it or the client said.

        Args:
            seconds: How long it may take.
        """
        name = f"e2e-trial-{time.time_ns() // 1_000_000}"
        topic = ADMIN.NewTopic(name, num_partitions=1, replication_factor=self._copies)
        self._names.append(name)
        client = self._kafka.client
        answers = client.create_topics([topic], operation_timeout=seconds, request_timeout=seconds)
        try:
            answers[name].result(timeout=seconds + TIMEOUT_SECONDS)
        except KafkaException as error:
            return str(error.args[0].name()).strip("_")
        except TimeoutError:
            return "no answer"
        return ""

    def wait_made(self, seconds: float) -> None:
        """Ask for one after the other until Kafka has made one.

        Raises:
            OpsError: None in time.
        """
        wait_until(lambda: not self.make(ANSWER_S), seconds, "a new topic", _LOOK_EVERY_S)

    def remove(self) -> None:
        """Delete all of them, those too that came late.

        Raises:
            OpsError: Kafka does not answer.
        """
        if names := sorted(set(self._names) & set(self._kafka.topics())):
            for answer in self._kafka.client.delete_topics(names).values():
                with suppress(KafkaException, TimeoutError):
                    answer.result(timeout=TIMEOUT_SECONDS)


@contextmanager
def trials(context: Context, copies: int) -> Iterator[Trials]:
    """Trials that are removed in the end."""
    all_of_them = Trials(context, copies)
    try:
        yield all_of_them
    finally:
        with suppress(OpsError):
            all_of_them.remove()


def lose_controllers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill who leads, then two of three, then a broker while a controller is away; count what is missing."""
    voters = dedicated(context.kube)
    with scratch_topic(context) as topic, trials(context, BROKERS) as new_topics:
        start = context.kafka.end_offsets(TOPIC)
        began = time.time()
        with (
            OtlpLoad(context) as load,
            ProducerLoad(context, topic, timeout=60) as direct,
            QuorumWatch(context.platform) as watch,
        ):
            load.run_for(durations.WARM_UP)
            whole = watch.wait_whole(voters)
            figures["voters"], figures["slowest voter behind s"] = len(whole.behind), max(whole.behind.values())
            faulted = time.time()
            faults = _Faults(context, figures, voters, load, direct, watch, new_topics, began)
            faults.kill_who_leads()
            problems = faults.lose_the_quorum()
            faults.kill_a_broker()
            load.run_for(durations.AFTER_FAULT)
        figures["longest pause of a client s"] = load.longest_pause(faulted)
        figures["longest pause of a producer s"] = direct.longest_pause(faulted)
        settle(context)
        missing = load.missing(context, start, began)
        figures["acknowledged"], figures["retries"] = len(load.ledger.acknowledged), load.ledger.retries
        figures["missing"] = sum(map(len, missing.values()))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
        return [
            *problems,
            *unmet(*all_arrived(load, missing)),
            *account(figures, "producer", direct, len(lost)),
        ]


@dataclass(frozen=True)
class _Faults:
    """What is taken away, one after the other, and what is noted of each.

    Attributes:
        context: The platform.
        figures: Where it is noted.
        voters: Node -> pod of the controllers.
        load: Points through the gateway.
        direct: The producer.
        watch: Who leads.
        trials: Topics that are made to see it.
        began: Unix time at which the load began.
    """

    context: Context
    figures: dict[str, Any]
    voters: Mapping[int, str]
    load: OtlpLoad
    direct: ProducerLoad
    watch: QuorumWatch
    trials: Trials
    began: float

    def kill_who_leads(self) -> None:
        """Kill the active controller; until another one leads, and makes a topic."""
        kube, active = self.context.kube, self.watch.wait(time.time()).quorum
        [victim] = [pod for pod in kube.pods(CONTROLLERS) if pod.name == self.voters[active.leader]]
        returning = Returning(kube, victim, durations.READY)
        self.figures["how"] = kill(kube, victim)
        killed = time.time()
        led = self.watch.wait(killed - ANSWER_S, active.epoch)
        self.figures["new active controller after s"] = round(max(led.at - killed, 0.0), 1)
        self.trials.wait_made(_MADE_S)
        self.figures["topic created after s"] = round(time.time() - killed, 1)
        self.load.run_for(durations.AFTER_FAULT)
        self.figures["controller back after s"] = returning.after()
        self.watch.wait_whole(self.voters)

    def lose_the_quorum(self) -> list[str]:
        """Kill two of three and keep them down: nobody leads, data goes on, metadata stands still."""
        kube, figures = self.context.kube, self.figures
        victims = kube.pods(CONTROLLERS)[1:]
        with scaled(kube, CONTROLLERS, len(self.voters) - len(victims), len(self.voters)):
            for pod in victims:
                kill(kube, pod)
            killed = time.time()
            self._wait_for_pods(len(self.voters) - len(victims))
            alone = time.time() + RESIGNS_S
            self.load.run_for(RESIGNS_S + durations.CONTROLLERS_DOWN)
            until = time.time()
            say("asking for a topic without a quorum")
            answer = self.trials.make(_REFUSED_S)
            sent, written = self.load.ledger.between(alone, until), self.direct.ledger.count_between(alone, until)
            read = self._read(sent)
            led = self.watch.since(alone)
            figures["down s"] = round(time.time() - killed, 1)
        back = time.time()
        figures["quorum again after s"] = round(self.watch.wait(back - ANSWER_S).at - back, 1)
        figures["without a quorum s"] = self.watch.longest_silence(killed)
        self.trials.wait_made(_MADE_S)
        figures["controllers back after s"] = round(kube.wait_ready(CONTROLLERS, len(self.voters), durations.READY), 1)
        self.watch.wait_whole(self.voters)
        figures["acknowledged without a quorum"], figures["read without a quorum"] = len(sent), read
        figures["producer acknowledged without a quorum"] = written
        figures["topics created without a quorum"], figures["answer to a new topic"] = (
            int(not answer),
            answer or "created",
        )
        return unmet(
            (not led, f"node {led[0].quorum.leader if led else -1} led with two of three controllers gone"),
            (bool(answer), "a topic was created without a quorum"),
            (bool(sent), "no point was acknowledged without a quorum"),
            (written > 0, "no record of the producer was acknowledged without a quorum"),
            (read == len(sent), f"a Prometheus got {read} of {len(sent)} points acknowledged without a quorum"),
        )

    def kill_a_broker(self) -> None:
        """Kill a broker while a controller is away: the other two give its partitions to others, and take it back."""
        kube, fewer = self.context.kube, len(self.voters) - 1
        with scaled(kube, CONTROLLERS, fewer, len(self.voters)):
            self._wait_for_pods(fewer)
            self.watch.wait(time.time())
            victim = kube.pods(BROKER_PODS)[-1]
            returning = Returning(kube, victim, durations.READY)
            kill(kube, victim)
            self.load.run_for(durations.AFTER_FAULT)
            self.figures["broker back after s"] = returning.after()
        kube.wait_ready(CONTROLLERS, len(self.voters), durations.READY)
        self.watch.wait_whole(self.voters)

    def _wait_for_pods(self, count: int) -> None:
        kube = self.context.kube
        wait_until(lambda: len(kube.pods(CONTROLLERS)) == count, _GONE_S, f"{count} pods of {CONTROLLERS} alone")

    def _read(self, numbers: set[Number]) -> int:
        """How many of these numbers the Prometheus has that has fewest of them, at the latest after a minute."""
        fewest = 0
        deadline = time.monotonic() + _READ_S
        while fewest < len(numbers) and time.monotonic() < deadline:
            window = int(time.time() - self.began) + 60
            queries = [self.context.replica(name) for name in self.context.platform.prometheus_replicas]
            fewest = min(len(numbers & self.load.in_prometheus(query, window, _LOOK_S)) for query in queries)
        return fewest
