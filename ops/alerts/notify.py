"""``ops notify``: a person tells others by every channel, without anything of the cluster (requirement D4).

One function hands a notification over per channel: TLS verified, every wait bounded.
"""

from __future__ import annotations

import configparser
import logging
import queue
import smtplib
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any, NoReturn

import boto3  # type: ignore[import-untyped]
import requests
import typer
from botocore.config import Config  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from rich.console import Console
from rich.text import Text
from slack_sdk.webhook import WebhookClient
from urllib3.util import Retry

from components.rules import Severity
from ops.alerts.notify_file import DEFAULT, Contact, Directory, load, reach, secret, write
from ops.alerts.silences import author
from ops.core import platform as platform_module
from ops.core.errors import OpsError, innermost, one_line
from ops.core.terminal import Table

CONNECT_S, READ_S = 5.0, 10.0
"""Seconds to connect, and to wait for an answer."""
LONGEST_TEXT = 900
"""Characters of a notification: a pager's line has 1,024."""
LONGEST_SMS = 1_500
"""Bytes of a text message: SNS takes 1,600."""

_BUSY = (429, 500, 502, 503, 504)
_PAGER = {Severity.CRITICAL: "critical", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "info"}
_AWS_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What a person tells others.

    Attributes:
        text: What they have to know.
        severity: How urgent it is.
        sender: Who tells it.
        identity: One id for every attempt to deliver it, so that a second attempt does not ring twice.
        time: When it was written.
    """

    text: str
    severity: Severity
    sender: str
    identity: str = ""
    time: datetime | None = None

    @property
    def title(self) -> str:
        """Priority and text, on one line."""
        return f"[{self.severity.upper()}] {' '.join(self.text.split())}"

    @property
    def footer(self) -> str:
        """Where it comes from: people have to know that no alert stands behind it."""
        moment = (self.time or datetime.now(UTC)).astimezone(UTC)
        return f"Sent manually by {self.sender}, {moment:%Y-%m-%d %H:%M} UTC, not by the monitoring."


@dataclass(frozen=True, kw_only=True)
class Way:
    """One channel to one contact.

    Attributes:
        directory: Content of the file of channels.
        folder: Where it is, and the files with secrets.
        contact: The contact's channels.
    """

    directory: Directory
    folder: Path
    contact: Contact

    def secret(self, name: str) -> str:
        """Content of a secret's file."""
        return secret(self.folder, name)

    def authority(self, name: str | None) -> str | None:
        """File of a private authority; nothing for the public ones."""
        if name is None:
            return None
        path = self.folder / name
        if not path.is_file():
            raise OpsError(f"{path} does not exist: it is the CA certificate of this channel")
        return str(path)


def phone(way: Way, notification: Notification) -> str:
    """Trigger an incident at the paging service.

    Raises:
        OpsError: The service refuses it, or a file is not as it has to be.
        requests.RequestException: No answer.
    """
    channel = way.directory.channels.phone
    if channel is None or way.contact.phone_key_file is None:
        raise OpsError("the file has no phone for this contact")
    with requests.Session() as session:
        # The environment's proxies may be the only way out; its .netrc must not add a login.
        session.trust_env = False
        session.proxies = get_environ_proxies(channel.url)
        session.verify = way.authority(channel.ca_file) or True
        retry = Retry(
            total=2, status_forcelist=_BUSY, allowed_methods=["POST"], backoff_factor=1, raise_on_status=False
        )
        session.mount("https://", HTTPAdapter(max_retries=retry))
        response = session.post(
            channel.url,
            json={
                "routing_key": way.secret(way.contact.phone_key_file),
                "event_action": "trigger",
                "dedup_key": notification.identity,
                "payload": {
                    "summary": notification.title,
                    "source": notification.sender,
                    "severity": _PAGER[notification.severity],
                    "custom_details": {"text": notification.text, "from": notification.footer},
                },
            },
            timeout=(CONNECT_S, READ_S),
            allow_redirects=False,
        )
    if response.status_code != 202:
        raise OpsError(f"answered {response.status_code}: {one_line(response.text, 160)}")
    return "accepted by the paging service"


def sms(way: Way, notification: Notification) -> str:
    """Publish on the contact's SNS topic, which sends text messages to its subscribers.

    Raises:
        OpsError: A file is not as it has to be.
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: SNS refuses it, or does not answer.
    """
    channel = way.directory.channels.sms
    if channel is None or not way.contact.sms_topic:
        raise OpsError("the file has no sms for this contact")
    login = _aws(way, channel.credentials_file) if channel.credentials_file else {}
    client: Any = boto3.Session(**login).client(
        "sns",
        region_name=channel.region,
        endpoint_url=channel.url,
        verify=way.authority(channel.ca_file),
        config=Config(
            connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "total_max_attempts": 2}
        ),
    )
    try:
        answer = client.publish(TopicArn=way.contact.sms_topic, Message=short_message(notification))
    finally:
        client.close()
    return f"accepted by SNS: {answer['MessageId']}"


