"""Stops all processes of pods where they stand, through their control groups, and lets them go on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import network
from lab.cluster.processes import wait_until
from lab.errors import LabError

_LIMIT_S = 20.0
_EVERY_S = 0.1


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
        """Ask the kernel to freeze or to thaw it; a group that is gone needs neither."""
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


def pods(instance: str) -> Mapping[str, Group]:
    """UID of each pod of the lab that has processes -> its control group."""
    version = network.cgroup_version()
    root = network.cgroup_root("freezer") / f"obs-{instance}"
    paths = (path for pattern in ("kubepods/pod*", "kubepods/*/pod*") for path in root.glob(pattern) if path.is_dir())
    return {path.name.removeprefix("pod"): Group(path, version) for path in paths}


def freeze(instance: str, uids: Collection[str]) -> int:
    """Freeze pods, and wait until they stand still; safe to repeat.

    Args:
        instance: The lab's.
        uids: UIDs of the pods; those without processes are left out.

    Returns:
        How many there were to freeze.

    Raises:
        LabError: The kernel refuses, or some did not stand still in time.
    """
    chosen = [group for group in _of(instance, uids) if not group.is_frozen()]
    _ask(chosen, frozen=True)

    def still() -> bool:
        moving = [group for group in chosen if group.folder.exists() and not group.is_frozen()]
        # Version 1 gives up where a process could not be stopped at once; asking again goes on.
        _ask(moving, frozen=True)
        return not moving

    wait_until(f"{len(chosen)} pods to stand still", still, timeout_s=_LIMIT_S, every_s=_EVERY_S)
    return len(chosen)


def thaw(instance: str, uids: Collection[str]) -> None:
    """Let pods go on; safe to repeat.

    Raises:
        LabError: The kernel refuses.
    """
    _ask(_of(instance, uids), frozen=False)


def thaw_all(instance: str) -> None:
    """Let every pod of the lab go on: frozen processes of version 1 cannot even be killed.

    Raises:
        LabError: The kernel refuses.
    """
    _ask(pods(instance).values(), frozen=False)


def _of(instance: str, uids: Collection[str]) -> Iterator[Group]:
    return (group for uid, group in pods(instance).items() if uid in uids)


def _ask(groups: Iterable[Group], *, frozen: bool) -> None:
    for group in groups:
        try:
            group.ask(frozen=frozen)
        except OSError as error:
            what = "freeze" if frozen else "thaw"
            raise LabError(f"cannot {what} {group.folder}: {error.strerror} (root is needed)") from None
