"""Does the steps of a failover or failback one after another; what the journal says is done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ops.core.errors import OpsError
from ops.regions import failback_steps, failover_steps, lease
from ops.regions.failover_context import FailoverContext, Figures
from ops.regions.plan import Step

STEP_FUNCTIONS: Mapping[str, Callable[[FailoverContext], Figures]] = {
    **failover_steps.STEP_FUNCTIONS,
    **failback_steps.STEP_FUNCTIONS,
}
_FENCED, _LET = "fence", "notify"


def run(
    steps: Sequence[Step],
    context: FailoverContext,
    functions: Mapping[str, Callable[[FailoverContext], Figures]] = STEP_FUNCTIONS,
) -> None:
    """Do what is left to do, and close the journal.

    Raises:
        OpsError: A step cannot be done; the message says which, and what holds until the command is repeated.
    """
    operation = context.journal.operation
    for step in steps:
        if operation.has(step.name) and not step.again:
            context.tell(f"{step.name}: done already")
            continue
        try:
            _still_ours(context)
            context.problems.clear()
            context.tell(f"{step.name}: {step.text(operation.target, operation.source)}")
            context.journal.begin(step.name)
            context.journal.end(step.name, functions[step.name](context), context.problems)
        except OpsError as error:
            raise OpsError(f"{step.name}: {error}{resume_hint(context)}") from None
        context.tell(f"{step.name}: done in {operation.steps[step.name].seconds:.1f} s")
    context.journal.close()


def resume_hint(context: FailoverContext) -> str:
    """What holds until the command is repeated."""
    operation = context.journal.operation
    if operation.has(_FENCED) and not operation.has(_LET):
        return "; nobody is notified of alerts until the command is repeated: it goes on where it stopped"
    return "; the command, repeated, goes on where it stopped" if operation.has(_FENCED) else ""


def _still_ours(context: FailoverContext) -> None:
    """Stop when another command has taken the lease since.

    Raises:
        OpsError: It has.
    """
    operation = context.journal.operation
    if operation.has(_FENCED):
        lease.holds(context.witness, operation.target, context.epoch, notify=operation.has(_LET))
