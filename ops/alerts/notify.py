"""``ops notify``: a person tells others by every channel, without anything of the cluster (requirement D4)."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from components.rules import Severity
from ops.alerts.notify_file import DEFAULT, Directory, load, reach, write
from ops.alerts.notify_senders import LONGEST_TEXT, SENDERS, Notification, Way, address, reason, secret_files
from ops.alerts.silences import author
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.terminal import Table

__all__ = ["LIMIT_S", "Notification", "Outcome", "load", "notify", "send_all"]

LIMIT_S = 40.0
"""Seconds after which a channel counts as failed, whatever it waits for."""
_HIDDEN = "***"
_SHORTEST_SECRET = 6


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a notification on one channel to one contact."""

    contact: str
    channel: str
    sent: bool
    detail: str


def send_all(
    directory: Directory,
    folder: Path,
    notification: Notification,
    contacts: Sequence[str] = (),
    limit_s: float = LIMIT_S,
) -> list[Outcome]:
    """Send a notification by every channel of every contact, all at the same time; one that fails stops no other.

    Args:
        directory: Content of the file of channels.
        folder: Folder of that file.
        notification: What is told.
        contacts: Who is notified; nobody named means the first contact.
        limit_s: Seconds for all of it.

    Raises:
        OpsError: There is no such contact.
    """
    names = list(dict.fromkeys(contacts)) or [directory.first]
    if unknown := [name for name in names if name not in directory.contacts]:
        raise OpsError(f"--to is {unknown[0]!r}, must be one of {', '.join(directory.contacts)}, all")
    ways = [(name, channel) for name in names for channel in reach(directory.contacts[name])]
    done: queue.SimpleQueue[tuple[tuple[str, str], Outcome]] = queue.SimpleQueue()
    for name, channel in ways:
        way = Way(directory=directory, folder=folder, contact=directory.contacts[name])

        def attempt(name: str = name, channel: str = channel, way: Way = way) -> None:
            done.put(((name, channel), _attempt(name, channel, way, notification)))

        # No pool: its threads would keep the program from ending while one of them waits.
        threading.Thread(target=attempt, daemon=True).start()
    outcomes: dict[tuple[str, str], Outcome] = {}
    deadline = time.monotonic() + limit_s
    while len(outcomes) < len(ways) and (left := deadline - time.monotonic()) > 0:
        try:
            key, outcome = done.get(timeout=left)
        except queue.Empty:
            break
        outcomes[key] = outcome
    late = f"no answer in {limit_s:.0f} s: it may have arrived"
    return [
        outcomes.get((name, channel), Outcome(contact=name, channel=channel, sent=False, detail=late))
        for name, channel in ways
    ]


def _attempt(name: str, channel: str, way: Way, notification: Notification) -> Outcome:
    try:
        detail, sent = SENDERS[channel](way, notification), True
    except OpsError as error:
        detail, sent = str(error), False
    except Exception as error:  # every library has errors of its own, and none of them may stop the other channels
        detail, sent = reason(error), False
    return Outcome(contact=name, channel=channel, sent=sent, detail=_without_secrets(one_line(detail), way))


def check_channels(directory: Directory, folder: Path) -> list[Outcome]:
    """Read every file that a notification would need, and send nothing."""
    outcomes = []
    for name, contact in directory.contacts.items():
        way = Way(directory=directory, folder=folder, contact=contact)
        for channel in reach(contact):
            try:
                detail, good = address(way, channel), True
            except OpsError as error:
                detail, good = str(error), False
            outcomes.append(Outcome(contact=name, channel=channel, sent=good, detail=detail))
    return outcomes


def _without_secrets(text: str, way: Way) -> str:
    for name in filter(None, secret_files(way)):
        try:
            words = way.secret(name).replace("=", " ").split()
        except OpsError:
            continue
        for word in words:
            for secret in (word, word.partition("://")[2].partition("/")[2]):
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, _HIDDEN)
    return text


def notify(
    text: Annotated[str | None, typer.Argument(help="Text of the notification.")] = None,
    severity: Annotated[Severity, typer.Option(help="Priority of the notification.")] = Severity.CRITICAL,
    to: Annotated[list[str] | None, typer.Option(help="Contact, or all; may be repeated; default: the first.")] = None,
    channels: Annotated[
        Path, typer.Option(envvar="OBS_NOTIFY_CHANNELS", help="Channels file; its secrets are in the same folder.")
    ] = DEFAULT,
    by: Annotated[str | None, typer.Option(help="Your name; default: the user of this machine.")] = None,
    write_to: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FOLDER", help="Write the channels file from the running platform; send nothing."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read the files and show who would be notified; send nothing.")
    ] = False,
) -> None:
    """Notify contacts by every channel: phone, text message, Slack, mail. Works while the platform is down.

    Exit codes: 0 every channel accepted it, 1 one did not, 2 nothing could be sent.
    """
    if write_to is not None:
        if text is not None:
            raise OpsError("--write sends nothing: omit the text")
        for path in write(platform_module.load(), write_to.expanduser()):
            typer.echo(f"written: {path}")
        return
    path = channels.expanduser()
    directory = load(path)
    wanted = list(directory.contacts) if "all" in (to or ()) else list(to or ())
    if check:
        _finish(check_channels(directory, path.parent), "ready")
    if text is None or not text.strip():
        raise OpsError("no text given: `ops notify TEXT`")
    if len(text) > LONGEST_TEXT:
        raise OpsError(f"the text has {len(text)} characters, at most {LONGEST_TEXT} are allowed: shorten it")
    now = datetime.now(UTC)
    notification = Notification(
        text=text.strip(), severity=severity, sender=author(by), identity=f"by-hand-{uuid.uuid4()}", time=now
    )
    _finish(send_all(directory, path.parent, notification, wanted), "sent")


def _finish(outcomes: Sequence[Outcome], good: str) -> NoReturn:
    table = Table("", "contact", "channel", "outcome")
    for outcome in outcomes:
        mark = Text(good, style="green") if outcome.sent else Text("FAILED", style="bold red")
        table.add_row(mark, Text(outcome.contact), outcome.channel, Text(outcome.detail))
    Console().print(table)
    raise typer.Exit(int(not all(outcome.sent for outcome in outcomes)))
