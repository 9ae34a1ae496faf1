"""The program: make Alertmanager follow the lease until asked to stop. What was silenced then stays so.

Runs as ``python3 -m services.failover_agent --config FILE``.

Its metrics tell which region is active, what is known about that here, and how the two regions differ.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.failover_agent import STANDBY, FailoverAgentSettings, notification_gate
from services.failover_agent import alertmanager as silence_expirer
from services.failover_agent.alertmanager import Alertmanager, AlertmanagerReconciler, SilenceExpirer
from services.failover_agent.notification_gate import EgressProbe, NotificationGate
from services.failover_agent.witness import HeartbeatExchange, LeasePoller, notifies
from services.regions.witness import Heartbeat, Witness
from services.runtime import serving
from services.runtime.serving import DedupLogger, PeriodicTask, ScrapeCollector, gauge_by, operator_log

_PATIENCE_S = 60.0
"""After that it is ready whatever it could not reach: metrics tell, and nobody waits for it."""


def differences(mine: Mapping[str, str], others: Mapping[str, str]) -> dict[str, bool]:
    """What -> whether the two regions have different ones; what only one of them has is different."""
    return {what: mine.get(what) != others.get(what) for what in sorted({*mine, *others})}


class AgentCollector(ScrapeCollector):
    """A collector that asks at each scrape.

    No label is called ``region``: readers of several Prometheus put the name of the region that measured there.
    """

    def __init__(
        self,
        settings: FailoverAgentSettings,
        gate: NotificationGate,
        members: Sequence[AlertmanagerReconciler],
        lease_poller: LeasePoller,
        heartbeats: HeartbeatExchange,
        ready: Callable[[], bool],
        registry: CollectorRegistry,
        probes: Sequence[EgressProbe] = (),
    ) -> None:
        self._settings, self._gate, self._members, self._probes = settings, gate, members, probes
        self._lease_poller, self._heartbeats, self._ready = lease_poller, heartbeats, ready
        super().__init__(registry)

    def collect(self) -> Iterator[Metric]:
        """Everything that is known; of what is not known yet there is no series."""
        yield gauge_by("role", "failover_agent_role", "Role of the region's stack", {self._settings.role: True})
        yield from self._own()
        yield from self._lease()
        yield from self._alertmanagers()
        if self._settings.peer:
            yield gauge_by(
                "peer",
                "failover_agent_peer_seen",
                "Whether the other region's heartbeat was ever read",
                {self._settings.peer: self._heartbeats.peer is not None},
            )
        if self._settings.peer and self._heartbeats.peer:
            yield from self._peer(self._settings.peer, self._heartbeats.peer)

    def _own(self) -> Iterator[Metric]:
        if self._ready():
            yield GaugeMetricFamily(
                "failover_agent_notifies",
                "Whether an Alertmanager of the region notifies about telemetry's alerts",
                value=notifies(self._members),
            )
        yield GaugeMetricFamily(
            "failover_agent_isolated",
            "Whether the region was cut off from the witness and from everybody outside, without a lease read since",
            value=self._gate.isolated,
        )
        yield gauge_by(
            "address",
            "failover_agent_egress_reached_age_seconds",
            "Since a pager's address took a connection; before the first time: since the failover agent began",
            {probe.name: probe.age() for probe in self._probes},
        )

    def _lease(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "failover_agent_lease_read_age_seconds",
            "Since the lease was last read; before the first time: since the failover agent began",
            value=self._gate.age(),
        )
        yield CounterMetricFamily(
            "failover_agent_witness_errors",
            "Polls of lease and heartbeats that failed",
            value=self._lease_poller.errors + self._heartbeats.errors,
        )
        lease_state = self._gate.lease
        if lease_state is None:
            return
        yield GaugeMetricFamily("failover_agent_lease_epoch", "Changes of the lease's holder", value=lease_state.epoch)
        regions = [self._settings.region, self._settings.peer, lease_state.holder]
        held = {region: region == lease_state.holder for region in regions if region}
        yield gauge_by("holder", "failover_agent_holder", "Whether the region holds the lease", held)

    def _alertmanagers(self) -> Iterator[Metric]:
        yield gauge_by(
            "alertmanager",
            "failover_agent_silenced",
            "Whether the failover agent's silence holds at an Alertmanager, seen at the last poll that succeeded",
            {member.name: member.silenced for member in self._members if member.silenced is not None},
        )
        yield GaugeMetricFamily(
            "failover_agent_handed_over_silences",
            "Silences of alerts that the other region had told",
            value=len({id for member in self._members for id in member.handed_over}),
        )
        yield CounterMetricFamily(
            "failover_agent_alertmanager_errors",
            "Polls of an Alertmanager that failed",
            value=sum(member.errors for member in self._members),
        )

    def _peer(self, region: str, heartbeat: Heartbeat) -> Iterator[Metric]:
        clock = self._heartbeats.peer_clock
        yield gauge_by(
            "peer",
            "failover_agent_peer_age_seconds",
            "Since the other region's failover agent said something, by this region's clock alone",
            {region: clock.age()},
        )
        yield gauge_by(
            "peer",
            "failover_agent_peer_clock_difference_seconds",
            "By how much the other region's clock is ahead of this one's; too little by up to a heartbeat's interval",
            {region: clock.difference_s},
        )
        yield gauge_by(
            "peer",
            "failover_agent_peer_notifies",
            "Whether the other region's failover agent last said that it is active",
            {region: heartbeat.notifies},
        )
        differs = GaugeMetricFamily(
            "failover_agent_peer_differs",
            "Whether the other region has another version of a definition",
            labels=["peer", "definition"],
        )
        for what, different in differences(self._settings.fingerprints, heartbeat.fingerprints).items():
            differs.add_metric([region, what], different)
        yield differs


log = operator_log("failover-agent")


class Service(serving.Service):
    """Polls, heartbeats, metrics and probes."""

    def __init__(self, settings: FailoverAgentSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._settings = settings
        super().__init__()
        self._began = time.monotonic()
        self._gate = NotificationGate(settings.isolated_s, standby=settings.role == STANDBY)
        problems = DedupLogger(log)
        self._members = [
            AlertmanagerReconciler(alertmanager, settings.region, self._gate, self._tell, log, problems)
            for alertmanager in self._alertmanagers()
        ]
        self._reconcile_tasks = [
            PeriodicTask(member.name, settings.poll_interval_s, member.poll) for member in self._members
        ]
        lease_poller = LeasePoller(settings, Witness(settings.witness.place), self._gate, self._follow, problems, log)
        heartbeats = HeartbeatExchange(
            settings, Witness(settings.witness.place), self._gate, self._members, self.ready, problems
        )
        self._heartbeat_task = PeriodicTask("heartbeats", settings.heartbeat_interval_s, heartbeats.poll)
        expirer = SilenceExpirer(list(self._alertmanagers()))
        probes = [EgressProbe(address, self._gate, settings.isolated_s) for address in settings.egress_addresses]
        probe_interval_s = notification_gate.interval_s(settings.isolated_s)
        self._tasks = [
            *self._reconcile_tasks,
            PeriodicTask("lease", settings.poll_interval_s, lease_poller.poll),
            self._heartbeat_task,
            PeriodicTask("silence-expirer", silence_expirer.EVERY_S, expirer.poll),
            *(PeriodicTask(probe.name, probe_interval_s, probe.poll) for probe in probes),
        ]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        AgentCollector(settings, self._gate, self._members, lease_poller, heartbeats, self.ready, registry, probes)
        self.server = serving.https_server(settings, registry, self.alive, self.ready, program="failover-agent")

    def alive(self) -> bool:
        """Whether every task still happens."""
        return all(task.alive() for task in self._tasks)

    def ready(self) -> bool:
        """Whether every Alertmanager was seen to be as the lease wants it, or a minute was not enough for that."""
        return all(member.applied for member in self._members) or time.monotonic() - self._began >= _PATIENCE_S

    def begin(self, stop: threading.Event) -> None:
        """Follow the lease; what is under way at the end is all done again by the next process."""
        for task in self._tasks:
            task.start(stop)

    def _alertmanagers(self) -> Iterator[Alertmanager]:
        return (Alertmanager(url, self._settings.alertmanagers) for url in self._settings.alertmanagers.urls)

    def _tell(self) -> None:
        """The other region, and whoever waits for it, hear of a change at once."""
        self._heartbeat_task.wake()

    def _follow(self) -> None:
        for reconcile_task in self._reconcile_tasks:
            reconcile_task.wake()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="failover-agent",
        description="Lets one region of two notify on-call of alerts.",
        make=lambda file: Service(FailoverAgentSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
