"""Background processes of the lab: started once, known by pid and start time, stopped by id and never by name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.paths import CHECKOUT

_STOP_GRACE_S = 15.0
_started: list[subprocess.Popen[bytes]] = []
"""Keeps the handles of children that are meant to outlive us; dropping one would complain that it still runs."""


def wait_until(what: str, check: Callable[[], bool], *, timeout_s: float, every_s: float = 0.25) -> float:
    """Poll ``check`` until it holds and return the seconds waited.

    Raises:
        LabError: It did not hold within ``timeout_s``; the message says what was waited for.
    """
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > timeout_s:
            raise LabError(f"waited {timeout_s:.0f} s for {what}: it did not happen")
        time.sleep(every_s)
    return time.monotonic() - started


def fingerprint(settings: str, sources: Iterable[str]) -> str:
    """What a process of ours is made from.

    Args:
        settings: Its settings.
        sources: Patterns of the files that it runs, below the checkout.
    """
    code = hashlib.sha256(settings.encode())
    for pattern in sources:
        for file in sorted(CHECKOUT.glob(pattern)):
            code.update(file.read_bytes())
    return code.hexdigest()


def start_time(pid: int) -> str | None:
    """Clock ticks at which a process started, or None when it is gone (a zombie counts as gone)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Daemon:
    """A process of the lab that outlives the command that starts it."""

    name: str
    command: Sequence[str]
    state: Path
    environment: dict[str, str] | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.state / "logs" / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.state / "run" / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The live process, or None. A pid that now belongs to another process is not ours."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self) -> None:
        """Start the process unless it is running."""
        if self.pid() is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            child = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.state,
                env={**os.environ, **(self.environment or {})},
            )
        _started.append(child)
        self._pid_file.write_text(f"{child.pid} {start_time(child.pid)}")

    def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL after a grace time."""
        pid = self.pid()
        if pid is not None:
            _end(pid, self.pid)
        self._pid_file.unlink(missing_ok=True)

    def tail(self, lines: int = 8) -> str:
        """End of the log, for error messages."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


def _end(pid: int, alive: Callable[[], int | None]) -> None:
    for sign, grace in ((signal.SIGTERM, _STOP_GRACE_S), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if alive() is None:
                return
            time.sleep(0.05)
