"""Writes the file of channels and its secrets from the stack, for the day on which the stack does not answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from ops.alerts.notify_file import load
from ops.core.errors import OpsError
from ops.core.platform import NotifyChannels, Platform

FILE = "channels.yaml"
_AUTHORITY, _AWS, _MAIL = "authority.pem", "aws-credentials", "mail-password"


def write(platform: Platform, folder: Path) -> list[Path]:
    """Write the files (mode 0600) into ``folder`` (0700); files of an earlier time are replaced one by one.

    Raises:
        OpsError: The stack does not tell its channels, or the folder cannot be written.
    """
    source = platform.notify_channels
    if source is None:
        raise OpsError("the stack does not tell its channels: bring up a version of the platform that has alerting")
    contents = {**_secrets(source), FILE: _header(platform) + yaml.safe_dump(_content(source), sort_keys=False)}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        written = [_private(folder / name, content) for name, content in contents.items()]
    except OSError as error:
        raise OpsError(f"{folder} cannot be written: {error.strerror}") from None
    load(folder / FILE)
    return written


def _header(platform: Platform) -> str:
    return (
        f"# Who is notified, and how, when the monitoring of {platform.platform} ({platform.region}) is down.\n"
        "# Written by `ops notify --write`; write it again when contacts or secrets change.\n"
    )


def _content(source: NotifyChannels) -> dict[str, Any]:
    given = source.channels
    private = {"ca_file": _AUTHORITY} if _text(source.secrets.authority) else {}
    phone, sms, mail = given["phone"], given["sms"], given["mail"]
    channels = {
        "phone": {"url": phone["url"], **private},
        "sms": {"region": sms["region"], "url": sms.get("url"), "credentials_file": _AWS, **private},
        "slack": private,
        "mail": {
            "server": mail["server"],
            "sender": mail["sender"],
            "user": mail.get("user"),
            "password_file": _MAIL if mail.get("user") else None,
            **private,
        },
    }
    return {
        "channels": channels,
        "contacts": {name: _contact(name, contact) for name, contact in source.contacts.items()},
    }


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


def _private(path: Path, content: str) -> Path:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    draft.replace(path)
    return path
