"""Processes of the peer: started, watched, ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import LabError

START_S, STOP_S = 60.0, 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Processes by name, each with its log in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start one.

        Args:
            name: Its name.
            command: Command line.
            variables: More variables of its environment.
        """
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(variables or {})}
            )

    def file(self, name: str, config: Mapping[str, Any]) -> Path:
        """Write the configuration of one."""
        path = self._folder / f"{_plain(name)}.yaml"
        path.write_text(json.dumps(config))
        return path

    def await_port(self, name: str, port: int) -> None:
        """Wait until one listens on a port of loopback, `START_S` at most.

        Raises:
            LabError: It does not; the message has the end of its log.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self.check(name)
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise LabError(f"{name} did not listen within {START_S:.0f} s: {self._tail(name)}")

    def check(self, name: str) -> None:
        """Be sure that one runs.

        Raises:
            LabError: It has ended; the message has the end of its log.
        """
        process = self._processes[name]
        if process.poll() is not None:
            raise LabError(f"{name} ended with code {process.returncode}: {self._tail(name)}")

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far, by name.

        Raises:
            LabError: One has ended.
        """
        seconds_by_name = {}
        for name, process in self._processes.items():
            self.check(name)
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            seconds_by_name[name] = (int(fields[11]) + int(fields[12])) / _TICKS
        return seconds_by_name

    def stop(self) -> None:
        """End them, by a kill those that take more than `STOP_S`; safe to call twice."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self._folder / f"{_plain(name)}.log"

    def _tail(self, name: str) -> str:
        """The end of its log; of Jaeger and the collector the error is in one of the last lines."""
        return " | ".join(self._log(name).read_text(errors="replace").splitlines()[-3:])[-600:]


def _plain(name: str) -> str:
    return name.replace(" ", "-")
