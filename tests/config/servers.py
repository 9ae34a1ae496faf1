"""Starts a real server for a test, on free ports, and ends it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.ports import free_port as free_port

START_SECONDS = 120
"""Ends a start that hangs."""
PATIENCE_S = 120.0
"""The least that a wait is given whose length nobody promises: others use the cores too."""
_LOOK_S, _LONGEST_LOOK_S = 0.1, 0.5
"""Between two looks: at first, and where nothing came for two seconds. Each is a request over TLS, with its answer."""


@contextmanager
def running(
    command: Sequence[str], log: Path, port: int, *, kill: bool = False, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from the moment it listens on ``port`` until the block ends, gently or by a kill.

    Args:
        command: Command line.
        log: Where its output goes; it runs in that folder.
        port: Of the loopback address.
        kill: Whether it is killed at the end.
        variables: More variables of its environment.
    """
    environment = {**os.environ, **(variables or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, env=environment)
        try:
            eventually(lambda: listens(process, port, log), START_SECONDS, f"{command[0]} listens on {port}")
            yield process
        finally:
            (process.kill if kill else process.terminate)()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=60)


def eventually(condition: Callable[[], bool], seconds: float, what: str, *, promised: bool = False) -> None:
    """Wait until ``condition`` holds.

    Args:
        condition: Asked ten times a second at first, twice a second later where the time is not promised.
        seconds: The longest wait. Where the time is not promised it only ends a hang, and is `PATIENCE_S` at least.
        what: Should come true.
        promised: Whether the time itself is what the test shows.
    """
    limit = seconds if promised else max(seconds, PATIENCE_S)
    deadline, pause = time.monotonic() + limit, _LOOK_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(pause)
        pause = pause if promised else min(1.2 * pause, _LONGEST_LOOK_S)


def listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    """Whether a process that has to run listens on a port of the loopback address."""
    assert process.poll() is None, f"it ended with code {process.returncode}:\n{log.read_text()[-3000:]}"
    return port_is_open(port)


def answers(url: str, **options: Any) -> bool:
    """Whether a GET is answered with 200; a server that listens is not always one that has read its data."""
    try:
        return requests.get(url, timeout=5, **options).status_code == 200
    except requests.RequestException:
        return False


def port_is_open(port: int) -> bool:
    """Whether something listens on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def steady(read: Callable[[], float], interval_s: float = 6.0, limit_s: float = 60.0) -> float:
    """A positive value that was the same in two readings further apart than a collector's own reporting interval."""
    deadline = time.monotonic() + limit_s
    last = -1.0
    while (value := read()) <= 0 or value != last:
        assert time.monotonic() < deadline, f"not steady within {limit_s} s: last value {value}"
        last = value
        time.sleep(interval_s)
    return value
