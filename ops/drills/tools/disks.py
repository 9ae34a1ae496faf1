"""A disk of its own for a pod of the embedded cluster: one that can be full, and one that is slow.

The volumes of the embedded cluster are folders of one disk. So the content of a volume moves into a file system of its
own (ext4 in a file, through a loop device), is laid over the volume, and the container starts again with it. All of it
needs root on the machine where the node runs.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, Pod
from ops.core.terminal import say, uninterrupted
from ops.drills.procedure import CannotRunError
from ops.drills.tools.faults import groups, groups_frozen, kill, processes_of, put_back

_BLKIO: Final = Path("/sys/fs/cgroup/blkio")
_WRITES: Final = "blkio.throttle.write_iops_device"
_FILL: Final = "filled-by-a-drill"
_LARGEST, _SMALLEST = 64 << 20, 4096
_COMMAND_S: Final = 120.0


@dataclass(frozen=True)
class Volume:
    """A volume of a pod on this machine.

    Attributes:
        folder: Its content.
        place: Where the kubelet has it, from which containers get it.
    """

    folder: Path
    place: Path


@dataclass(frozen=True)
class Disk:
    """A file system of a pod alone.

    Attributes:
        name: Of the pod.
        place: Where it is on the node.
        device: Its loop device.
        groups: Gives the control groups of block devices that the pod's processes are in now.
    """

    name: str
    place: Path
    device: Path
    groups: Callable[[], Sequence[Path]]

    @contextmanager
    def full(self) -> Iterator[int]:
        """Fill it to the last block inside the block; gives the bytes that this took.

        Raises:
            OpsError: It cannot be filled.
        """
        say(f"filling the disk of {self.name}")
        target = self.place / _FILL
        try:
            yield filled(target)
        finally:
            say(f"making room on the disk of {self.name}")
            target.unlink(missing_ok=True)

    @contextmanager
    def slow(self, writes_per_s: int) -> Iterator[None]:
        """Let it do no more than so many writes a second inside the block.

        Raises:
            OpsError: The kernel does not limit what a device does.
        """
        number = os.stat(self.device).st_rdev
        device = f"{os.major(number)}:{os.minor(number)}"
        # Writes of the page cache belong to the root of the hierarchy, those of fsync to who calls it.
        folders = [_BLKIO, *self.groups()]
        say(f"the disk of {self.name} does {writes_per_s} writes a second")
        try:
            for folder in folders:
                _limit(folder, device, writes_per_s)
            yield
        finally:
            say(f"the disk of {self.name} is as fast as it was")
            for folder in folders:
                with suppress(OpsError):
                    _limit(folder, device, 0)


@contextmanager
def own_disk(kube: Kube, pod: Pod, path: str, room: int) -> Iterator[Disk]:
    """Give a pod a disk of its own for one of its volumes inside the block; it starts again at both ends of it.

    Args:
        kube: The cluster.
        pod: The pod.
        path: Where its container has the volume.
        room: Bytes that are free on it beside what the volume holds, about.

    Raises:
        CannotRunError: The pod or its volume is not on this machine.
        OpsError: No such disk can be made.
    """
    volume = volume_of(pod, path)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="obs-drill-disk-")))
        image, draft = work / "image", work / "draft"
        with image.open("wb") as file:
            file.truncate(taken(volume.folder) + room)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        with uninterrupted():
            device = Path(_run("losetup", "--find", "--show", str(image)))
            stack.callback(_quietly, "losetup", "-d", str(device))
        draft.mkdir()
        say(f"a disk of its own for {pod.name}")
        with groups_frozen(groups([pod])), uninterrupted():
            _run("mount", str(device), str(draft))
            try:
                copied(volume.folder, draft)
            finally:
                _run("umount", str(draft))
            _run("mount", str(device), str(volume.place))
            stack.callback(put_back, f"the volume of {pod.name}", lambda: _give_back(kube, pod, device, volume))
            kill(kube, pod)
        yield Disk(pod.name, volume.place, device, lambda: _block_groups(_now(kube, pod)))


def _give_back(kube: Kube, pod: Pod, device: Path, volume: Volume) -> None:
    """The volume as it was, with what was written meanwhile.

    Raises:
        OpsError: A step failed, or a container began on the disk during it: may be repeated.
    """
    say(f"the volume of {pod.name} as it was")
    known = _now(kube, pod)
    runs = bool(processes_of(known))
    with groups_frozen(groups([known])) if runs else nullcontext():
        if _is_mounted(device, volume.place):
            replaced(volume.place, volume.folder)
            _run("umount", str(volume.place))
        if runs:
            kill(kube, known)
    if not runs and processes_of(_now(kube, pod)):
        _run("mount", str(device), str(volume.place))
        raise OpsError(f"{pod.name} began while its volume was copied")


def _now(kube: Kube, pod: Pod) -> Pod:
    """The pod with its containers of now.

    Raises:
        OpsError: It was replaced by another one.
    """
    for known in kube.pods(pod.workload):
        if known.uid == pod.uid:
            return known
    raise OpsError(f"{pod.name} was replaced while it had a disk of its own: remove that of {pod.uid} by hand")


def volume_of(pod: Pod, path: str, table: Path = Path("/proc/self/mountinfo")) -> Volume:
    """The volume that a pod has at a path.

    Raises:
        CannotRunError: It is none of this machine.
    """
    here = [(source, place) for source, place in mounts(table.read_text()) if pod.uid in place]
    for process in processes_of(pod):
        with suppress(OSError):
            inside = {target: source for source, target in mounts(Path(f"/proc/{process}/mountinfo").read_text())}
            for source, place in here:
                if source == inside.get(path):
                    return Volume(Path(source), Path(place))
    raise CannotRunError(f"{pod.name} has no volume of this machine: run the drill where the embedded cluster runs")


def mounts(table: str) -> Iterator[tuple[str, str]]:
    """What is mounted from where inside of its file system, and at what place, of lines of ``mountinfo``."""
    for line in table.splitlines():
        fields = line.split()
        yield fields[3], fields[4]


def _is_mounted(device: Path, place: Path, table: Path = Path("/proc/self/mountinfo")) -> bool:
    lines = [line.split() for line in table.read_text().splitlines()]
    return any(fields[4] == str(place) and str(device) in fields[5:] for fields in lines)


def taken(folder: Path) -> int:
    """Bytes that a folder's content takes on its disk; what goes meanwhile counts for nothing."""
    size = 0
    for entry in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += entry.lstat().st_blocks * 512
    return size


