"""The file of channels that ``ops notify`` reads: who can be notified and how, without anything of the cluster.

Secrets are in files beside it, which only their owner may read. ``ops notify --write FOLDER`` writes all of them from
the stack, for the day on which the stack does not answer.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from ops.core.errors import OpsError, one_line
from ops.core.files import write_private
from ops.core.platform import NotifyChannels, Platform

DEFAULT = Path("~/.config/obs-platform/notify/channels.yaml")
"""Where the file is looked for when none is named."""

_IMPLICIT_TLS = 465


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be an https:// URL")
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
                raise ValueError(f"contact {name} uses {missing[0]}, but channels has no {missing[0]}")
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
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise OpsError(f"{where} cannot be read: {reason}: write it with `ops notify --write FOLDER`") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OpsError(f"{where} is writable by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {where}")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OpsError(f"{where} is not YAML: {one_line(error, 120)}") from None
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
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise OpsError(f"{path} cannot be read: {reason}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OpsError(f"{path} is a secret that others can read (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
    if not text:
        raise OpsError(f"{path} is empty")
    return text


FILE = "channels.yaml"
_AUTHORITY, _AWS, _MAIL = "authority.pem", "aws-credentials", "mail-password"


def write(platform: Platform, folder: Path) -> list[Path]:
    """Write the files (mode 0600) into ``folder`` (0700); files of an earlier time are replaced one by one.

    Raises:
        OpsError: The stack does not tell its channels, or the folder cannot be written.
    """
    source = platform.notify_channels
    if source is None:
        raise OpsError("the stack has no output for channels: deploy a version of the platform with alerting")
    if not _contacts(source):
        raise OpsError("no contact of the stack has a channel: there is nothing to write")
    contents = {**_secrets(source), FILE: _header(platform) + yaml.safe_dump(_content(source), sort_keys=False)}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        written = [write_private(folder / name, content) for name, content in contents.items()]
    except OSError as error:
        raise OpsError(f"{folder} cannot be written: {error.strerror}") from None
    load(folder / FILE)
    return written


def _header(platform: Platform) -> str:
    return (
        f"# Contacts and channels to notify while the monitoring of {platform.platform} ({platform.region}) is down.\n"
        "# Written by `ops notify --write`; write it again when contacts or secrets change.\n"
    )


def _content(source: NotifyChannels) -> dict[str, Any]:
    given = source.channels
    private = {"ca_file": _AUTHORITY} if _text(source.secrets.authority) else {}
    phone, sms, mail = given["phone"], given["sms"], given["mail"]
    channels = {
        "phone": phone and {"url": phone["url"], **private},
        "sms": sms and {"region": sms["region"], "url": sms.get("url"), "credentials_file": _AWS, **private},
        "slack": private,
        "mail": mail
        and {
            "server": mail["server"],
            "sender": mail["sender"],
            "user": mail.get("user"),
            "password_file": _MAIL if mail.get("user") else None,
            **private,
        },
    }
    return {"channels": channels, "contacts": _contacts(source)}


def _contacts(source: NotifyChannels) -> dict[str, dict[str, Any]]:
    """Those who have a channel."""
    contacts = {name: _contact(name, contact) for name, contact in source.contacts.items()}
    return {name: contact for name, contact in contacts.items() if contact}


def _contact(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "phone_key_file": _phone_file(name) if given.get("phone") else None,
        "sms_topic": given.get("sms_topic"),
        "slack_url_file": _slack_file(name) if given.get("slack") else None,
        "mail": [given["mail"]] if given.get("mail") else None,
    }
    return {key: value for key, value in fields.items() if value}


def _secrets(source: NotifyChannels) -> dict[str, str]:
    secrets = source.secrets
    aws = (
        "[default]\n"
        f"aws_access_key_id = {_text(secrets.sms_access_key_id)}\n"
        f"aws_secret_access_key = {_text(secrets.sms_secret_access_key)}\n"
        if secrets.sms_access_key_id
        else ""
    )
    files = {_phone_file(name): _text(key) for name, key in secrets.phone_keys.items()}
    files |= {_slack_file(name): _text(url) for name, url in secrets.slack_urls.items()}
    files |= {
        _MAIL: _text(secrets.mail_password),
        _AWS: aws,
        _AUTHORITY: _text(secrets.authority),
    }
    return {name: text if text.endswith("\n") else f"{text}\n" for name, text in files.items() if text}


def _phone_file(name: str) -> str:
    return f"phone-{name}"


def _slack_file(name: str) -> str:
    return f"slack-{name}"


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
