"""What is read from the witness and written there: the lease, and both regions' heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from services.failover_agent import FailoverAgentSettings
from services.failover_agent.alertmanager import AlertmanagerReconciler
from services.failover_agent.notification_gate import LeaseView, NotificationGate, lease_view
from services.regions.witness import Heartbeat, RegionError, Witness
from services.runtime.serving import DedupLogger


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
