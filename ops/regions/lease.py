"""Taking the lease in two phases, and waiting for the failover agents that follow it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.core.errors import OpsError
from ops.regions.preflight import FRESH_S, heartbeat
from ops.regions.region import witness_errors
from services.regions.records import Heartbeat, Lease, now
from services.regions.witness import Witness

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


def take(witness: Witness, holder: str, by: str, reason: str) -> Lease:
    """First phase: the lease is the new holder's, and no region is active until `let`.

    Taking what one has already in this phase, from an interrupted command, changes nothing.

    Raises:
        OpsError: Somebody else was faster, or the witness does not answer.
    """
    held_lease = current(witness)
    if held_lease is not None and held_lease[0].holder == holder and not held_lease[0].notify:
        return held_lease[0]
    epoch = (held_lease[0].epoch if held_lease else 0) + 1
    lease = Lease(holder=holder, epoch=epoch, notify=False, since=now(), by=by, reason=reason)
    with witness_errors():
        witness.take(lease, held_lease[1] if held_lease else None)
    return lease


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
    seen: list[Heartbeat | None] = []

    def done() -> bool:
        seen.append(heartbeat(witness, region))
        last = seen[-1]
        return last is None or last.age(datetime.now(UTC)) > FRESH_S or _confirmed(last, epoch)

    _wait(done, seconds)
    last = seen[-1]
    if last is None:
        return False, f"{region} has never given a sign of life"
    if _confirmed(last, epoch):
        return True, f"{region} has confirmed that it is silent"
    age = last.age(datetime.now(UTC))
    if age > FRESH_S:
        return False, f"{region} gives no sign of life since {age:.0f} s: it is silent once it is isolated"
    return False, f"{region} is alive and has not confirmed within {seconds:.0f} s that it is silent"


def notifies(witness: Witness, region: str, epoch: int, seconds: float = NOTIFY_S) -> bool:
    """Wait until a region says that it is active."""

    def done() -> bool:
        last = heartbeat(witness, region)
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