def slack(way: Way, notification: Notification) -> str:
    """Post to the contact's incoming webhook, which says to which channel it goes.

    Raises:
        OpsError: Slack refuses it, or a file is not as it has to be.
        OSError: No answer.
    """
    channel = way.directory.channels.slack
    if channel is None or way.contact.slack_url_file is None:
        raise OpsError("the file has no slack for this contact")
    url = _slack_url(way, way.contact.slack_url_file)
    quiet = logging.Logger("slack")
    quiet.addHandler(logging.NullHandler())
    client = WebhookClient(
        url,
        timeout=int(READ_S),
        ssl=ssl.create_default_context(cafile=way.authority(channel.ca_file)),
        logger=quiet,
    )
    text = f"*{_slack_text(notification.title)}*\n{_slack_text(notification.footer)}"
    answer = client.send_dict({"text": text})
    if answer.status_code != 200:
        raise OpsError(f"answered {answer.status_code}: {one_line(answer.body, 160)}")
    return "accepted by Slack"


def mail(way: Way, notification: Notification) -> str:
    """Hand a mail to the server, after STARTTLS.

    Raises:
        OpsError: Some recipients are refused, or a file is not as it has to be.
        smtplib.SMTPException, OSError: The server refuses it, or does not answer.
    """
    channel = way.directory.channels.mail
    if channel is None or not way.contact.mail:
        raise OpsError("the file has no mail for this contact")
    message = EmailMessage()
    message["Subject"] = notification.title
    message["From"] = channel.sender
    message["To"] = ", ".join(way.contact.mail)
    message["Auto-Submitted"] = "no"
    message.set_content(f"{notification.text}\n\n{notification.footer}\n")
    host, _, port = channel.server.rpartition(":")
    context = ssl.create_default_context(cafile=way.authority(channel.ca_file))
    with smtplib.SMTP(host, int(port), timeout=READ_S) as server:
        server.starttls(context=context)
        if channel.user is not None and channel.password_file is not None:
            server.login(channel.user, way.secret(channel.password_file))
        refused = server.send_message(message)
    if refused:
        raise OpsError(f"the server refused {', '.join(refused)} and accepted it for the others")
    return f"the server accepted it for {', '.join(way.contact.mail)}"


SENDERS: Mapping[str, Callable[[Way, Notification], str]] = {"phone": phone, "sms": sms, "slack": slack, "mail": mail}
"""Channel -> what hands a notification over and tells what was said."""


def short_message(notification: Notification) -> str:
    """Title and footer as one text message; a title that is too long is cut."""
    room = LONGEST_SMS - len(notification.footer.encode()) - 1
    title = notification.title.encode()
    if len(title) > room:
        title = title[: room - 3].decode(errors="ignore").encode() + b"..."
    return f"{title.decode()}\n{notification.footer}"


def secret_files(way: Way, channel: str = "") -> list[str]:
    """Names of the files with secrets that one channel, or all of them, need to reach a contact."""
    channels = way.directory.channels
    files = {
        "phone": way.contact.phone_key_file,
        "sms": channels.sms.credentials_file if channels.sms else None,
        "slack": way.contact.slack_url_file,
        "mail": channels.mail.password_file if channels.mail else None,
    }
    return [file for name, file in files.items() if file and channel in ("", name)]


def address(way: Way, channel: str) -> str:
    """Where a channel reaches a contact, in words without secrets, after a look into the files that it needs.

    Raises:
        OpsError: One of the files is not as it has to be.
    """
    for file in secret_files(way, channel):
        {"sms": _aws, "slack": _slack_url}.get(channel, Way.secret)(way, file)
    settings = getattr(way.directory.channels, channel)
    way.authority(settings.ca_file)
    if channel == "phone":
        return f"incident at {settings.url}"
    if channel == "mail":
        return f"{', '.join(way.contact.mail)} through {settings.server}"
    return f"topic {way.contact.sms_topic}" if channel == "sms" else f"the webhook in {way.contact.slack_url_file}"


def reason(error: BaseException) -> str:
    """The innermost cause of a library's error, which is the one that says something."""
    error = innermost(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the server refused {', '.join(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"answered {error.smtp_code}: {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return one_line(error)


def _aws(way: Way, name: str) -> dict[str, str]:
    reader = configparser.ConfigParser(interpolation=None)
    try:
        reader.read_string(way.secret(name))
        profile = dict(reader["default"])
    except (configparser.Error, KeyError):
        raise OpsError(f"{way.folder / name} is not an AWS credentials file with a section [default]") from None
    missing = [key for key in _AWS_KEYS[:2] if not profile.get(key)]
    if missing:
        raise OpsError(f"{way.folder / name} lacks {missing[0]} in its section [default]")
    return {key: profile[key] for key in _AWS_KEYS if profile.get(key)}


def _slack_url(way: Way, name: str) -> str:
    url = way.secret(name)
    if not url.startswith("https://"):
        raise OpsError(f"{way.folder / name} contains no https:// URL")
    return url


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
            for part in (word, word.partition("://")[2].partition("/")[2]):
                if len(part) >= _SHORTEST_SECRET:
                    text = text.replace(part, _HIDDEN)
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
