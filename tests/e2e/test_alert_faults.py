"""Parts of the alerts' path die: events wait for their service, a prober that hangs is told of, and a region's failover
agent that is gone silences nobody (A3, O5, D2).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from components.alertevents.component import WORKLOAD as EVENTS
from components.probes.component import WORKLOAD as PROBES
from components.regions.component import WORKLOAD as FAILOVER_AGENT
from lab.fakes.receivers.client import Receivers
from ops.alerts import events as alert_events
from ops.alerts.events import Stage
from ops.core.context import Context
from ops.core.kube import Pod, wait_until
from ops.drills.tools import durations
from ops.drills.tools.faults import kill, processes
from ops.drills.tools.returning import Returning
from tests.support.alerts import CRITICAL, Injector, collected, duplicates
from tests.support.results import recorded

AT_EACH_MOMENT = 3
ARRIVES_S, FIRES_S, ENDS_S = 90.0, 130.0, 90.0
PAUSE_S = 2.0
DOWN = "TargetDown"


class Events:
    """What Kafka was told since a moment."""

    def __init__(self, context: Context) -> None:
        self._context, self._began = context, datetime.now(UTC)

    def told(self, names: set[str], stage: Stage, status: str) -> set[str]:
        """Those names of which a topic has an event with that status."""
        events = alert_events.read(self._context.platform, stage, self._began).events
        identities = " ".join(event.alert_id for event in events if event.status == status)
        return {name for name in names if name in identities}

    def senders(self, since: datetime) -> set[str]:
        """Which Prometheus told of the alert that always fires, from a moment on."""
        events = alert_events.read(self._context.platform, Stage.RAW, self._began).events
        return {event.sender for event in events if event.alert_id == "Watchdog" and event.received_at > since}

    def await_all(self, names: set[str], stage: Stage, status: str) -> float:
        """Wait until a topic has an event with that status of each name; seconds it took."""
        what = f"{status} events of all {len(names)} alerts in {alert_events.TOPICS[stage]}"
        return round(wait_until(lambda: self.told(names, stage, status) == names, ARRIVES_S, what, PAUSE_S), 1)


@pytest.mark.timeout(420)
def test_the_alert_event_service_killed_loses_no_event(settled: Context) -> None:
    """Conditions begin before the kill, while the service is away, and all end after it: both topics have all."""
    with recorded("alert-events-killed", settled.kube) as figures:
        events = Events(settled)
        with Injector(settled) as injector:
            names = {injector.raise_one(CRITICAL).name for _ in range(AT_EACH_MOMENT)}
            events.await_all(names, Stage.RAW, "firing")
            victim = settled.kube.ready_pod(EVENTS)
            killed = datetime.now(UTC)
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            names |= {injector.raise_one(CRITICAL).name for _ in range(AT_EACH_MOMENT)}
            figures["back after s"] = returning.after()
            figures["alerts"] = len(names)
            figures["all raised ones in alerts-raw after s"] = events.await_all(names, Stage.RAW, "firing")
            figures["all told ones in alerts-processed after s"] = events.await_all(names, Stage.PROCESSED, "firing")
        figures["all ends in alerts-raw after s"] = events.await_all(names, Stage.RAW, "resolved")
        replicas = len(settled.platform.prometheus_replicas)
        wait_until(lambda: len(events.senders(killed)) == replicas, ARRIVES_S, "posts of every Prometheus", PAUSE_S)


@contextmanager
def frozen(pod: Pod) -> Iterator[str]:
    """Stop every process of a pod without ending it, as one that hangs: its port is open, and nobody answers."""
    process_ids = [process for container in pod.container_ids for process in processes(container)]
    assert process_ids, f"{pod.name} has no process on this machine: run the drill where the embedded cluster runs"
    for process in process_ids:
        os.kill(process, signal.SIGSTOP)
    try:
        yield f"SIGSTOP to {len(process_ids)} processes, then SIGKILL"
    finally:
        for process in process_ids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def fires(context: Context, job: str) -> bool:
    """Whether Alertmanager has the alert about a target of a job that does not answer."""
    return any(alert.name == DOWN and alert.labels.get("job") == job for alert in context.alertmanager().alerts())


@pytest.mark.timeout(420)
def test_a_prober_that_hangs_is_told_of_and_a_kill_ends_it(settled: Context) -> None:
    """A kill alone is over before anybody has to hear of it; a prober that hangs for a minute is another matter."""
    with recorded("probes-killed", settled.kube) as figures:
        victim = settled.kube.ready_pod(PROBES)
        assert not fires(settled, PROBES), f"{DOWN} of {PROBES} fires before the drill"
        began = time.monotonic()
        with frozen(victim) as how:
            figures["how"] = how
            wait_until(lambda: fires(settled, PROBES), FIRES_S, f"{DOWN} of {PROBES}", PAUSE_S)
            figures["fires after s"] = round(time.monotonic() - began, 1)
            # The kubelet may have restarted it while it was frozen: what counts is a restart after the kill.
            [victim] = [pod for pod in settled.kube.pods(PROBES) if pod.uid == victim.uid]
            returning = Returning(settled.kube, victim, durations.READY)
            kill(settled.kube, victim)
        killed = time.monotonic()
        figures["back after s"] = returning.after()
        wait_until(lambda: not fires(settled, PROBES), ENDS_S, f"the end of {DOWN} of {PROBES}", PAUSE_S)
        figures["over after s"] = round(time.monotonic() - killed, 1)


def says(context: Context, metric: str, since: float = 0.0) -> float | None:
    """Last metrics of a failover agent that started after ``since``, as long as it can be scraped."""
    started = f'max(process_start_time_seconds{{job="{FAILOVER_AGENT}"}}) > {since:.0f}'
    return context.thanos.number(f'max({metric}) and on () up{{job="{FAILOVER_AGENT}"}} == 1 and on () {started}')


@pytest.mark.timeout(420)
def test_a_killed_failover_agent_silences_nobody_and_keeps_its_lease(settled: Context) -> None:
    """On-call is notified of what begins while it is away, once, and as fast as ever."""
    with recorded("failover-agent-killed", settled.kube) as figures:
        assert says(settled, "failover_agent_notifies") == 1
        epoch = says(settled, "failover_agent_lease_epoch")
        assert epoch is not None
        receivers = Receivers.of_lab()
        start, victim = receivers.newest(), settled.kube.ready_pod(FAILOVER_AGENT)
        with Injector(settled) as injector:
            returning, killed = Returning(settled.kube, victim, durations.READY), time.time()
            figures["how"] = kill(settled.kube, victim)
            raised = injector.raise_one(CRITICAL)
            notifications = collected(receivers, start, [raised], ARRIVES_S)
            latency = raised.latency(notifications)
            figures["told after s"] = None if latency is None else round(latency, 1)
            figures["back after s"] = returning.after()
            wait_until(
                lambda: (
                    says(settled, "failover_agent_notifies", killed) == 1
                    and says(settled, "failover_agent_lease_epoch", killed) is not None
                ),
                ARRIVES_S,
                f"the new {FAILOVER_AGENT} to follow the lease",
                PAUSE_S,
            )
            figures["notices twice"] = duplicates(raised.notifications(receivers.since(start)))
        figures["lease changed hands"] = says(settled, "failover_agent_lease_epoch", killed) != epoch
        assert figures["told after s"] is not None
        assert figures["told after s"] <= CRITICAL.limit_s
        assert figures["notices twice"] == 0
        assert not figures["lease changed hands"]
