"""What is read from the witness and written there: the lease, and both regions' heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from services.region_guard.judging import Judging, Seen, seen
from services.region_guard.member import Member
from services.region_guard.rounds import News
from services.region_guard.settings import Settings
from services.regions.records import Heartbeat, RegionError
from services.regions.witness import Witness


def notifies(members: Iterable[Member]) -> bool:
    """Whether an Alertmanager tells people; one that was never seen might."""
    return any(member.silenced is not True for member in members)


class LeaseLooks:
    """Looks at the lease.

    Args:
        settings: Which region it is.
        witness: The bucket, for this thread alone.
        judging: Hears of each look.
        changed: Called when something else is wanted.
        news: Hears of what goes wrong.
        log: Hears of each new lease.

    Attributes:
        errors: Looks that failed.
    """

    def __init__(
        self,
        settings: Settings,
        witness: Witness,
        judging: Judging,
        changed: Callable[[], None],
        news: News,
        log: Callable[[str], None],
    ) -> None:
        self.errors = 0
        self._settings, self._witness, self._judging = settings, witness, judging
        self._changed, self._news, self._log = changed, news, log
        self._written = False

    def look(self) -> None:
        """Look once."""
        asked = self._judging.clock()
        problem = ""
        try:
            self._take(self._read(), asked)
        except RegionError as error:
            self.errors += 1
            self._judging.failed()
            problem = str(error)
        self._news.tell("the lease", problem)
        self._judging.wanted()
        self._news.tell(
            "the region",
            f"cut off: neither the witness nor anybody outside was reached for {self._settings.isolated_s:g} s"
            if self._judging.isolated
            else "",
        )

    def _read(self) -> Seen:
        found = self._witness.lease()
        if found is None and self._written:
            raise RegionError("the lease was there and is gone: everything stays as it is until there is one again")
        self._written = found is not None
        return seen(found[0] if found else None, self._settings.region, self._settings.role, self._settings.peer)

    def _take(self, found: Seen, asked: float) -> None:
        before = self._judging.seen
        if self._judging.read(found, asked):
            self._changed()
        if found != before:
            self._log(
                f"the lease: {found.holder or 'the other region'} holds it, epoch {found.epoch}: "
                f"{'telemetry is told here' if found.notifies else 'silent here'}"
            )


class Beats:
    """Writes the region's heartbeat and reads the other one's.

    Args:
        settings: Which region it is, and its definitions.
        witness: The bucket, for this thread alone.
        judging: What is known of the lease.
        members: Every Alertmanager.
        ready: Whether it is known what they do; before that nothing is said of them.
        news: Hears of what goes wrong.

    Attributes:
        errors: Rounds that failed.
        peer: The other region's heartbeat; None until it was ever seen.
    """

    def __init__(
        self,
        settings: Settings,
        witness: Witness,
        judging: Judging,
        members: Sequence[Member],
        ready: Callable[[], bool],
        news: News,
    ) -> None:
        self.errors = 0
        self.peer: Heartbeat | None = None
        self._settings, self._witness, self._judging = settings, witness, judging
        self._members, self._ready, self._news = members, ready, news

    def look(self) -> None:
        """Write and read once."""
        problem = ""
        try:
            if self._ready():
                self._witness.beat(self.heartbeat())
            if self._settings.peer:
                self.peer = self._witness.heartbeat(self._settings.peer) or self.peer
        except RegionError as error:
            self.errors += 1
            problem = str(error)
        self._news.tell("heartbeats", problem)

    def heartbeat(self) -> Heartbeat:
        """What there is to say now."""
        found = self._judging.seen
        silences = {silence.id: silence for member in self._members for silence in member.peoples}
        return Heartbeat(
            region=self._settings.region,
            role=self._settings.role,
            at=datetime.now(UTC),
            epoch=found.epoch if found else 0,
            holder=found.holder if found else None,
            notifies=notifies(self._members),
            isolated=self._judging.isolated,
            definitions=dict(self._settings.definitions),
            silences=tuple(silences[id] for id in sorted(silences)),
        )
