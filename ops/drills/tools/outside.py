"""What drills have done outside the platform, by commands that only the place it runs in knows: the object storage
stopped and started, a region cut off, new passwords given to clients.

`VARIABLE` names a file with them; the lab's is named by ``python -m lab exec``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ops.core import files
from ops.core.errors import OpsError, one_line
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError
from ops.drills.tools.faults import put_back

VARIABLE: Final = "OBS_DRILL_COMMANDS"
"""Environment variable that names the file of `Commands`."""
NAMESPACE: Final = "{namespace}"
"""Stands in a word for the namespace of the region that is cut off."""
TAKE_AWAY_S: Final = 120.0
PUT_BACK_S: Final = 80.0
"""Of each of two attempts: together less than a drill that is ended has to put things back."""
_ENDS_S: Final = 30.0
_MOST_SHOWN: Final = 200

_Named = TypeVar("_Named")

Command = Annotated[tuple[str, ...], Field(min_length=1)]
"""A program and its arguments."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StorageCommands(_Model):
    """The object storage that backups are in.

    Attributes:
        stop: Stops it.
        start: Starts it again, and ends once it answers; does no harm where it runs.
    """

    stop: Command
    start: Command


class RegionCommands(_Model):
    """A region; in each word `NAMESPACE` stands for its namespace.

    Attributes:
        cut: Cuts it off without warning: no packet leaves or reaches it, and its pods stand still.
        thaw: Lets its pods go on, still cut off.
        reconnect: Ends both; does no harm where it is not cut off.
        beside: Runs beside the drill until its standard input ends, for what the place needs meanwhile.
    """

    cut: Command
    thaw: Command
    reconnect: Command
    beside: Command | None = None


class ClientCommands(_Model):
    """Clients of the gateway that are not the drill's own.

    Attributes:
        renew: Gives them the passwords of the stack's outputs, and ends once they send with these.
    """

    renew: Command


class Commands(_Model):
    """In a file, as JSON; what a place cannot do is left out."""

    storage: StorageCommands | None = None
    region: RegionCommands | None = None
    clients: ClientCommands | None = None

    @classmethod
    def of_environment(cls) -> Commands:
        """What the environment names; nothing where it names no file.

        Raises:
            CannotRunError: It names no file of this kind.
        """
        named = os.environ.get(VARIABLE)
        if not named:
            return cls()
        try:
            return files.read_json(cls, Path(named), named=VARIABLE)
        except OpsError as error:
            raise CannotRunError(str(error)) from None


def storage_commands() -> StorageCommands:
    """How the object storage is stopped and started.

    Raises:
        CannotRunError: Nobody says how.
    """
    return _said(
        Commands.of_environment().storage,
        "the object storage is stopped and started",
        '"storage": {"stop": [...], ...}',
    )


def region_commands() -> RegionCommands:
    """How a region is cut off and reconnected.

    Raises:
        CannotRunError: Nobody says how.
    """
    return _said(
        Commands.of_environment().region, "a region is cut off and reconnected", '"region": {"cut": [...], ...}'
    )


def client_commands() -> ClientCommands:
    """How clients get new passwords.

    Raises:
        CannotRunError: Nobody says how.
    """
    return _said(Commands.of_environment().clients, "clients get new passwords", '"clients": {"renew": [...]}')


def _said(commands: _Named | None, what: str, form: str) -> _Named:
    if commands is None:
        form = f"{VARIABLE} must name a file with {{{form}}}"
        raise CannotRunError(f"nothing tells how {what}: {form} (in the lab: python -m lab exec --)")
    return commands


def run(command: Sequence[str], limit_s: float) -> str:
    """Run a command; what it said, in one line.

    It has a session of its own, so that Ctrl-C ends the drill, and not what puts things back.

    Raises:
        OpsError: It cannot be started, fails, or takes too long.
    """
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=limit_s,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise OpsError(f"`{shlex.join(command)}` took over {limit_s:.0f} s and was ended") from None
        except OSError as error:
            raise OpsError(f"`{shlex.join(command)}` cannot be started: {error.strerror}") from None
        output.seek(0)
        said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    if done.returncode:
        reason = one_line(said[-1], _MOST_SHOWN) if said else f"exit code {done.returncode}"
        raise OpsError(f"`{shlex.join(command)}` failed: {reason}")
    return one_line("; ".join(said), _MOST_SHOWN) if said else ""


def try_first(what: str, back: Sequence[str]) -> None:
    """Run what puts something back while nothing is away yet.

    Raises:
        CannotRunError: It fails already now.
    """
    try:
        run(back, PUT_BACK_S)
    except OpsError as error:
        raise CannotRunError(f"{what} could not be put back: {error}") from None


@contextmanager
def taken_away(what: str, away: Sequence[str], back: Sequence[str]) -> Iterator[str]:
    """Take something away inside the block and put it back however the block ends; what the command said.

    Args:
        what: For messages, for example ``the object storage``.
        away: Command that takes it away.
        back: Command that puts it back, see `try_first`.

    Raises:
        OpsError: It cannot be taken away, or is not put back after two attempts.
    """
    say(f"taking {what} away")
    try:
        yield run(away, TAKE_AWAY_S)
    finally:
        say(f"putting {what} back")
        put_back(what, lambda: run(back, PUT_BACK_S), attempts=2)


@contextmanager
def beside(command: Sequence[str] | None) -> Iterator[None]:
    """Have a command run beside the block; none is none.

    Its standard input ends with the block, or with the drill's process.

    Raises:
        OpsError: It cannot be started, or ended before the block did.
    """
    if command is None:
        yield
        return
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise OpsError(f"`{shlex.join(command)}` cannot be started: {error.strerror}") from None
        try:
            yield
            if process.poll() is not None:
                raise OpsError(f"`{shlex.join(command)}` ended before the drill, with exit code {process.returncode}")
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for ask in (None, process.terminate, process.kill):
        if ask is not None:
            ask()
        try:
            process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            continue
        return


def of_namespace(command: Sequence[str], namespace: str) -> list[str]:
    """A command with the namespace in it."""
    return [word.replace(NAMESPACE, namespace) for word in command]
