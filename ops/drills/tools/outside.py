"""Commands that drills run: some of the place it runs in, for what is no part of the platform or cannot be done from
inside (the object storage stopped and started, a region cut off, new passwords given to clients); some of `ops` as an
operator gives them, each in a process of its own. And a kubeconfig in which two contexts have changed places, as an
operator of two regions may have it by mistake.

`VARIABLE` names a file with the commands of the place; the lab's is named by ``python -m lab exec``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ops.core import files
from ops.core.errors import OpsError, one_line
from ops.core.files import write_private
from ops.core.platform import PROJECT
from ops.core.pulumi import ENDS_S
from ops.core.terminal import say, uninterrupted
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


LIMIT_S: Final = 600.0
IDENTITY_MARK: Final = "AGE-SECRET-KEY"
_MOST_OF_OPS: Final = 280
_SPARE_S: Final = 30.0


def ops(*words: str, good: Sequence[int] = (0,), limit_s: float = LIMIT_S) -> str:
    """Give a command; what it prints to standard output.

    Args:
        words: The command.
        good: Exit codes that are no failure.
        limit_s: Seconds that it has.

    Raises:
        OpsError: It fails, takes too long, or shows an identity that opens backups.
    """
    shown = f"`ops {' '.join(words)}`"
    command = [sys.executable, "-m", "ops", *words]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise OpsError(f"{shown} took over {limit_s:.0f} s and was ended") from None
    finally:
        _end_operators(process)
    if IDENTITY_MARK in out + err:
        raise OpsError(f"{shown} shows an identity that opens backups")
    if process.returncode not in good:
        said = [line for line in (out + err).splitlines() if line.strip()]
        raise OpsError(f"{shown} failed ({process.returncode}): {one_line(' '.join(said[-3:]), _MOST_OF_OPS)}")
    return out


def _end_operators(process: subprocess.Popen[str]) -> None:
    """End a command as Ctrl-C does, so that it ends what it has begun itself, for example an update of the stack."""
    with uninterrupted():
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=ENDS_S + _SPARE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ops_json(*words: str, good: Sequence[int] = (0,)) -> dict[str, Any]:
    """The same for a command that prints JSON.

    Raises:
        OpsError: As `ops` says, or it prints none.
    """
    text = ops(*words, "--json", good=good)
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        raise OpsError(f"`ops {' '.join(words)} --json` printed no JSON: {one_line(text)}") from None
    return document


_LIMIT_S = 30.0


def write_swapped(file: Path, one: str, other: str) -> None:
    """Write the kubeconfig that is in use, with two of its contexts swapped.

    Args:
        file: Where to; only its owner may read it.
        one: Name of a context.
        other: Name of another one.

    Raises:
        OpsError: There is no kubeconfig with both.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise OpsError("`kubectl` is not on PATH")
    command = [program, "config", "view", "--raw", "--flatten", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise OpsError(f"kubectl config view failed: {one_line(done.stderr)}")
    write_private(file, json.dumps(swapped(json.loads(done.stdout), one, other)).encode())


def swapped(kubeconfig: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    """A kubeconfig in which each of two contexts leads to where the other one did.

    Raises:
        OpsError: It does not have both.
    """
    leads = {entry["name"]: entry["context"] for entry in kubeconfig["contexts"]}
    missing = sorted({one, other} - leads.keys())
    if missing:
        raise OpsError(f"the kubeconfig has no context {' and no '.join(missing)}")
    leads[one], leads[other] = leads[other], leads[one]
    return {**kubeconfig, "contexts": [{"name": name, "context": context} for name, context in leads.items()]}
