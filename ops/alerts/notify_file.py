"""The file of channels that ``ops notify`` reads: who can be notified and how, without anything of the cluster.

Secrets are in files beside it, which only their owner may read. ``ops notify --write FOLDER`` writes all of them.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ops.core.errors import OpsError, one_line

DEFAULT = Path("~/.config/obs-platform/notify/channels.yaml")
"""Where the file is looked for when none is named."""

_IMPLICIT_TLS = 465


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be an https:// address")
    return text


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError('server must be "host:port"')
    if int(port) == _IMPLICIT_TLS:
        raise ValueError("port 465 speaks TLS from the first byte; give the port with STARTTLS, usually 587")
    return text


Https = Annotated[str, AfterValidator(_https)]
HostPort = Annotated[str, AfterValidator(_host_port)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Phone(_Section):
    """The paging service: PagerDuty's events, version 2, or a service that takes the same."""

    url: Https = "https://events.pagerduty.com/v2/enqueue"
    ca_file: str | None = None


class Sms(_Section):
    """SNS; without ``credentials_file`` (AWS' own format) the login of this machine is used."""

    region: str = Field(min_length=1)
    url: Https | None = None
    credentials_file: str | None = None
    ca_file: str | None = None


class Slack(_Section):
    """Slack's incoming webhooks; each contact has one of its own, whose address is a secret."""

    ca_file: str | None = None


class Mail(_Section):
    """A mail server with STARTTLS; ``user`` null: it needs no login."""

    server: HostPort
    sender: str = Field(min_length=3)
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None

    @model_validator(mode="after")
    def _login(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        return self


class Channels(_Section):
    """The channels that there are."""

    phone: Phone | None = None
    sms: Sms | None = None
    slack: Slack | None = None
    mail: Mail | None = None


class Contact(_Section):
    """One audience: what reaches it by each channel."""

    phone_key_file: str | None = None
    sms_topic: str | None = None
    slack_url_file: str | None = None
    mail: list[str] = []


class Directory(_Section):
    """Content of the file."""

    channels: Channels
    contacts: Mapping[str, Contact] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, contact in self.contacts.items():
            reached = reach(contact)
            if not reached:
                raise ValueError(
                    f"contact {name} has no channel: give it one of phone_key_file, sms_topic, slack_url_file, mail"
                )
            missing = [channel for channel in reached if getattr(self.channels, channel) is None]
            if missing:
                raise ValueError(f"contact {name} wants {missing[0]}, but channels has no {missing[0]}")
        return self

    @property
    def first(self) -> str:
        """The contact that is told when none is named."""
        return next(iter(self.contacts))


def reach(contact: Contact) -> list[str]:
    """Names of the channels that reach a contact, the fastest first."""
    ways = {
        "phone": contact.phone_key_file,
        "sms": contact.sms_topic,
        "slack": contact.slack_url_file,
        "mail": contact.mail,
    }
    return [channel for channel, address in ways.items() if address]


def load(path: Path) -> Directory:
    """Read the file of channels.

    Raises:
        OpsError: It cannot be read, others may change it, or something in it is not allowed; the message names the key.
    """
    where = f"{path}"
    try:
        mode, text = path.stat().st_mode, path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OpsError(f"{where} cannot be read: {reason}: write it with `ops notify --write FOLDER`") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OpsError(f"{where} may be changed by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {where}")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OpsError(f"{where} is no YAML: {one_line(error, 120)}") from None
    try:
        return Directory.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise OpsError(f"{where}: {f'{key}: ' if key else ''}{one_line(message)}") from None


def secret(folder: Path, name: str) -> str:
    """Content of a file with a secret, beside the file of channels.

    Raises:
        OpsError: It cannot be read, is empty, or others may read it.
    """
    path = folder / name
    try:
        mode, text = path.stat().st_mode, path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OpsError(f"{path} cannot be read: {reason}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OpsError(f"{path} is a secret that others may read (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
    if not text:
        raise OpsError(f"{path} is empty")
    return text
