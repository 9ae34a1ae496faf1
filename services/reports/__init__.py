"""Daily, weekly and monthly reports (requirement R1): from real data, in English and Japanese, as HTML and PDF.

A report is data first (`model`): every text in it is there in both languages, every number is what Thanos Query or the
topic ``alerts-processed`` told. What could not be asked is listed in the report, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator

from services.runtime.settings import (
    File,
    OptionalFile,
    SettingsModel,
    Text,
    Url,
    WritableStorageSettings,
    broken_rule,
    checked,
    is_host_port,
)

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
MAIL_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


def is_zone(value: object) -> bool:
    """Whether a time zone is called so."""
    try:
        return isinstance(value, str) and bool(value) and bool(ZoneInfo(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _is_link(value: object) -> bool:
    try:
        parts = urlsplit(str(value))
        # Reading the port says whether it is a number.
        return (
            parts.scheme == "https"
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False


def _mail_address(where: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if not isinstance(value, str) or not MAIL_ADDRESS.fullmatch(value):
            raise broken_rule(f"{where} has {value!r}; it must be a mail address, for example ops@example.com")
        return value

    return validate


def _mail_addresses(kind: str) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise broken_rule(f"mail.recipients.{kind} is {value!r}; it must be a list of mail addresses, or []")
        return [_mail_address(f"mail.recipients.{kind}")(address) for address in value]

    return BeforeValidator(validate)


def _languages(value: Any) -> Any:
    whole = isinstance(value, list | tuple) and value and all(language in LANGUAGES for language in value)
    if not whole or len(set(value)) != len(value):
        raise broken_rule(f"languages is {value!r}; it must be a list of some of {', '.join(LANGUAGES)}, each once")
    return value


class Query(SettingsModel):
    """Thanos Query, and who asks it."""

    url: Url
    ca_file: File
    user: Text
    password_file: File


class KafkaAccess(SettingsModel):
    """The brokers, the topics, and who reads.

    Attributes:
        topic: What was notified.
        raw_topic: What each Prometheus raised.
        group: Consumer group, which nobody joins.
    """

    bootstrap: Text
    topic: Text
    raw_topic: Text
    ca_file: File
    user: Text
    group: Text
    password_file: File

    @property
    def username(self) -> str:
        """As `services.runtime.kafka.GroupAccess` names it."""
        return self.user


class Recipients(SettingsModel):
    """Who gets each report."""

    daily: Annotated[tuple[str, ...], _mail_addresses("daily")]
    weekly: Annotated[tuple[str, ...], _mail_addresses("weekly")]
    monthly: Annotated[tuple[str, ...], _mail_addresses("monthly")]

    def of(self, kind: str) -> tuple[str, ...]:
        """Who gets the report of a kind; nobody where it is empty."""
        addresses: tuple[str, ...] = getattr(self, kind)
        return addresses


class Mail(SettingsModel):
    """The mail server: TLS at once on port 465, STARTTLS on any other, and a login always.

    Attributes:
        server: ``host:port``; the host is also the name in its certificate.
        sender: Address that mails come from.
        user: Login name.
        password_file: File with its password.
        ca_file: Authority of its certificate; None: the public ones.
        recipients: Who gets each report.
    """

    server: Annotated[str, checked(is_host_port, '"host:port", for example "mail:587"')]
    sender: Annotated[str, BeforeValidator(_mail_address("mail.sender"))]
    user: Text
    password_file: File
    ca_file: OptionalFile
    recipients: Recipients

    @property
    def host(self) -> str:
        """Host of the server."""
        return self.server.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Port of the server."""
        return int(self.server.rpartition(":")[2])


class ReportsSettings(SettingsModel):
    """What reports are made from, and where they go.

    Attributes:
        platform: Name of the platform.
        region: Its region.
        time_zone: Time zone in which days begin.
        languages: Languages of the reports; the first one comes first in mails.
        query: Who answers PromQL.
        kafka: Where notifications are read.
        mail: Where reports are handed over; None: nowhere.
        storage: Where they are stored; None: nowhere.
        link: Address at which people find all reports; None: there is none.
    """

    platform: Text
    region: Text
    time_zone: Annotated[str, checked(is_zone, "a name such as Asia/Tokyo")]
    languages: Annotated[tuple[Language, ...], BeforeValidator(_languages)]
    query: Query
    kafka: KafkaAccess
    mail: Mail | None
    storage: WritableStorageSettings | None
    link: Annotated[
        str | None,
        checked(lambda value: value is None or _is_link(value), "https://host:port, without a user"),
        BeforeValidator(lambda value: value if value is None else str(value).rstrip("/")),
    ] = None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def name(self) -> str:
        """Name of the platform in heads and subjects."""
        return f"{self.platform} ({self.region})"
