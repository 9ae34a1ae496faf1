"""What a command shows in a terminal: the steps of a long one, and tables whatever its width; and signals that ask a
process to end, held back while something must not stay half done, and given to others.

A drill runs in a process of its own. The command that waits for it names a file in ``OBS_STEPS``, into which each step
is written; the command prints it. Where nobody asks, nothing is written.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich import table
from rich.console import OverflowMethod

from ops.core.errors import OpsError

FILE = "OBS_STEPS"
_LONGEST = 200
_listeners: list[Callable[[str], None]] = []


def say(text: str) -> None:
    """Tell one step. Never fails: a step that cannot be told is no reason to stop."""
    line = " ".join(text.split())[:_LONGEST]
    for listener in tuple(_listeners):
        listener(line)
    if named := os.environ.get(FILE):
        try:
            with Path(named).open("a") as file:
                file.write(f"{line}\n")
        except OSError:
            return


@contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Inside the block a function of this process is told each step."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Reader:
    """Reads the steps that another process writes, each once.

    Args:
        file: Where it writes; made empty.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0
        file.write_text("")

    def new(self) -> list[str]:
        """Whole lines since the last call."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]


def clock(seconds: float) -> str:
    """Seconds as people read them: 45 s, 3 min 20 s."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def confirm(yes: bool, question: str, instead: str = "--yes") -> None:
    """Ask a person whether to go on, unless that was said.

    Args:
        yes: It was said.
        question: What is asked.
        instead: What to give where nobody can be asked.

    Raises:
        OpsError: Nobody can be asked.
        typer.Exit: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise OpsError(f"nobody can be asked here: give {instead}")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


class Table(table.Table):
    """Rich's table, of columns that fold where nothing else is said."""

    def add_column(self, *words: Any, overflow: OverflowMethod = "fold", **options: Any) -> None:
        """Add a column, as ``rich.table.Table.add_column``."""
        super().add_column(*words, overflow=overflow, **options)


_ENDING = (signal.SIGINT, signal.SIGTERM)
_KILLED_S = 10.0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM wait; the first that came has its effect when the block ends.

    Only the main thread gets signals, so nothing is held back in another one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def end(process: subprocess.Popen[Any], seconds: float, ask: signal.Signals = signal.SIGTERM) -> bool:
    """Ask a process to end, and kill it where it does not; whether it ended by itself."""
    if process.poll() is None:
        process.send_signal(ask)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_KILLED_S)
            return False
    return True
