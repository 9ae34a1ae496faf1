"""The brokers are asked by a process of their own, whose end is one missed poll and not the end of the exporter.

librdkafka 2.16.0 aborts its whole process when the coordinator of a group comes back after a question about the group
was given up ("eonce->refcnt > 0", librdkafka's pull request 5397): a restart of a broker is enough.
The child is asked over a pipe, and ends when its parent is gone.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from services.kafka_lag.model import REQUEST_S, PollResult

LIMIT_S = 5 * REQUEST_S
"""A poll is several requests one after the other; it counts as stuck only well after all of them timed out."""
STAGE = "process"
"""Stage of a poll that the child did not survive."""


def command(config: Path) -> tuple[str, ...]:
    """What starts the child, without the number of its end of the pipe."""
    return (sys.executable, "-m", "services.kafka_lag.child", "--config", str(config), "--pipe")


class ChildProcess:
    """A child that polls when it is asked; not for several threads."""

    def __init__(self, child: Sequence[str], limit_s: float = LIMIT_S) -> None:
        """Start children by the command ``child``; kill one that takes longer than ``limit_s`` seconds."""
        self._command = tuple(child)
        self._limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def poll(self) -> PollResult:
        """Poll once; a child that ends or hangs is a failure of this poll, and the next one has a new child."""
        try:
            pipe = self._pipe or self._start()
            pipe.send(None)
            if not pipe.poll(self._limit_s):
                self.close()
                return _failed(f"did not answer within {self._limit_s:g} s")
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            code = self.close()
            return _failed(f"could not be started: {error}" if code is None else _ended(code))
        return answer if isinstance(answer, PollResult) else _failed("gave an answer that is no poll result")

    def close(self) -> int | None:
        """End the child; how it ended, None if there is none. One that ended by itself keeps its own code."""
        child, pipe = self._child, self._pipe
        self._child = self._pipe = None
        if pipe is not None:
            pipe.close()
        if child is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            # What ended the pipe is a moment earlier than the end of the process.
            return child.wait(1)
        child.kill()
        return child.wait()

    def kill(self) -> None:
        """End the child at once, from any thread: nobody asks any more."""
        child = self._child
        if child is not None:
            child.kill()

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        try:
            self._child = subprocess.Popen([*self._command, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe = ours
        return ours


def answer(pipe: Connection, poll: Callable[[], PollResult]) -> None:
    """The child's part: poll whenever the parent asks, until it is gone."""
    with pipe, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.recv()
            pipe.send(poll())


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _failed(how: str) -> PollResult:
    return PollResult(failures=((STAGE, f"the process that asks the brokers {how}; the next poll has a new one"),))
