"""Whether a region can take over, each check on one line, and the lease that it takes over with, in two phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin
from ops.regions import dns
from ops.regions.region import Region, UnreadableError, handshake, witness_errors
from services.regions.witness import Heartbeat, Lease, Sighting, Witness, now

FRESH_S = 30.0
"""A heartbeat that is older is no sign of life: a failover agent writes one each 5 s."""
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, kw_only=True)
class PreflightCheck:
    """One answer.

    Attributes:
        name: What was asked about.
        problem: What is wrong; empty when nothing is.
        seen: What was seen.
        fatal: Whether a region with this problem cannot take over.
    """

    name: str
    problem: str = ""
    seen: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.problem or self.seen}"


def target(region: Region, witness: Witness, *, planned: bool, names_by_hand: bool = False) -> list[PreflightCheck]:
    """Everything that is asked before a region takes over.

    Args:
        region: The region that takes over.
        witness: The bucket.
        planned: Whether definitions have to be the same.
        names_by_hand: Whether people lead the names.
    """
    return [
        _ask("kafka", lambda: kafka(region.kafka, region.topics)),
        _ask("gateway", lambda: _gateway(region)),
        _ask("metrics", lambda: _metrics(region)),
        _ask("failover agent", lambda: _agent(region, witness)),
        _ask("names", lambda: _names(region), fatal=not names_by_hand),
        _ask("positions", lambda: positions(region), fatal=False),
        parity(region, witness, fatal=planned),
    ]


def kafka(admin: KafkaAdmin, topics: tuple[str, ...]) -> str:
    """Every partition has a leader and as many copies as a write needs.

    Raises:
        OpsError: One has not, or a topic is not there.
    """
    known = admin.topics()
    settings = admin.topic_settings(list(topics))
    wrong = []
    for topic in topics:
        state = known.get(topic)
        if state is None:
            wrong.append(f"topic {topic} is not there")
            continue
        needed = int(settings.get(topic, {}).get(_IN_SYNC, "2"))
        offline = [number for number, leader in enumerate(state.leaders) if leader < 0]
        few = [number for number, count in enumerate(state.in_sync) if count < needed]
        if offline:
            wrong.append(f"{topic} has partitions without a leader: {', '.join(map(str, offline))}")
        elif few:
            wrong.append(f"{topic} has partitions with less than {needed} copies in sync: {', '.join(map(str, few))}")
    if wrong:
        raise OpsError("; ".join(wrong))
    return f"{sum(known[topic].partitions for topic in topics)} partitions online and in sync"


def newest(admin: KafkaAdmin, topics: tuple[str, ...]) -> dict[str, datetime]:
    """Topic -> time of its newest record, as its writer stamped it; topics without records are left out.

    Raises:
        OpsError: Kafka does not answer.
    """
    newest_times = {}
    for topic in topics:
        stamps = [int(message.timestamp()[1]) for message in admin.read_last(topic, 1)]
        if stamps:
            newest_times[topic] = datetime.fromtimestamp(max(stamps) / 1000, UTC)
    return newest_times


def heartbeat(witness: Witness, region: str, tell: Callable[[str], None] | None = None) -> Heartbeat | None:
    """The last heartbeat of a region.

    Args:
        witness: The bucket.
        region: Whose.
        tell: Is told that there is something else; then it is as if there were none.

    Raises:
        OpsError: The witness does not answer; or, where nobody is told, has something else there.
    """
    try:
        with witness_errors():
            return witness.heartbeat(region)
    except UnreadableError as error:
        if tell is None:
            raise
        tell(str(error))
        return None


@dataclass(frozen=True, kw_only=True)
class SignOfLife:
    """The last heartbeat of a region and how old it is, by one clock alone.

    What the region's clock showed is not compared with the clock here: one that is ahead would look alive after it
    died, one that is behind dead while it lives.
    """

    heartbeat: Heartbeat
    age_s: float

    @property
    def alive(self) -> bool:
        """Whether it is young enough."""
        return self.age_s <= FRESH_S


class _Watch:
    """Looks at a region's heartbeat as often as it is asked to.

    Its age is told by the object storage, which knows when it was written and what time it is. Where that does not
    say, the age is the time since it was seen to change, or since the first look.
    """

    def __init__(self, witness: Witness, region: str) -> None:
        self._witness, self._region = witness, region
        self._at: datetime | None = None
        self._since = 0.0
        self.certain = False
        """Whether the age is more than that of the looks: the object storage told it, or a change was seen."""

    def look(self) -> SignOfLife | None:
        """Look once; None: it has never given a sign of life.

        Raises:
            OpsError: The witness does not answer, or has something else there.
        """
        asked_at = time.monotonic()
        seen = self._sighting()
        if seen is None:
            return None
        if seen.heartbeat.at != self._at:
            self.certain = self._at is not None
            self._at, self._since = seen.heartbeat.at, asked_at
        age_s = seen.age_s
        if age_s is None:
            age_s = asked_at - self._since
        else:
            self.certain = True
        return SignOfLife(heartbeat=seen.heartbeat, age_s=age_s)

    def _sighting(self) -> Sighting | None:
        with witness_errors():
            return self._witness.sighting(self._region)


def last_alive(witness: Witness, region: str) -> datetime | None:
    """When a region gave its last sign of life, by the clock here; None where that is not known.

    Its age is what the object storage says, to the second. What the region's own clock showed does not matter.

    Raises:
        OpsError: The witness does not answer.
    """
    try:
        with witness_errors():
            seen = witness.sighting(region)
    except UnreadableError:
        return None
    if seen is None or seen.age_s is None:
        return None
    return datetime.now(UTC) - timedelta(seconds=seen.age_s)


def sign_of_life(witness: Witness, region: str) -> SignOfLife | None:
    """The last heartbeat of a region; where the object storage does not tell its age, looked at until it changes.

    Raises:
        OpsError: The witness does not answer, or has something else there.
    """
    watch, seen = _Watch(witness, region), list[SignOfLife | None]()

    def known() -> bool:
        seen.append(watch.look())
        return seen[-1] is None or watch.certain or not seen[-1].alive

    _wait(known, FRESH_S + 2 * _PAUSE_S)
    return seen[-1]


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Definitions that differ, by name; what only one region has differs."""
    return [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]


