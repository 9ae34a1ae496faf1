"""Does the steps of a failover or failback one after another; what the journal says is done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ops.errors import OpsError
from ops.regions import act, back, lease
from ops.regions.plan import Step
from ops.regions.work import Figures, Work

ACTS: Mapping[str, Callable[[Work], Figures]] = {**act.ACTS, **back.ACTS}
_FENCED, _LET = "fence", "notify"


def run(steps: Sequence[Step], work: Work, acts: Mapping[str, Callable[[Work], Figures]] = ACTS) -> None:
    """Do what is left to do, and close the journal.

    Raises:
        OpsError: A step cannot be done; the message says which, and what holds until the command is repeated.
    """
    operation = work.journal.operation
    for step in steps:
        if operation.has(step.name) and not step.again:
            work.tell(f"{step.name}: done already")
            continue
        try:
            _still_ours(work)
            work.problems.clear()
            work.tell(f"{step.name}: {step.text(operation.target, operation.source)}")
            work.journal.begin(step.name)
            work.journal.end(step.name, acts[step.name](work), work.problems)
        except OpsError as error:
            raise OpsError(f"{step.name}: {error}{advice(work)}") from None
        work.tell(f"{step.name}: done in {operation.steps[step.name].seconds:.1f} s")
    work.journal.close()


def advice(work: Work) -> str:
    """What holds until the command is repeated."""
    operation = work.journal.operation
    if operation.has(_FENCED) and not operation.has(_LET):
        return "; nobody is told of alerts until the command is repeated: it goes on where it stopped"
    return "; the command, repeated, goes on where it stopped" if operation.has(_FENCED) else ""


def _still_ours(work: Work) -> None:
    """Stop when another command has taken the lease since.

    Raises:
        OpsError: It has.
    """
    operation = work.journal.operation
    if operation.has(_FENCED):
        lease.holds(work.witness, operation.target, work.epoch, notify=operation.has(_LET))
