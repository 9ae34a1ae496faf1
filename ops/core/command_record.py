"""Tells the audit log of this command: when it gets the platform's passwords, and how it ended (requirement M1).

It is told as an Event of Kubernetes, see `services.audit.records`, by ``kubectl`` and beside the command itself. A
command goes on where that does not work: it may be the one that mends the platform. It then says so.
"""

from __future__ import annotations

import getpass
import json
import re
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import typer

from services.audit.records import CommandEvent, event

_LIMIT_S: Final = 20.0
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_WORD: Final = re.compile(r"[a-z][a-z-]*")
_ABOUT_PEOPLE: Final = frozenset({"logs", "privacy"})
"""Commands whose arguments may name people: none of them is told."""
_HIDDEN: Final = "..."
_LONGEST: Final = 600
State = Literal["started", "done", "failed"]


def words(arguments: Sequence[str]) -> tuple[str, str]:
    """Command and arguments as they are told: no values of options, nothing that is not one plain word."""
    command = arguments[0] if arguments else ""
    rest = list(arguments[1:])
    if rest and _WORD.fullmatch(rest[0]) and command not in _ABOUT_PEOPLE:
        command = f"{command} {rest.pop(0)}"
    about_people = command.partition(" ")[0] in _ABOUT_PEOPLE
    told: list[str] = []
    value = False
    for argument in rest:
        if argument.startswith("-"):
            told.append(argument.partition("=")[0])
        else:
            hidden = value or about_people or not _PLAIN.fullmatch(argument)
            told.append(_HIDDEN if hidden else argument)
        value = argument.startswith("--") and "=" not in argument
    return command[:64], " ".join(told)[:_LONGEST]


class CommandRecord:
    """One command of one process.

    Attributes:
        run: Id of it.
    """

    def __init__(self, arguments: Sequence[str], kubectl: Callable[..., str] | None = None) -> None:
        self.run = secrets.token_hex(8)
        self._command, self._arguments = words(arguments)
        self._kubectl = kubectl or _kubectl
        self._where: tuple[str, str | None] | None = None
        self._account = ""
        self._first: threading.Thread | None = None

    def opened(self, namespace: str, context: str | None) -> None:
        """The command has the platform's passwords; the first time is told, beside the command."""
        if self._where is None:
            self._where = (namespace, context)
            self._first = threading.Thread(target=self._tell, args=("started", None), name="command-record")
            self._first.start()

    def ended(self, code: int) -> None:
        """The command has ended."""
        if self._first is not None:
            self._first.join()
            self._tell("failed" if code else "done", code)

    def _tell(self, state: State, code: int | None) -> None:
        assert self._where is not None
        namespace, context = self._where
        target = [f"--context={context}"] if context else []
        try:
            if not self._account:
                who = json.loads(self._kubectl([*target, "auth", "whoami", "-o", "json"], ""))
                self._account = str(who["status"]["userInfo"]["username"])
            told = CommandEvent(
                run=self.run,
                account=self._account,
                user=getpass.getuser(),
                machine=socket.gethostname(),
                command=self._command,
                arguments=self._arguments,
                state=state,
                code=code,
            )
            content = json.dumps(event(told, namespace, datetime.now(UTC)))
            self._kubectl([*target, "create", "--raw", f"/api/v1/namespaces/{namespace}/events", "-f", "-"], content)
        except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
            reason = " ".join(str(getattr(error, "stderr", "") or error).split())[:200]
            typer.echo(f"the audit log is not told of this command ({state}): {reason}", err=True)


def _kubectl(arguments: Sequence[str], content: str) -> str:
    program = shutil.which("kubectl")
    if program is None:
        raise OSError("`kubectl` is not on PATH")
    command = [program, *arguments, "--request-timeout=10s"]
    done = subprocess.run(command, input=content, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    return done.stdout


_current: list[CommandRecord] = []


def begin(arguments: Sequence[str]) -> None:
    """This process carries out a command."""
    _current[:] = [CommandRecord(arguments)]


def opened(namespace: str, context: str | None) -> None:
    """The outputs of a stack were read."""
    for record in _current:
        record.opened(namespace, context)


def ended(code: int) -> None:
    """The command has ended."""
    for record in _current:
        record.ended(code)


def current() -> CommandRecord | None:
    """The command of this process; None where it is none of the command line's."""
    return _current[0] if _current else None
