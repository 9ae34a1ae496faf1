"""What the steps of a failback do beside those of the planned failover that it contains."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.errors import OpsError
from ops.regions import lease, look, pulumi, seed
from ops.regions.journal import operations, promotion
from ops.regions.region import Region
from ops.regions.work import Figures, Work

CATCH_UP_S = 900.0
WITHIN_S = 10.0
"""Caught up is a mirror that has copied within so many seconds what the other region had, twice in a row."""
_TIMES = 2
_PAUSE_S = 1.0


def both(work: Work) -> Figures:
    """Whether a failback is possible at all.

    Raises:
        OpsError: The lease is not the source's, a region gives no sign of life, or nobody knows where it took over.
    """
    found = lease.current(work.witness)
    if found is None or not found[0].lets(work.source):
        raise OpsError(f"{work.source} does not hold the lease: there is nothing to fail back from")
    now = datetime.now(UTC)
    for name in (work.source, work.target.name):
        last = look.heartbeat(work.witness, name)
        if last is None or last.age(now) > look.FRESH_S:
            silent = f"since {last.age(now):.0f} s" if last else "for ever"
            raise OpsError(f"{name} gives no sign of life {silent}: bring it up first, then fail back")
    known = [each for each in operations(work.witness) if each.id != work.journal.operation.id]
    took_over = promotion(known, work.source)
    if took_over is None:
        raise OpsError(f"no journal tells where {work.source} took over: without it everything would be copied again")
    return {"operation": took_over.id, "offsets": took_over.figures("offsets")["offsets"], "epoch": found[0].epoch}


def seed_target(work: Work) -> Figures:
    """The returning region's mirror begins where the other one took over."""
    begin = seed.from_json(work.journal.operation.figures("both")["offsets"])
    return _seed(work, work.target, work.source, begin)


def return_target(work: Work) -> Figures:
    """The returning region becomes a standby, and its mirror runs."""
    return _standby(work, work.target)


def catch_up(work: Work) -> Figures:
    """Wait until the mirror of the returning region has caught up.

    Raises:
        OpsError: It does not within ``CATCH_UP_S``.
    """
    other, notes = _other(work), seed.Notes(work.target.platform, work.source)
    began, times, behind = time.monotonic(), 0, 0
    work.tell(f"waiting up to {CATCH_UP_S / 60:.0f} min for the mirror of {work.target.name}")
    while time.monotonic() - began < CATCH_UP_S:
        wanted, round_began = seed.marks(other.platform, work.target.topics), time.monotonic()
        while (behind := wanted.behind(notes.read())) and time.monotonic() - round_began < WITHIN_S:
            time.sleep(_PAUSE_S)
        times = 0 if behind else times + 1
        if times == _TIMES:
            return {"caught_up_after_s": round(time.monotonic() - began, 1)}
        if behind:
            work.tell(f"{behind} records to copy")
    raise OpsError(f"the mirror of {work.target.name} is {behind} records behind after {CATCH_UP_S:.0f} s")


def seed_source(work: Work) -> Figures:
    """The region that gives up gets a mirror that begins where the other one's own begins."""
    other = _other(work)
    left = seed.marks(other.platform, work.target.topics).behind(seed.Notes(work.target.platform, work.source).read())
    if left:
        work.problem(f"{left} records came to {work.source} after its names led elsewhere: they are there alone")
    begin = seed.from_json(work.journal.operation.figures("offsets")["offsets"])
    return {**_seed(work, other, work.target.name, begin), "left_behind": left}


def stand_by(work: Work) -> Figures:
    """The region that gave up becomes a standby."""
    return _standby(work, _other(work))


def _seed(work: Work, region: Region, source: str, begin: seed.Offsets) -> Figures:
    if region.access.role == "standby":
        work.problem(f"{region.name} is a standby already: its mirror goes on where it is")
        return {"notes": 0}
    return {"notes": seed.seed(region.platform, source, begin)}


def _standby(work: Work, region: Region) -> Figures:
    work.tell(f"`pulumi up` of {region.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("standby", region.stack)
    pulumi.up(region.stack)
    region.refresh()
    return {"role": region.access.role}


def _other(work: Work) -> Region:
    if work.other is None:
        raise OpsError(f"the stack of {work.source} is not known here")
    return work.other


ACTS: dict[str, Callable[[Work], Figures]] = {
    "both": both,
    "seed": seed_target,
    "return": return_target,
    "catch-up": catch_up,
    "seed-back": seed_source,
    "standby": stand_by,
}
