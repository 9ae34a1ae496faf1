"""Faults of Kafka and of its disks under load: nothing that was acknowledged is lost (K1, O1)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from components.kafka.config import BROKERS as KAFKA
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import Pod, wait_until
from ops.drills.procedure import is_settled
from ops.drills.procedures.zone import NOTICED_S, leader_for
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, unmet
from ops.drills.tools.disks import Disk, own_disk
from ops.drills.tools.faults import Returning, kill, scaled
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from ops.drills.tools.notifications import CRITICAL, Injector, NotificationRecord, collected

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

    try:
        client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
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


VOLUME: Final = "/var/lib/kafka"
"""Where a broker has its volume."""
ROOM: Final = 512 << 20
"""That its own disk has beside what the volume holds."""
WRITES_PER_S: Final = 2
_DOWN: Final = "KafkaBrokerDown"
"""A kubelet tells nothing of the volumes of a pod that does not run: VolumeFilling is for a disk that fills slowly."""
_STOPS_S, _FIRES_S, _WHOLE_S, _TOLD_S = 120.0, 480.0, 480.0, 120.0
"""A broker that failed often is started again after up to five minutes."""
_EVERY_S: Final = 1.0


def fill_broker_disk(context: Context, figures: dict[str, Any]) -> list[str]:
    """Fill the disk of a broker to the last block, keep it full for a while after it is told, then make room."""
    victim = leading_broker(context)
    with broker_disk(context, victim) as disk, scratch_topic(context) as topic:
        start = context.kafka.end_offsets(TOPIC)
        with OtlpLoad(context) as load, ProducerLoad(context, topic, timeout=60) as direct:
            load.run_for(durations.WARM_UP)
            with disk.full() as size:
                full = time.time()
                figures["how"] = f"the {size} bytes that were free on a disk of its own taken away"
                wait_until(lambda: not _ready(context, victim), _STOPS_S, f"{victim.name} to end", _EVERY_S)
                figures["broker stopped after s"] = round(time.time() - full, 1)
                wait_until(lambda: _told(context, victim), _FIRES_S, f"{_DOWN} of {victim.name}", _EVERY_S)
                figures["told after s"] = round(time.time() - full, 1)
                load.run_for(durations.AFTER_FAULT)
            room = time.time()
            _wait_until_whole(context)
            figures["whole again after s"] = round(time.time() - room, 1)
            load.run_for(durations.WARM_UP)
        figures["longest pause of a producer s"] = direct.longest_pause(full)
        figures["longest pause of a client s"] = load.longest_pause(full)
        return account_for(context, figures, load, direct, start)


def slow_broker_disk(context: Context, figures: dict[str, Any]) -> list[str]:
    """Let the disk of a broker do two writes a second; a Critical condition begins meanwhile."""
    record = NotificationRecord.of_environment()
    victim = leading_broker(context)
    with broker_disk(context, victim) as disk, scratch_topic(context) as topic:
        start, newest = context.kafka.end_offsets(TOPIC), record.newest()
        with (
            OtlpLoad(context) as load,
            ProducerLoad(context, topic, timeout=60) as direct,
            Injector(context.otlp) as injector,
        ):
            load.run_for(durations.WARM_UP)
            with disk.slow(WRITES_PER_S):
                slow = time.time()
                load.run_for(durations.SLOW_DISK / 2)
                raised = injector.raise_one(CRITICAL)
                load.run_for(durations.SLOW_DISK / 2)
            figures["slow for s"] = round(time.time() - slow, 1)
            fast = time.time()
            _wait_until_whole(context)
            figures["whole again after s"] = round(time.time() - fast, 1)
            load.run_for(durations.WARM_UP)
            told = collected(record, newest, injector.raised, _TOLD_S)
        figures["writes a second"] = WRITES_PER_S
        figures["longest pause of a producer s"] = direct.longest_pause(slow)
        figures["longest pause of a client s"] = load.longest_pause(slow)
        latency = figures["Critical told after s"] = raised.latency(told)
        problems = account_for(context, figures, load, direct, start)
    longest = CRITICAL.limit_s + NOTICED_S
    return problems + unmet(
        (
            latency is not None and latency <= longest,
            f"a Critical was notified after {latency} s, must be within {longest:g} s",
        )
    )


@contextmanager
def broker_disk(context: Context, victim: Pod) -> Iterator[Disk]:
    """A disk of its own for a broker, which starts again with it, and with the one that it had in the end."""
    with own_disk(context.kube, victim, VOLUME, ROOM) as disk:
        _wait_until_started(context, victim, victim.restarts)
        yield disk
        restarts = _pod(context, victim).restarts
    _wait_until_started(context, victim, restarts)


def leading_broker(context: Context) -> Pod:
    """The broker that leads the partition of the alert's condition: the hardest to be without."""
    leader = leader_for(context, CRITICAL)
    [pod] = [pod for pod in context.kube.pods(KAFKA) if pod.name == f"{KAFKA}-{leader}"]
    return pod


def _pod(context: Context, victim: Pod) -> Pod:
    return next((pod for pod in context.kube.pods(KAFKA) if pod.name == victim.name), victim)


def _ready(context: Context, victim: Pod) -> bool:
    return _pod(context, victim).ready


def _told(context: Context, victim: Pod) -> bool:
    """Whether Alertmanager has the alert about the broker."""
    alerts = context.alertmanager().alerts()
    return any(alert.name == _DOWN and alert.labels.get("instance") == victim.name for alert in alerts)


def _wait_until_started(context: Context, victim: Pod, restarts: int) -> None:
    def started() -> bool:
        return _pod(context, victim).restarts > restarts and is_settled(context)

    wait_until(started, durations.READY, f"{victim.name} to start with its disk", _EVERY_S)


def _wait_until_whole(context: Context) -> None:
    wait_until(lambda: is_settled(context), _WHOLE_S, "all pods ready and all replicas in sync", _EVERY_S)
