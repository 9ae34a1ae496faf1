"""The program: make Alertmanager follow the lease until asked to stop. What was silenced then stays so.

Runs as ``python3 -m services.failover_agent --config FILE``. It reads the lease from the witness, and writes and reads
both regions' heartbeats there. Its metrics tell which region is active, what is known about that here, and how the two
regions differ.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.failover_agent import STANDBY, FailoverAgentSettings, notification_gate
from services.failover_agent import alertmanager as silence_expirer
from services.failover_agent.alertmanager import Alertmanager, AlertmanagerReconciler, SilenceExpirer
from services.failover_agent.notification_gate import EgressProbe, LeaseView, NotificationGate, lease_view
from services.regions.witness import Heartbeat, RegionError, Witness
from services.runtime import serving
from services.runtime.serving import DedupLogger, PeriodicTask, ScrapeCollector, gauge_by, operator_log

_PATIENCE_S = 60.0
"""After that it is ready whatever it could not reach: metrics tell, and nobody waits for it."""


def notifies(members: Iterable[AlertmanagerReconciler]) -> bool:
    """Whether an Alertmanager notifies; one that was never seen might."""
    return any(member.silenced is not True for member in members)


class LeasePoller:
    """Polls the lease.

    Args:
        settings: Which region it is.
        witness: The bucket, for this thread alone.
        gate: Hears of each poll.
        changed: Called when something else is wanted.
        problems: Hears of what goes wrong.
        log: Hears of each new lease.

    Attributes:
        errors: Polls that failed.
    """

    def __init__(
        self,
        settings: FailoverAgentSettings,
        witness: Witness,
        gate: NotificationGate,
        changed: Callable[[], None],
        problems: DedupLogger,
        log: Callable[[str], None],
    ) -> None:
        self.errors = 0
        self._settings, self._witness, self._gate = settings, witness, gate
        self._changed, self._problems, self._log = changed, problems, log
        self._written = False

    def poll(self) -> None:
        """Poll once."""
        asked_at = self._gate.clock()
        problem = ""
        try:
            self._take(self._read(), asked_at)
        except RegionError as error:
            self.errors += 1
            self._gate.failed()
            problem = str(error)
        self._problems.report("the lease", problem)
        self._gate.wanted()
        self._problems.report("the region", self._why_silent())

    def _why_silent(self) -> str:
        """Why the region is silent although no lease says so; empty: it is not."""
        if self._gate.isolated:
            return f"cut off: neither the witness nor anybody outside was reached for {self._settings.isolated_s:g} s"
        if self._gate.waiting:
            return "a standby that never followed a lease: silent until it reads one"
        return ""

    def _read(self) -> LeaseView:
        lease = self._witness.lease()
        if lease is None and self._written:
            raise RegionError("the lease was there and is gone: everything stays as it is until there is one again")
        self._written = lease is not None
        seen = self._gate.lease
        if lease is not None and seen is not None and lease[0].epoch < seen.epoch:
            raise RegionError(
                f"the lease has epoch {lease[0].epoch}, and {seen.epoch} was read before: an older one was put back, "
                "everything stays as it is until there is a later one (`ops failover`)"
            )
        return lease_view(lease[0] if lease else None, self._settings.region, self._settings.role, self._settings.peer)

    def _take(self, lease_state: LeaseView, asked_at: float) -> None:
        before = self._gate.lease
        if self._gate.read(lease_state, asked_at):
            self._changed()
        if lease_state != before:
            self._log(
                f"the lease: {lease_state.holder or 'the other region'} holds it, epoch {lease_state.epoch}: "
                f"{'telemetry is told here' if lease_state.notifies else 'silent here'}"
            )


class PeerClock:
    """How old the other region's last heartbeat is, by this machine's clock alone.

    A region is alive while what it says changes: what its clock shows says nothing about that. Its time counts only
    where nothing else is known: at the first look, and within the time in which this region could not look.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: datetime | None = None
        self._written = self._looked = 0.0
        self._difference: float | None = None

    @property
    def difference_s(self) -> float | None:
        """By how much the other clock is ahead, too little by up to the time between two heartbeats.

        None until two heartbeats were seen.
        """
        return self._difference

    def seen(self, heartbeat: Heartbeat, asked_at: float, now: datetime) -> None:
        """A heartbeat was read.

        Args:
            heartbeat: What was read.
            asked_at: When it was asked for, by the clock.
            now: The same moment, as heartbeats tell it.
        """
        if heartbeat.at != self._at:
            age = heartbeat.age(now)
            if self._at is not None:
                self._difference = (heartbeat.at - now).total_seconds()
                age = min(age, asked_at - self._looked)
            self._at, self._written = heartbeat.at, asked_at - age
        self._looked = asked_at

    def age(self) -> float | None:
        """Seconds since the other region said something else than before; None: nothing was ever read."""
        return None if self._at is None else max(0.0, self._clock() - self._written)


class HeartbeatExchange:
    """Writes the region's heartbeat and reads the other one's; what does not work of one does not hold up the other.

    Args:
        settings: Which region it is, and its fingerprints.
        witness: The bucket, for this thread alone.
        gate: What is known of the lease.
        members: Every Alertmanager.
        ready: Whether it is known what they do; before that nothing is said of them.
        problems: Hears of what goes wrong.

    Attributes:
        errors: Polls that failed.
        peer: The other region's heartbeat; None until it was ever seen.
        peer_clock: How old it is.
    """

    def __init__(
        self,
        settings: FailoverAgentSettings,
        witness: Witness,
        gate: NotificationGate,
        members: Sequence[AlertmanagerReconciler],
        ready: Callable[[], bool],
        problems: DedupLogger,
    ) -> None:
        self.errors = 0
        self.peer: Heartbeat | None = None
        self.peer_clock = PeerClock(gate.clock)
        self._settings, self._witness, self._gate = settings, witness, gate
        self._members, self._ready, self._problems = members, ready, problems

    def poll(self) -> None:
        """Write and read once."""
        if self._ready():
            self._try("heartbeat", self._beat)
        if self._settings.peer:
            self._try(f"heartbeat of {self._settings.peer}", self._look, self._settings.peer)

    def _try(self, what: str, do: Callable[..., None], *arguments: str) -> None:
        problem = ""
        try:
            do(*arguments)
        except RegionError as error:
            self.errors += 1
            problem = str(error)
        self._problems.report(what, problem)

    def _beat(self) -> None:
        self._witness.beat(self.heartbeat())

    def _look(self, peer: str) -> None:
        asked_at, now = self._gate.clock(), datetime.now(UTC)
        heartbeat = self._witness.heartbeat(peer)
        if heartbeat is not None:
            self.peer_clock.seen(heartbeat, asked_at, now)
            self.peer = heartbeat

    def heartbeat(self) -> Heartbeat:
        """What there is to say now."""
        lease_state = self._gate.lease
        silences = {silence.id: silence for member in self._members for silence in member.operator_silences}
        return Heartbeat(
            region=self._settings.region,
            role=self._settings.role,
            at=datetime.now(UTC),
            epoch=lease_state.epoch if lease_state else 0,
            holder=lease_state.holder if lease_state else None,
            notifies=notifies(self._members),
            isolated=self._gate.isolated,
            fingerprints=dict(self._settings.fingerprints),
            silences=tuple(silences[id] for id in sorted(silences)),
        )


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
