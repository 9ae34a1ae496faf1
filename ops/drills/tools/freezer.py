"""Pods that stand still through their control groups, version 1 and 2, all at once: no kill ends a frozen one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.core.errors import OpsError
from ops.core.kube import Pod, wait_until
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError
from ops.drills.tools.faults import processes_of

CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Group:
    """A control group that can be frozen with everything below it.

    Attributes:
        folder: Its folder.
        version: Of the hierarchy that it is in, 1 or 2.
    """

    folder: Path
    version: int

    def ask(self, *, frozen: bool) -> None:
        """Ask the kernel to freeze or to thaw it; a group that is gone needs neither.

        Raises:
            OSError: The kernel refuses.
        """
        name, words = ("freezer.state", ("THAWED", "FROZEN")) if self.version == 1 else ("cgroup.freeze", "01")
        try:
            (self.folder / name).write_text(words[frozen])
        except OSError:
            if self.folder.exists():
                raise

    def is_frozen(self) -> bool:
        """Whether every process in it stands still."""
        try:
            if self.version == 1:
                return (self.folder / "freezer.state").read_text().strip() == "FROZEN"
            return "frozen 1" in (self.folder / "cgroup.events").read_text().splitlines()
        except OSError:
            return False


def group_of(cgroup: str, uid: str, root: Path = CGROUPS) -> Group | None:
    """The control group of a pod, of whose processes one is in ``cgroup``, as ``/proc/<process>/cgroup`` tells; None
    where it tells of none.
    """
    names = (uid, uid.replace("-", "_"))
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        unified = controllers == "" and (root / "cgroup.controllers").exists()
        if not unified and controllers != "freezer":
            continue
        parts = Path(path.lstrip("/")).parts
        for position, part in enumerate(parts):
            if re.search(rf"pod(?:{'|'.join(map(re.escape, names))})(?:\.slice)?$", part):
                folder = (root if unified else root / "freezer").joinpath(*parts[: position + 1])
                return Group(folder, 2 if unified else 1)
    return None


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
