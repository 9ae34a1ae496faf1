"""May the region notify now? Decided from the lease, and from what can be reached by TCP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from services.regions.witness import Lease

_POLLS = 5
_MOST_S = 3.0


class _Silences(Enum):
    """What the silences of the Alertmanagers have shown."""

    UNSEEN = auto()
    """Nothing: none was seen yet."""

    NOT_OURS = auto()
    """None of a failover agent's: no Alertmanager that was seen followed a lease."""

    OURS = auto()
    """One of a failover agent's, ended or not."""


@dataclass(frozen=True, kw_only=True)
class LeaseView:
    """The lease as the last poll saw it.

    Attributes:
        holder: Region that holds it; None where none was written and the one that would is not known.
        epoch: Its epoch; 0 where none was written.
        notifies: Whether this region may notify.
    """

    holder: str | None
    epoch: int
    notifies: bool


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """What every Alertmanager should be like.

    Attributes:
        silent: Whether the failover agent's silence holds.
        number: Another one after each change.
        firm: Whether this is known now. If not, it is applied where it was not yet, and nothing more: an operator who
            decides otherwise while the witness is away has the last word.
    """

    silent: bool
    number: int
    firm: bool


def lease_view(lease: Lease | None, region: str, role: str, peer: str | None) -> LeaseView:
    """What a lease means for a region; without one, the region whose role is primary holds it."""
    if lease is not None:
        return LeaseView(holder=lease.holder, epoch=lease.epoch, notifies=lease.may_notify(region))
    mine = role == "primary"
    return LeaseView(holder=region if mine else peer, epoch=0, notifies=mine)


class NotificationGate:
    """Decides whether the region may notify, from every poll of lease and egress.

    Times are those *before* a poll: an answer that slept is an old answer.

    Args:
        isolated_s: Seconds without a lease and without anybody outside, after which the region is isolated.
        clock: Seconds that only grow.
        standby: Whether the region is silent as long as nobody knows of a lease.
    """

    def __init__(
        self, isolated_s: float, clock: Callable[[], float] = time.monotonic, *, standby: bool = False
    ) -> None:
        self.clock = clock
        self._isolated_s, self._standby = isolated_s, standby
        self._lock = threading.Lock()
        self._read_at = self._reached_at = clock()
        self._lease: LeaseView | None = None
        self._failing = False
        self._isolated = self._waiting = False
        self._silences = _Silences.UNSEEN
        self._number = 0

    @property
    def lease(self) -> LeaseView | None:
        """The lease as the last poll that succeeded saw it."""
        return self._lease

    @property
    def isolated(self) -> bool:
        """Whether the region was cut off and the lease was not read since."""
        return self._isolated

    @property
    def waiting(self) -> bool:
        """Whether this is a standby that is silent until it reads a lease for the first time."""
        return self._waiting

    def age(self) -> float:
        """Seconds since the last poll that succeeded; before the first, since the failover agent began."""
        return max(0.0, self.clock() - self._read_at)

    def read(self, lease_state: LeaseView, asked_at: float) -> bool:
        """The lease was read.

        Args:
            lease_state: What was found.
            asked_at: When it was asked for.

        Returns:
            Whether something else is wanted since.
        """
        with self._lock:
            if self.clock() - asked_at >= self._isolated_s:
                self._failing = True
                return False
            before = self._lease
            changed = self._isolated or before is None or before.notifies != lease_state.notifies
            self._lease, self._read_at = lease_state, asked_at
            self._isolated = self._waiting = self._failing = False
            self._number += changed
            return changed

    def failed(self) -> None:
        """The lease could not be read."""
        self._failing = True

    def reached(self, asked_at: float) -> None:
        """Somebody outside was reached.

        Args:
            asked_at: When the connection was begun.
        """
        with self._lock:
            self._reached_at = max(self._reached_at, asked_at)

    def looked(self, *, followed: bool) -> None:
        """The silences of an Alertmanager were seen.

        Args:
            followed: Whether one of them is a failover agent's, ended or not: then it followed a lease before.
        """
        with self._lock:
            if self._silences is not _Silences.OURS:
                self._silences = _Silences.OURS if followed else _Silences.NOT_OURS

    def wanted(self) -> DesiredState | None:
        """What is wanted now; None: nothing is known yet, so nothing changes."""
        with self._lock:
            since = max(self._read_at, self._reached_at)
            cut = self.clock() - since >= self._isolated_s
            if cut and not self._isolated:
                self._isolated = True
                self._number += 1
            if self._isolated:
                # Reached again without a lease: meanwhile the other region may have been promoted.
                return DesiredState(silent=True, number=self._number, firm=cut)
            if self._lease is None:
                return self._wanted_unread()
            return DesiredState(silent=not self._lease.notifies, number=self._number, firm=not self._failing)

    def _wanted_unread(self) -> DesiredState | None:
        """Before a lease was read, an Alertmanager that followed one stays as it is: its region may have been promoted.

        A standby whose Alertmanagers never followed one is new: it would notify beside the active region.
        """
        if not self._waiting and self._standby and self._silences is _Silences.NOT_OURS:
            self._waiting = self.clock() - self._read_at >= self._isolated_s
            self._number += self._waiting
        return DesiredState(silent=True, number=self._number, firm=False) if self._waiting else None


def interval_s(isolated_s: float) -> float:
    """Seconds between two polls: several before the region counts as isolated."""
    return isolated_s / _POLLS


class EgressProbe:
    """One address. Each has a thread of its own: a name that nobody resolves holds up no other one."""

    def __init__(self, address: tuple[str, int], gate: NotificationGate, isolated_s: float) -> None:
        self.name = f"{address[0]}:{address[1]}"
        self._address, self._gate = address, gate
        self._reached_at = gate.clock()
        self._timeout_s = min(_MOST_S, interval_s(isolated_s))

    def age(self) -> float:
        """Seconds since it was last reached; before the first time, since the probe began."""
        return max(0.0, self._gate.clock() - self._reached_at)

    def poll(self) -> None:
        """Poll once."""
        asked_at = self._gate.clock()
        try:
            socket.create_connection(self._address, self._timeout_s).close()
        except OSError:
            return
        self._reached_at = asked_at
        self._gate.reached(asked_at)
