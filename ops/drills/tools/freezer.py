"""Pods that stand still through their control groups, all at once: not even a kill ends what is frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.kube import Pod, wait_until
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError
from ops.drills.tools.cgroups import Group, group_of
from ops.drills.tools.faults import processes_of

_STILL_S, _EVERY_S = 20.0, 0.1


def groups(pods: Sequence[Pod]) -> list[Group]:
    """The control groups of pods on this machine.

    Raises:
        CannotRunError: Some run elsewhere.
    """
    known = [group for pod in pods if (group := _group(pod)) is not None]
    if len(known) != len(pods):
        raise CannotRunError(
            f"{len(known)} of {len(pods)} pods run on this machine: run the drill where the cluster's node runs"
        )
    return known


@contextmanager
def frozen(chosen: Sequence[Group]) -> Iterator[None]:
    """Inside the block every process of these groups stands still.

    Raises:
        OpsError: The kernel refuses, or some did not stand still in time.
    """
    say(f"freezing {len(chosen)} pods")
    try:
        _ask(chosen, freeze=True)

        def still() -> bool:
            moving = [group for group in chosen if not group.is_frozen()]
            # Version 1 gives up where a process could not be stopped at once; asking again goes on.
            _ask(moving, freeze=True)
            return not moving

        wait_until(still, _STILL_S, f"{len(chosen)} pods to stand still", _EVERY_S)
        yield
    finally:
        say(f"thawing {len(chosen)} pods")
        _ask(chosen, freeze=False)


def _group(pod: Pod) -> Group | None:
    for process in processes_of(pod):
        try:
            group = group_of(Path(f"/proc/{process}/cgroup").read_text(), pod.uid)
        except OSError:
            continue
        if group is not None and group.folder.is_dir():
            return group
    return None


def _ask(chosen: Iterable[Group], *, freeze: bool) -> None:
    refused: list[str] = []
    for group in chosen:
        try:
            group.ask(frozen=freeze)
        except OSError as error:
            refused.append(f"cannot {'freeze' if freeze else 'thaw'} {group.folder}: {error.strerror} (root is needed)")
    if refused:
        raise OpsError(refused[0])
