"""Dedicated controllers of Kafka lost under load: who leads, two of three, and one of them with a broker (K1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.kafka.config import BROKERS as BROKER_PODS
from components.kafka.config import CONTROLLERS
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.procedure import settle
from ops.drills.procedures.kafka import BROKERS, scratch_topic
from ops.drills.tools import durations, kafka_quorum
from ops.drills.tools.accounts import Number, account, all_arrived, unmet
from ops.drills.tools.faults import Returning, kill, scaled
from ops.drills.tools.kafka_quorum import ANSWER_S, QuorumWatch, Trials
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad

RESIGNS_S: Final = 5.0
"""A leader that no majority follows leads no more after three seconds."""
_MADE_S: Final = 60.0
_REFUSED_S: Final = 10.0
_GONE_S: Final = 120.0
_READ_S: Final = 60.0
_LOOK_S: Final = 5.0


def lose_controllers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill who leads, then two of three, then a broker while a controller is away; count what is missing."""
    voters = kafka_quorum.dedicated(context.kube)
    with scratch_topic(context) as topic, kafka_quorum.trials(context, BROKERS) as trials:
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
            faults = _Faults(context, figures, voters, load, direct, watch, trials, began)
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
