"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.reports.alert_log import KafkaAccess
from services.reports.model import LANGUAGES, Kind, Language
from services.runtime import storage as common
from services.runtime.settings import SettingsError, mapping, read, texts

__all__ = ["Mail", "Query", "Settings", "SettingsError", "Storage", "load", "parse"]

ENCRYPTIONS = ("AES256", "aws:kms")
_TOP_PORT = 65535
_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_QUERY = ("url", "ca_file", "user", "password_file")
_KAFKA = ("bootstrap", "topic", "ca_file", "user", "password_file")
_MAIL_TEXTS = ("server", "sender", "user", "password_file")
_MAIL = (*_MAIL_TEXTS, "ca_file", "recipients")
_STORAGE_TEXTS = ("region", "bucket", "access_key_id_file", "secret_access_key_file")
_STORAGE = (*_STORAGE_TEXTS, "endpoint", "prefix", "ca_file")
_TOP = ("platform", "region", "time_zone", "languages", "query", "kafka", "mail", "storage")


@dataclass(frozen=True, kw_only=True)
class Query:
    """Thanos Query, and who asks it."""

    url: str
    ca_file: Path
    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Mail:
    """The mail server: TLS at once on port 465, STARTTLS on any other, and a login always.

    Attributes:
        host: Its name, also that in its certificate.
        port: Its port.
        sender: Address that mails come from.
        user: Login name.
        password_file: File with its password.
        ca_file: Authority of its certificate; None: the public ones.
        recipients: Who gets each report; nobody where it is empty.
    """

    host: str
    port: int
    sender: str
    user: str
    password_file: Path
    ca_file: Path | None
    recipients: Mapping[Kind, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Storage(common.Storage):
    """The bucket.

    Attributes:
        encryption: How the storage is asked to encrypt objects; None: as the bucket says.
    """

    encryption: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What reports are made from, and where they go.

    Attributes:
        platform: Name of the platform.
        region: Its region.
        zone: Time zone in which days begin.
        languages: Languages of the reports; the first one comes first in mails.
        query: Who answers PromQL.
        kafka: Where notifications are read.
        mail: Where reports are handed over; None: nowhere.
        storage: Where they are stored; None: nowhere.
        link: Address at which people find all reports; empty where there is none.
    """

    platform: str
    region: str
    zone: ZoneInfo
    languages: tuple[Language, ...]
    query: Query
    kafka: KafkaAccess
    mail: Mail | None
    storage: Storage | None
    link: str = ""

    @property
    def name(self) -> str:
        """Name of the platform in heads and subjects."""
        return f"{self.platform} ({self.region})"


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = mapping("", content, _with(_TOP, content, "link"))
    query, kafka = texts("query", top["query"], _QUERY), texts("kafka", top["kafka"], _KAFKA)
    return Settings(
        platform=_text("platform", top["platform"]),
        region=_text("region", top["region"]),
        zone=_zone(top["time_zone"]),
        languages=_languages(top["languages"]),
        query=Query(
            url=_url("query.url", query["url"]),
            ca_file=Path(query["ca_file"]),
            user=query["user"],
            password_file=Path(query["password_file"]),
        ),
        kafka=KafkaAccess(
            bootstrap=kafka["bootstrap"],
            topic=kafka["topic"],
            ca_file=Path(kafka["ca_file"]),
            user=kafka["user"],
            password_file=Path(kafka["password_file"]),
        ),
        mail=None if top["mail"] is None else _mail(top["mail"]),
        storage=None if top["storage"] is None else _storage(top["storage"]),
        link=_url("link", top["link"]) if "link" in top else "",
    )


def _mail(value: object) -> Mail:
    content = mapping("mail", value, _MAIL)
    text = texts("mail", {key: content[key] for key in _MAIL_TEXTS}, _MAIL_TEXTS)
    host, _, port = text["server"].rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= _TOP_PORT:
        raise SettingsError(f'mail.server is {text["server"]!r}; it must be "host:port", for example "mail:587"')
    recipients = mapping("mail.recipients", content["recipients"], tuple(kind.value for kind in Kind))
    for where, address in [("mail.sender", text["sender"])] + [
        (f"mail.recipients.{kind}", address) for kind, those in recipients.items() for address in _list(kind, those)
    ]:
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise SettingsError(f"{where} has {address!r}; it must be a mail address, for example ops@example.com")
    return Mail(
        host=host,
        port=int(port),
        sender=text["sender"],
        user=text["user"],
        password_file=Path(text["password_file"]),
        ca_file=_optional_file("mail.ca_file", content["ca_file"]),
        recipients=MappingProxyType({kind: tuple(recipients[kind.value]) for kind in Kind}),
    )


def _storage(value: object) -> Storage:
    content = mapping("storage", value, _with(_STORAGE, value, "encryption"))
    text = texts("storage", {key: content[key] for key in _STORAGE_TEXTS}, _STORAGE_TEXTS)
    prefix, encryption = content["prefix"], content.get("encryption")
    if not isinstance(prefix, str) or prefix.startswith("/") or (prefix and not prefix.endswith("/")):
        raise SettingsError(f'storage.prefix is {prefix!r}; it must be "" or end with /, for example "reports/"')
    if encryption is not None and encryption not in ENCRYPTIONS:
        raise SettingsError(f"storage.encryption is {encryption!r}; it must be null or one of {', '.join(ENCRYPTIONS)}")
    endpoint = content["endpoint"]
    return Storage(
        endpoint=None if endpoint is None else _url("storage.endpoint", endpoint),
        region=text["region"],
        bucket=text["bucket"],
        prefix=prefix,
        access_key_id_file=Path(text["access_key_id_file"]),
        secret_access_key_file=Path(text["secret_access_key_file"]),
        ca_file=_optional_file("storage.ca_file", content["ca_file"]),
        encryption=encryption,
    )


def _with(keys: tuple[str, ...], value: object, optional: str) -> tuple[str, ...]:
    return (*keys, optional) if isinstance(value, dict) and optional in value else keys


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{key} is {value!r}; it must be a text that is not empty")
    return value


def _list(kind: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise SettingsError(f"mail.recipients.{kind} is {value!r}; it must be a list of mail addresses, or []")
    return value


def _optional_file(key: str, value: object) -> Path | None:
    return None if value is None else Path(_text(key, value))


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(_text("time_zone", value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"time_zone is {value!r}; it must be a name such as Asia/Tokyo") from None


def _languages(value: object) -> tuple[Language, ...]:
    known = [language for language in LANGUAGES if isinstance(value, list) and language in value]
    if not isinstance(value, list) or not value or len(known) != len(value):
        raise SettingsError(f"languages is {value!r}; it must be a list of some of {', '.join(LANGUAGES)}, each once")
    return tuple(sorted(known, key=value.index))


def _url(key: str, value: object) -> str:
    try:
        parts = urlsplit(_text(key, value))
        whole = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
        # Reading the port says whether it is a number.
        whole = whole and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"{key} is {value!r}; it must be https://host:port, without a user")
    return str(value).rstrip("/")
