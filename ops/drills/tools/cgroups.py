"""Control groups of the kernel that can be frozen, version 1 and 2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
