"""The Kafka that the first region begins with: its release, and who votes in its quorum.

The release is the platform's own, or the one before it, to be upgraded; a platform that began with the newer one cannot
go back, since Kafka formats its storage with what the older one may not know. The brokers vote, or dedicated
controllers, as in production; a quorum stays as it was made, so a platform keeps what it began with.
"""

from __future__ import annotations

from typing import Final

from lab import LabError, environment, registry
from lab.cluster import lifecycle
from lab.paths import LabPaths
from lab.toolchain import containers

PINNED: Final = "pinned"
PREVIOUS: Final = "previous"


def is_previous(release: str, stack: str) -> bool:
    """Whether the release before is asked for.

    Args:
        release: What was typed.
        stack: The stack that is brought up.

    Raises:
        LabError: There is no such choice, or not for this stack.
    """
    if release not in (PINNED, PREVIOUS):
        raise LabError(f"--kafka {release}: allowed are {PINNED}, {PREVIOUS}")
    if release == PREVIOUS and stack != environment.STACK:
        raise LabError(f"--kafka {PREVIOUS} is for the stack {environment.STACK} alone, not for {stack}")
    return release == PREVIOUS


def built(previous: bool) -> dict[str, str]:
    """Name of the further image that the choice needs -> its id."""
    return {containers.KAFKA_BEFORE: containers.build_previous_kafka()} if previous else {}


def refuse_on_a_newer_one(paths: LabPaths, stack: str) -> None:
    """Refuse the release before on a platform that runs the platform's own.

    Raises:
        LabError: It does.
    """
    namespace = str(environment.committed(stack)["namespace"])
    if namespace in lifecycle.namespaces(paths) and not environment.runs_previous_kafka(paths, stack):
        raise LabError(
            f"{namespace} runs a newer release of Kafka, and the one before may not read what that wrote: run "
            f"`make destroy` first, then `python -m lab up --kafka {PREVIOUS}`"
        )


def set_release(paths: LabPaths, stack: str, *, previous: bool) -> None:
    """Write the digest of the chosen release into the lab's copy of the stack file.

    Raises:
        LabError: The registry has no such image.
    """
    digest = registry.previous_kafka(paths) if previous else registry.digests(paths).get("kafka", "")
    if not digest:
        raise LabError("the registry of images has no Kafka: run `make up`")
    environment.set_kafka(paths, stack, digest)


CONTROLLERS: Final = 3


def refuse_controllers_for_another_stack(wanted: bool, stack: str) -> None:
    """Refuse dedicated controllers for a stack that is none of the first region.

    Raises:
        LabError: It is not.
    """
    if wanted and stack != environment.STACK:
        raise LabError(f"--controllers is for the stack {environment.STACK} alone, not for {stack}")


def choose_controllers(paths: LabPaths, stack: str, *, wanted: bool) -> bool:
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
        environment.set_controllers(paths, stack, CONTROLLERS if wanted else 0)
        return wanted
    if wanted and not has:
        raise LabError(
            f"the brokers of {namespace} vote, and a quorum stays as it was made: run `make destroy` first, then "
            "`python -m lab up --controllers`"
        )
    return has
