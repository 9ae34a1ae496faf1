"""Faults of Kafka under load: nothing that was acknowledged is lost (K1, O1)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, unmet
from ops.drills.tools.faults import kill, scaled
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from ops.drills.tools.returning import Returning

BROKERS: Final = 3
MIN_IN_SYNC: Final = 2
ROLLED_S: Final = 600.0
_FEWEST_POLLS = 10
"""With fewer looks, the rolling restart would hardly have been seen."""


@contextmanager
def scratch_topic(context: Context) -> Iterator[str]:
    """A topic with the platform's guarantees for direct producers, which no consumer of the platform reads."""
    name = f"e2e-{time.time_ns() // 1_000_000}"
    topic = ADMIN.NewTopic(
        name, num_partitions=6, replication_factor=BROKERS, config={"min.insync.replicas": str(MIN_IN_SYNC)}
    )
    client = context.kafka.client

    def delete() -> None:
        client.delete_topics([name])[name].result(timeout=TIMEOUT_SECONDS)

    client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
    try:
        wait_until(lambda: name in context.kafka.topics(), 30, f"topic {name}")
        yield name
    except BaseException:
        # Without brokers it cannot be deleted: what went wrong before is what has to be told.
        with suppress(Exception):
            delete()
        raise
    delete()


class InSync:
    """The fewest copies in sync that a partition had in some looks.

    Args:
        context: The platform.
        topics: Topics that are looked at.
    """

    def __init__(self, context: Context, topics: Collection[str]) -> None:
        self._kafka, self._topics = context.kafka, topics
        self.lowest, self.polls = BROKERS, 0

    def look(self) -> None:
        """Look once.

        Raises:
            OpsError: Kafka does not answer, or not about every topic: a broker that has just started.
        """
        states = self._kafka.topics()
        if unknown := set(self._topics) - set(states):
            raise OpsError(f"Kafka knows no {', '.join(sorted(unknown))}")
        self.polls += 1
        self.lowest = min(self.lowest, *(min(states[name].in_sync) for name in self._topics))

    def note(self, figures: dict[str, Any]) -> list[str]:
        """Note what was seen; a problem where a partition had too few, or hardly anybody looked."""
        figures["lowest ISR"], figures["polls"] = self.lowest, self.polls
        return unmet(
            (self.polls > _FEWEST_POLLS, f"only {self.polls} looks at the copies in sync"),
            (
                self.lowest >= MIN_IN_SYNC,
                f"a partition had {self.lowest} copies in sync, must be at least {MIN_IN_SYNC}",
            ),
        )


def kill_broker(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill one of three brokers."""
    with scratch_topic(context) as topic:
        start = context.kafka.end_offsets(TOPIC)
        with OtlpLoad(context) as load, ProducerLoad(context, topic, timeout=60) as direct:
            load.run_for(durations.WARM_UP)
            victim = context.kube.pods("kafka")[-1]
            returning = Returning(context.kube, victim, durations.READY)
            figures["how"] = kill(context.kube, victim)
            killed = time.time()
            load.run_for(durations.AFTER_FAULT)
        figures["longest pause of a producer s"] = direct.longest_pause(killed)
        figures["broker back after s"] = returning.after()
        return account_for(context, figures, load, direct, start)


def kill_two_brokers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill two of three brokers and keep them down: fewer replicas in sync than a record needs."""
    with scratch_topic(context) as topic:
        start = context.kafka.end_offsets(TOPIC)
        direct = ProducerLoad(context, topic, timeout=10, retries=0)
        with OtlpLoad(context, give_up_after=240) as load, direct:
            load.run_for(durations.WARM_UP)
            victims = context.kube.pods("kafka")[1:]
            # Scaled down first, so that nobody starts the two again; killed at once, so that they hand over nothing.
            with scaled(context.kube, "kafka", BROKERS - len(victims), BROKERS):
                figures["how"] = ", ".join(kill(context.kube, pod) for pod in victims)
                killed = time.time()
                load.run_for(durations.TWO_BROKERS_DOWN)
                refused_from, refused_to = killed + durations.NOTIFICATION, time.time()
            figures["down s"] = durations.TWO_BROKERS_DOWN
            figures["brokers back after s"] = round(context.kube.wait_ready("kafka", BROKERS, durations.READY), 1)
            back = time.time()
            load.run_for(10)
        accepted = direct.ledger.count_between(refused_from, refused_to)
        problems = account_for(context, figures, load, direct, start)
    figures["accepted with two brokers down"] = accepted
    figures["not accepted"] = len(direct.ledger.given_up)
    figures["refused by brokers"] = dict(direct.refusals)
    figures["given up by the client"] = dict(direct.timeouts)
    return problems + unmet(
        (accepted == 0, f"{accepted} records of the producer were accepted with two brokers down"),
        (bool(direct.ledger.given_up), "every record of the producer was accepted"),
        (direct.ledger.count_between(back, time.time()) > 0, "producers did not recover"),
    )


def stop_kafka(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill all brokers and keep them down."""
    start = context.kafka.end_offsets(TOPIC)
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        with scaled(context.kube, "kafka", 0, BROKERS):
            figures["how"] = ", ".join(kill(context.kube, pod) for pod in context.kube.pods("kafka"))
            gone = time.time()
            load.run_for(durations.KAFKA_OUTAGE)
            accepted = load.ledger.count_between(gone, time.time())
        figures["outage s"] = durations.KAFKA_OUTAGE
        figures["accepted during the outage"] = accepted
    figures["brokers back after s"] = round(context.kube.wait_ready("kafka", BROKERS, durations.READY), 1)
    missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
    return [
        *account(figures, "gateway", load, len(missing)),
        *unmet((accepted > 0, f"the gateways accepted nothing in an outage of {durations.KAFKA_OUTAGE:.0f} s")),
    ]


def roll_kafka(context: Context, figures: dict[str, Any]) -> list[str]:
    """Restart every broker, one after the other, and look at the copies in sync."""
    kube = context.kube
    with scratch_topic(context) as topic:
        in_sync = InSync(context, (*context.platform.topics, topic))
        start = context.kafka.end_offsets(TOPIC)
        began = time.monotonic()
        with OtlpLoad(context) as load, ProducerLoad(context, topic, timeout=60) as direct:
            kube.restart("kafka", datetime.now(UTC).isoformat())
            while not kube.rolled("kafka"):
                if time.monotonic() - began >= ROLLED_S:
                    raise OpsError(f"the rolling restart takes more than {ROLLED_S:.0f} s")
                with suppress(OpsError):
                    in_sync.look()
                    time.sleep(0.5)
            figures["seconds"] = round(time.monotonic() - began, 1)
        problems = account_for(context, figures, load, direct, start)
    return problems + in_sync.note(figures)


def account_for(
    context: Context, figures: dict[str, Any], load: OtlpLoad, direct: ProducerLoad, start: dict[int, int]
) -> list[str]:
    """Note what became of both loads."""
    missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
    lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
    return [*account(figures, "gateway", load, len(missing)), *account(figures, "producer", direct, len(lost))]
