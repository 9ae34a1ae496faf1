"""What the steps of a failback do beside those of the planned failover that it contains."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.core.errors import OpsError
from ops.regions import lease, mirror_offsets, preflight, pulumi
from ops.regions.failover_context import FailoverContext, Figures
from ops.regions.journal import operations, promotion
from ops.regions.region import Region

CATCH_UP_S = 900.0
WITHIN_S = 10.0
"""Caught up is a mirror that has copied within so many seconds what the other region had, twice in a row."""
_TIMES = 2
_PAUSE_S = 1.0


def both(context: FailoverContext) -> Figures:
    """Whether a failback is possible at all.

    Raises:
        OpsError: The lease is not the source's, a region gives no sign of life, or nobody knows where it took over.
    """
    current = lease.current(context.witness)
    if current is None or not current[0].may_notify(context.source):
        raise OpsError(f"{context.source} does not hold the lease: there is nothing to fail back from")
    now = datetime.now(UTC)
    for name in (context.source, context.target.name):
        last = preflight.heartbeat(context.witness, name)
        if last is None or last.age(now) > preflight.FRESH_S:
            silent = f"since {last.age(now):.0f} s" if last else "for ever"
            raise OpsError(f"{name} gives no sign of life {silent}: bring it up first, then fail back")
    known = [operation for operation in operations(context.witness) if operation.id != context.journal.operation.id]
    took_over = promotion(known, context.source)
    if took_over is None:
        raise OpsError(
            f"no journal tells where {context.source} took over: without it everything would be copied again"
        )
    return {"operation": took_over.id, "offsets": took_over.figures("offsets")["offsets"], "epoch": current[0].epoch}


def set_target_offsets(context: FailoverContext) -> Figures:
    """The returning region's mirror begins where the other one took over."""
    begin = mirror_offsets.from_json(context.journal.operation.figures("both")["offsets"])
    return _set_offsets(context, context.target, context.source, begin)


def return_target(context: FailoverContext) -> Figures:
    """The returning region becomes a standby, and its mirror runs."""
    return _standby(context, context.target)


def catch_up(context: FailoverContext) -> Figures:
    """Wait until the mirror of the returning region has caught up.

    Raises:
        OpsError: It does not within ``CATCH_UP_S``.
    """
    other, offsets = _other(context), mirror_offsets.ConnectOffsets(context.target.platform, context.source)
    began, times, behind = time.monotonic(), 0, 0
    context.tell(f"waiting up to {CATCH_UP_S / 60:.0f} min for the mirror of {context.target.name}")
    while time.monotonic() - began < CATCH_UP_S:
        wanted, round_began = mirror_offsets.marks(other.platform, context.target.topics), time.monotonic()
        while (behind := wanted.behind(offsets.read())) and time.monotonic() - round_began < WITHIN_S:
            time.sleep(_PAUSE_S)
        times = 0 if behind else times + 1
        if times == _TIMES:
            return {"caught_up_after_s": round(time.monotonic() - began, 1)}
        if behind:
            context.tell(f"{behind} records to copy")
    raise OpsError(f"the mirror of {context.target.name} is {behind} records behind after {CATCH_UP_S:.0f} s")


def set_source_offsets(context: FailoverContext) -> Figures:
    """The region that gives up gets a mirror that begins where the other one's own begins."""
    other = _other(context)
    left = mirror_offsets.marks(other.platform, context.target.topics).behind(
        mirror_offsets.ConnectOffsets(context.target.platform, context.source).read()
    )
    if left:
        context.problem(f"{left} records came to {context.source} after its names led elsewhere: they are there alone")
    begin = mirror_offsets.from_json(context.journal.operation.figures("offsets")["offsets"])
    return {**_set_offsets(context, other, context.target.name, begin), "left_behind": left}


def stand_by(context: FailoverContext) -> Figures:
    """The region that gave up becomes a standby."""
    return _standby(context, _other(context))


def _set_offsets(context: FailoverContext, region: Region, source: str, begin: mirror_offsets.Offsets) -> Figures:
    if region.access.role == "standby":
        context.problem(f"{region.name} is a standby already: its mirror goes on where it is")
        return {"offsets_written": 0}
    return {"offsets_written": mirror_offsets.write(region.platform, source, begin)}


def _standby(context: FailoverContext, region: Region) -> Figures:
    context.tell(f"`pulumi up` of {region.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("standby", region.stack)
    pulumi.up(region.stack)
    region.refresh()
    return {"role": region.access.role}


def _other(context: FailoverContext) -> Region:
    if context.other is None:
        raise OpsError(f"the stack of {context.source} is not known here")
    return context.other


STEP_FUNCTIONS: dict[str, Callable[[FailoverContext], Figures]] = {
    "both": both,
    "mirror-offsets": set_target_offsets,
    "return": return_target,
    "catch-up": catch_up,
    "mirror-offsets-back": set_source_offsets,
    "standby": stand_by,
}