def parity(region: Region, witness: Witness, *, fatal: bool) -> PreflightCheck:
    """Whether the definitions of a region's stack are those of the other one's last heartbeat."""

    def look() -> str:
        other = region.peer.region
        with witness_errors():
            last = witness.sighting(other)
        if last is None:
            raise OpsError(f"{other} has never told what it has")
        newer = f"; its failover agent is of another revision: {', '.join(last.unknown)} not known" * bool(last.unknown)
        if drift := differences(region.access.fingerprints, last.heartbeat.fingerprints):
            raise OpsError(f"{', '.join(drift)} differ between {region.name} and {other}{newer}")
        return f"{len(last.heartbeat.fingerprints)} definitions are the same in {other}{newer}"

    return _ask("parity", look, fatal=fatal)


def _names(region: Region) -> str:
    """Every name can be led to the region: it is read, and written as it is."""
    access = region.access
    if access.dns is None:
        return "no name moves (regions.dns)"
    with dns.zone(access.dns) as zone:
        for what, name in access.dns.names.items():
            if what not in access.targets:
                raise OpsError(
                    f"{region.name} does not tell where {what} is reached: run `pulumi up --policy-pack policy` there"
                )
            zone.rewrite(name)
    return f"{', '.join(access.dns.names.values())} may be changed"


def positions(region: Region) -> str:
    """Every group that is to go on in the region has a position there.

    Raises:
        OpsError: One has not.
    """
    groups = region.access.mirror.groups if region.access.mirror else ()
    without = [group for group in groups if not region.kafka.committed(group)]
    if without:
        raise OpsError(
            f"no position of {', '.join(without)} in {region.name}: where it begins says its own auto.offset.reset: "
            "earliest reads everything again, latest leaves out what it had not read"
        )
    return f"{len(groups)} groups have a position"


def _gateway(region: Region) -> str:
    handshake(region)
    return f"{region.platform.otlp_http} answers with a good certificate"


def _metrics(region: Region) -> str:
    count = region.metrics.number("count(up == 1)")
    if not count:
        raise OpsError("the read address knows no target that is up")
    return f"{count:.0f} targets are up"


def _agent(region: Region, witness: Witness) -> str:
    last = sign_of_life(witness, region.name)
    if last is None:
        raise OpsError(f"the failover agent of {region.name} has never told anything")
    if not last.alive:
        raise OpsError(f"the failover agent of {region.name} is silent since {last.age_s:.0f} s")
    if last.heartbeat.isolated:
        raise OpsError(f"{region.name} says that it is isolated")
    return f"heartbeat {last.age_s:.0f} s old, epoch {last.heartbeat.epoch}"


def _ask(name: str, look: Callable[[], str], *, fatal: bool = True) -> PreflightCheck:
    try:
        return PreflightCheck(name=name, seen=look(), fatal=fatal)
    except OpsError as error:
        return PreflightCheck(name=name, problem=str(error), fatal=fatal)


CONFIRM_S = 30.0
"""How long is waited for the region that gives up to say that it is silent."""
NOTIFY_S = 20.0
"""How long is waited for the region that takes over to say that it is active."""
_PAUSE_S = 1.0


def current(witness: Witness) -> tuple[Lease, str] | None:
    """The lease and its ETag; None when none was ever written.

    Raises:
        OpsError: The witness does not answer, or has something else there.
    """
    with witness_errors():
        return witness.lease()


