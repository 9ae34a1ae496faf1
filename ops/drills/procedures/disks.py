"""A broker's disk that is full, and one that is slow, under load: nothing that was acknowledged is lost (K1, O1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from components.kafka.config import BROKERS as KAFKA
from ops.core.context import Context
from ops.core.kube import Pod, wait_until
from ops.drills.procedure import is_settled
from ops.drills.procedures.kafka import account_for, scratch_topic
from ops.drills.procedures.zone import NOTICED_S, leader_for
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.conditions import CRITICAL, Injector, collected
from ops.drills.tools.disks import Disk, own_disk
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from ops.drills.tools.notifications import NotificationRecord

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
