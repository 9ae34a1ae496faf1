"""A container of a test: its own processes and file system, as a pod's, on the machine's network.

Root owns what Kubernetes would mount, with the modes that Kubernetes gives it; the root file system cannot be written;
the processes are the pods' user and have no right.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.k8s import UID
from tests.config.servers import eventually

STOP_S = 60.0

_CONTAINER = """
set -euo pipefail
root=$1 binds=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir usr bin sbin etc dev proc tmp var var/lib var/run
ln -s usr/lib lib; ln -s usr/lib64 lib64; ln -s /usr/bin/sh bin/sh
mount --bind -o ro /usr usr; mount --rbind /dev dev; mount -t proc proc proc
while IFS=$'\\t' read -r mode source target; do
  if [[ -d $source ]]; then mkdir -p "$root$target"; else mkdir -p "$(dirname "$root$target")"; touch "$root$target"; fi
  mount --bind "$source" "$root$target"
  mount -o "remount,bind,$mode" "$root$target"
done <"$binds"
mount -o remount,ro "$root"
exec chroot --userspec=UID:UID --groups=UID "$root" "$@"
""".replace("UID", str(UID))


def write_file(path: Path, content: bytes | str, mode: int) -> None:
    """A file of root's that the pods' user may read."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.chown(path, 0, UID)
    path.chmod(mode)


def write_volume(folder: Path, files: Mapping[str, str], *, secret: bool) -> None:
    """A ConfigMap or a Secret as a volume."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        write_file(folder / name, content, 0o440 if secret else 0o444)


def scratch(folder: Path) -> None:
    """A volume that the pods' user may write to."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, 0, UID)
    folder.chmod(0o2775)


@dataclass
class Container:
    """Processes of one container.

    Attributes:
        folder: Folder of everything that it mounts.
        mounts: Path in the container -> path on the machine and ``ro`` or ``rw``.
        command: Its command line.
        environment: Its environment.
    """

    folder: Path
    mounts: Mapping[str, tuple[Path, str]]
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that it has written."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it on what is in its volumes."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        scratch(self.folder / "tmp")
        binds = {**self.mounts, "/tmp": (self.folder / "tmp", "rw")}
        lines = [f"{mode}\t{source}\t{target}\n" for target, (source, mode) in binds.items()]
        (self.folder / "binds").write_text("".join(lines))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash", "-c"]
                + [_CONTAINER, "container", str(root), str(self.folder / "binds"), "/usr/bin/env", "-i"]
                + [f"{name}={value}" for name, value in self.environment.items()]
                + list(self.command),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def first(self) -> int:
        """Number of its first process on the machine."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        eventually(lambda: bool(children.read_text().split()), 5, "the container has a process")
        return int(children.read_text().split()[0])

    def run(self, command: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a further command in it, as ``kubectl exec`` does."""
        entered = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--root", "--wd"]
        entered += [f"--setuid={UID}", f"--setgid={UID}", "--", "/usr/bin/env", "-i", "--chdir=/"]
        entered += [f"{name}={value}" for name, value in self.environment.items()]
        return subprocess.run([*entered, *command], capture_output=True, text=True, check=check, timeout=90)

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def end(self, *, kill: bool = False) -> None:
        """End it in good order, or all its processes at once."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.first, 9 if kill else 15)
            try:
                self.process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=60)
                raise AssertionError(f"it did not end within {STOP_S} s:\n{self.log[-3000:]}") from None
        self.process = None