def take(witness: Witness, holder: str, by: str, reason: str, regions: Sequence[str] = ()) -> Lease:
    """First phase: the lease is the new holder's, and no region is active until `let`.

    Taking what one has already in this phase, from an interrupted command, changes nothing.

    Args:
        witness: The bucket.
        holder: Who gets it.
        by: Which command takes it.
        reason: Why.
        regions: Those who may have seen a later lease than the one that is there, where the bucket was set back: they
            would not believe an epoch that they have passed.

    Raises:
        OpsError: Somebody else was faster, or the witness does not answer.
    """
    held_lease = current(witness)
    if held_lease is not None and held_lease[0].holder == holder and not held_lease[0].notify:
        return held_lease[0]
    epoch = 1 + max(held_lease[0].epoch if held_lease else 0, passed(witness, regions))
    lease = Lease(holder=holder, epoch=epoch, notify=False, since=now(), by=by, reason=reason)
    with witness_errors():
        witness.take(lease, held_lease[1] if held_lease else None)
    return lease


def passed(witness: Witness, regions: Sequence[str]) -> int:
    """The latest epoch that regions have seen, as far as they say; 0 where none has seen any.

    Raises:
        OpsError: The witness does not answer.
    """
    heard = (heartbeat(witness, region, lambda _: None) for region in regions)
    return max((last.epoch for last in heard if last), default=0)


def let(witness: Witness, holder: str, epoch: int, by: str, reason: str) -> Lease:
    """Second phase: the holder is active.

    Raises:
        OpsError: The lease is not the holder's of that epoch any more, or the witness does not answer.
    """
    held_lease = current(witness)
    if held_lease is None or held_lease[0].holder != holder or held_lease[0].epoch != epoch:
        raise OpsError(f"{holder} does not hold the lease of epoch {epoch} any more: {_who(held_lease)}")
    if held_lease[0].notify:
        return held_lease[0]
    lease = Lease(holder=holder, epoch=epoch, notify=True, since=now(), by=by, reason=reason)
    with witness_errors():
        witness.take(lease, held_lease[1])
    return lease


def holds(witness: Witness, holder: str, epoch: int, *, notify: bool) -> bool:
    """Whether the lease is the holder's of that epoch, in that phase or a later one.

    Raises:
        OpsError: Somebody else has it: the operation is over.
    """
    held_lease = current(witness)
    if held_lease is None or held_lease[0].holder != holder or held_lease[0].epoch != epoch:
        raise OpsError(f"the lease was taken by another command: {_who(held_lease)}: begin again with a new one")
    return held_lease[0].notify or not notify


def silent(witness: Witness, region: str, epoch: int, seconds: float = CONFIRM_S) -> tuple[bool, str]:
    """Wait until a region has confirmed that it is silent, as long as it gives signs of life.

    Args:
        witness: The bucket.
        region: Region that gives up.
        epoch: Epoch of the lease that it has to have seen.
        seconds: How long it may take.

    Returns:
        Whether it has confirmed, and what was seen, in words.
    """
    watch, seen, unreadable = _Watch(witness, region), list[SignOfLife | None](), list[str]()

    def done() -> bool:
        unreadable.clear()
        try:
            seen.append(watch.look())
        except UnreadableError as error:
            unreadable.append(str(error))
            return False
        last = seen[-1]
        return last is None or not last.alive or _confirmed(last.heartbeat, epoch)

    _wait(done, seconds)
    if unreadable:
        return False, f"{region} had {seconds:.0f} s to fall silent, what it says cannot be read: {unreadable[0]}"
    last = seen[-1]
    if last is None:
        return False, f"{region} has never given a sign of life"
    if _confirmed(last.heartbeat, epoch):
        return True, f"{region} has confirmed that it is silent"
    if not last.alive or not watch.certain:
        return False, f"{region} gives no sign of life since {last.age_s:.0f} s: it is silent once it is isolated"
    return False, f"{region} is alive and has not confirmed within {seconds:.0f} s that it is silent"


def notifies(witness: Witness, region: str, epoch: int, seconds: float = NOTIFY_S) -> bool:
    """Wait until a region says that it is active."""

    def done() -> bool:
        last = heartbeat(witness, region, lambda _: None)
        return last is not None and last.epoch >= epoch and last.notifies

    return _wait(done, seconds)


def _confirmed(last: Heartbeat, epoch: int) -> bool:
    return last.epoch >= epoch and not last.notifies


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        if done():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)


def _who(held_lease: tuple[Lease, str] | None) -> str:
    if held_lease is None:
        return "there is none"
    lease = held_lease[0]
    return f"{lease.holder} has it, epoch {lease.epoch}, by {lease.by}"
