"""Who votes in the Kafka that the first region begins with: its brokers, or dedicated controllers, as in production.

A quorum stays as it was made, so a platform keeps what it began with until it is destroyed.
"""

from __future__ import annotations

from typing import Final

from lab import LabError, environment
from lab.cluster import lifecycle
from lab.paths import LabPaths

COUNT: Final = 3


def refuse_for_another_stack(wanted: bool, stack: str) -> None:
    """Refuse dedicated controllers for a stack that is none of the first region.

    Raises:
        LabError: It is not.
    """
    if wanted and stack != environment.STACK:
        raise LabError(f"--controllers is for the stack {environment.STACK} alone, not for {stack}")


def choose(paths: LabPaths, stack: str, *, wanted: bool) -> bool:
    """Write into the lab's copy of the stack file who votes; what a platform that is there began with stays.

    Args:
        paths: The lab.
        stack: The stack that is brought up.
        wanted: Whether dedicated controllers were asked for.

    Returns:
        Whether it has them.

    Raises:
        LabError: They were asked for, and the brokers of the platform that is there vote.
    """
    namespace, has = str(environment.committed(stack)["namespace"]), environment.controllers(paths, stack) > 0
    if namespace not in lifecycle.namespaces(paths):
        environment.set_controllers(paths, stack, COUNT if wanted else 0)
        return wanted
    if wanted and not has:
        raise LabError(
            f"the brokers of {namespace} vote, and a quorum stays as it was made: run `make destroy` first, then "
            "`python -m lab up --controllers`"
        )
    return has