def filled(target: Path) -> int:
    """Bytes of a new file that takes all room of its file system.

    Raises:
        OpsError: Something else than want of room ended it.
    """
    size, step = 0, _LARGEST
    with target.open("wb") as file:
        while step >= _SMALLEST:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise OpsError(f"{target} cannot be filled: {one_line(error)}") from None
                step //= 2
    return size


def copied(source: Path, target: Path) -> None:
    """Make a folder's content that of another one, owners and times included."""
    _empty(target)
    _run("cp", "-a", f"{source}/.", str(target))


def replaced(source: Path, target: Path) -> None:
    """Do as `copied` does, by way of a folder beside the target.

    Raises:
        OpsError: It cannot be copied; the folder has all that it had.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as draft:
        copied(source, Path(draft))
        _empty(target)
        for entry in Path(draft).iterdir():
            entry.rename(target / entry.name)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _block_groups(pod: Pod) -> Sequence[Path]:
    folders = dict[Path, None]()
    for process in processes_of(pod):
        with suppress(OSError):
            for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if "blkio" in controllers.split(","):
                    folders[_BLKIO / path.lstrip("/")] = None
    return list(folders)


def _limit(folder: Path, device: str, writes_per_s: int) -> None:
    try:
        (folder / _WRITES).write_text(f"{device} {writes_per_s}")
    except OSError as error:
        raise OpsError(f"the kernel limits no device here: {one_line(error)}") from None


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, timeout=_COMMAND_S, capture_output=True, text=True).stdout.strip()
    except subprocess.CalledProcessError as error:
        raise OpsError(f"{command[0]} failed: {one_line(error.stderr)} (root is needed)") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise OpsError(f"{command[0]} failed: {one_line(error)}") from None


def _quietly(*command: str) -> None:
    with suppress(OpsError):
        _run(*command)
