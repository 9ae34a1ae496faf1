"""A disk of its own, as drills make one: full and slow for real, with the tools that the drills use."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError
from ops.drills.tools.disks import Disk, Volume, copied, filled, mounts, taken, volume_of
from tests.support.running import running

SIZE = 8 << 20
ROOM = 4 << 20
"""Of the disk, what files may take at least."""


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    image, place = tmp_path / "image", tmp_path / "place"
    with image.open("wb") as file:
        file.truncate(SIZE)
    place.mkdir()
    run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    device = run("losetup", "--find", "--show", str(image))
    try:
        run("mount", device, str(place))
        try:
            yield Disk("kafka-1", place, Path(device), list)
        finally:
            run("umount", str(place))
    finally:
        run("losetup", "-d", device)


def written(folder: Path, writes: int) -> float:
    """Seconds that so many writes to the disk take."""
    began = time.monotonic()
    handle = os.open(folder / "written", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
    try:
        for number in range(writes):
            os.pwrite(handle, b"x" * 4096, number * 4096)
    finally:
        os.close(handle)
    return time.monotonic() - began


def test_nothing_more_can_be_written_to_a_full_disk_and_then_it_can(disk: Disk) -> None:
    with disk.full() as size:
        assert size > ROOM
        with pytest.raises(OSError, match="No space left on device"):
            written(disk.place, 4)
    assert written(disk.place, 4) >= 0
    assert not list(disk.place.glob("filled-*"))


def test_a_slow_disk_does_so_many_writes_a_second(disk: Disk) -> None:
    written(disk.place, 1)
    with disk.slow(4):
        slow = written(disk.place, 4)
    assert slow > 0.5
    # The best of some: others write to the same disk of the machine.
    assert min(written(disk.place, 4) for _ in range(5)) < slow


def test_a_file_that_cannot_grow_for_another_reason_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OpsError, match=r"full cannot be filled: \[Errno"):
        filled(tmp_path / "full")


def test_a_copy_replaces_what_was_there(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "log").mkdir(parents=True)
    (one / "log" / "0.log").write_text("new")
    (other / "lost+found").mkdir(parents=True)
    (other / "old").write_text("old")
    copied(one, other)
    assert [path.relative_to(other).as_posix() for path in sorted(other.rglob("*"))] == ["log", "log/0.log"]


def test_what_a_folder_takes_is_what_is_written_and_not_what_files_are_long(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0.log").write_bytes(os.urandom(3 << 20))
    with (tmp_path / "log" / "0.index").open("wb") as file:
        file.truncate(10 << 20)
    os.sync()
    assert 3 << 20 <= taken(tmp_path) < 4 << 20


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    line = "1547 1485 254:0 /lab/volumes/pv-1 /var/lib/kafka rw,relatime shared:27 - ext4 /dev/vda rw"
    assert list(mounts(line)) == [("/lab/volumes/pv-1", "/var/lib/kafka")]


def test_the_volume_of_a_pod_is_where_the_kubelet_has_what_its_process_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.drills.tools.disks.processes_of", lambda _: [os.getpid()])
    [root] = [source for source, place in mounts(Path("/proc/self/mountinfo").read_text()) if place == "/"]
    table = tmp_path / "mountinfo"
    places = ("/kubelet/pods/other/volumes/v", "/kubelet/pods/kafka-1/volumes/v")
    table.write_text("".join(f"1 2 254:0 {root} {place} rw - ext4 /dev/vda rw\n" for place in places))
    assert volume_of(running("kafka-1"), "/", table) == Volume(Path(root), Path(places[1]))


def test_the_volume_of_a_pod_elsewhere_is_not_made_slow() -> None:
    with pytest.raises(CannotRunError, match="kafka-1 has no volume of this machine"):
        volume_of(running("kafka-1"), "/var/lib/kafka")
