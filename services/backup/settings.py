"""The settings: one file, closed to unknown keys, every mistake one clear line.

A kind without its section is not made here; its password files need not be there either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from services.backup.checks import number, recipients, secret, text, url, with_optional
from services.runtime import storage as common
from services.runtime.settings import SettingsError, mapping, read, texts

__all__ = [
    "KINDS", "Database", "Grafana", "KafkaMetadata", "Postgres", "Search", "Settings", "SettingsError", "Storage",
    "load", "number", "parse", "recipients", "secret", "storage", "url",
]  # fmt: skip

DATABASE, GRAFANA, KAFKA_METADATA, SEARCH = "database", "grafana", "kafka-metadata", "search"
KINDS = (DATABASE, GRAFANA, KAFKA_METADATA, SEARCH)
"""Kinds made by jobs, as in the bucket and on the command line; in settings files with ``_`` for ``-``."""
ENCRYPTIONS = ("AES256", "aws:kms")
_STORAGE = tuple(field.name for field in fields(common.Storage))
_TOP = ("platform", "region", "recipients", "storage", "limit_s")
_SECTIONS = tuple(kind.replace("-", "_") for kind in KINDS)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_DATABASE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOP_PORT = 65535
_MOST_DAYS = 3650
_MOST_S = 86400
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Storage(common.Storage):
    """The bucket.

    Attributes:
        encryption: How the storage is asked to encrypt objects; None: as the bucket says.
    """

    encryption: str | None = None


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database, and who may read all of it: its owner."""

    name: str
    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """PostgreSQL, always over verified TLS.

    Attributes:
        keep_days: Days for which a run is kept.
        host: Its name, also that in its certificate.
        port: Its port.
        ca_file: Authority of its certificate.
        databases: What is backed up.
    """

    keep_days: int
    host: str
    port: int
    ca_file: Path
    databases: tuple[Database, ...]


@dataclass(frozen=True, kw_only=True)
class Grafana:
    """Grafana's HTTP API, and its administrator."""

    keep_days: int
    url: str
    ca_file: Path
    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class KafkaMetadata:
    """The brokers (SASL_SSL, SCRAM-SHA-512), and a user that may describe everything."""

    keep_days: int
    bootstrap: str
    ca_file: Path
    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search cluster, and a user that reads.

    Attributes:
        keep_days: Days for which a run is kept.
        url: ``https://host:port``.
        ca_file: Authority of its certificate.
        user: Who reads.
        password_file: File with the password.
        indices: Patterns of what is exported, for example ``logs-0*``.
    """

    keep_days: int
    url: str
    ca_file: Path
    user: str
    password_file: Path
    indices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is backed up, and where to.

    Attributes:
        platform: Name of the platform.
        region: Its region.
        recipients: Public keys of those who can open backups.
        storage: Where they are stored.
        limit_s: Seconds that a run may take.
        database: PostgreSQL; None: not made here. Likewise the others.
    """

    platform: str
    region: str
    recipients: tuple[str, ...]
    storage: Storage
    limit_s: int
    database: Postgres | None = None
    grafana: Grafana | None = None
    kafka_metadata: KafkaMetadata | None = None
    search: Search | None = None


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
    top = mapping("", content, with_optional(_TOP, content, *_SECTIONS))
    return Settings(
        platform=text("platform", top["platform"]),
        region=text("region", top["region"]),
        recipients=recipients(top["recipients"]),
        storage=storage(top["storage"]),
        limit_s=number("limit_s", top["limit_s"], _MOST_S, "seconds"),
        database=_section(top, "database", _postgres),
        grafana=_section(top, "grafana", _grafana),
        kafka_metadata=_section(top, "kafka_metadata", _kafka),
        search=_section(top, "search", _search),
    )


def storage(value: object) -> Storage:
    """The setting ``storage``.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    content = mapping("storage", value, with_optional(_STORAGE, value, "encryption"))
    encryption = content.get("encryption")
    if encryption is not None and encryption not in ENCRYPTIONS:
        raise SettingsError(f"storage.encryption is {encryption!r}; it must be null or one of {', '.join(ENCRYPTIONS)}")
    place = common.storage({key: content[key] for key in _STORAGE})
    return Storage(**{field.name: getattr(place, field.name) for field in fields(place)}, encryption=encryption)


def _section(top: Mapping[str, Any], name: str, check: Callable[[object], T]) -> T | None:
    return None if top.get(name) is None else check(top[name])


def _postgres(value: object) -> Postgres:
    content = mapping("database", value, ("keep_days", "host", "port", "ca_file", "databases"))
    host, listed = content["host"], content["databases"]
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise SettingsError(f"database.host is {host!r}; it must be the name in the server's certificate")
    if not isinstance(listed, list) or not listed:
        raise SettingsError(f"database.databases is {listed!r}; it must be a list with at least one database")
    databases = tuple(_database(f"database.databases[{place}]", entry) for place, entry in enumerate(listed))
    names = [database.name for database in databases]
    if len(set(names)) != len(names):
        raise SettingsError(f"database.databases has {', '.join(names)}; each database must be there once")
    return Postgres(
        keep_days=_days("database", content),
        host=host,
        port=number("database.port", content["port"], _TOP_PORT, "a port"),
        ca_file=Path(text("database.ca_file", content["ca_file"])),
        databases=databases,
    )


def _database(where: str, value: object) -> Database:
    content = texts(where, value, ("name", "user", "password_file"))
    for key in ("name", "user"):
        if not _DATABASE.fullmatch(content[key]):
            raise SettingsError(
                f"{where}.{key} is {content[key]!r}; allowed: small letters, digits and _, a letter first"
            )
    return Database(name=content["name"], user=content["user"], password_file=Path(content["password_file"]))


_LOGIN = ("ca_file", "user", "password_file")


def _grafana(value: object) -> Grafana:
    content = mapping("grafana", value, ("keep_days", "url", *_LOGIN))
    return Grafana(
        keep_days=_days("grafana", content), url=url("grafana.url", content["url"]), **_login("grafana", content)
    )


def _kafka(value: object) -> KafkaMetadata:
    content = mapping("kafka_metadata", value, ("keep_days", "bootstrap", *_LOGIN))
    return KafkaMetadata(
        keep_days=_days("kafka_metadata", content),
        bootstrap=text("kafka_metadata.bootstrap", content["bootstrap"]),
        **_login("kafka_metadata", content),
    )


def _search(value: object) -> Search:
    content = mapping("search", value, ("keep_days", "url", "indices", *_LOGIN))
    indices = content["indices"]
    if not isinstance(indices, list) or not indices or not all(isinstance(index, str) and index for index in indices):
        raise SettingsError(f"search.indices is {indices!r}; it must be a list of patterns such as logs-0*")
    return Search(
        keep_days=_days("search", content),
        url=url("search.url", content["url"]),
        indices=tuple(indices),
        **_login("search", content),
    )


def _login(where: str, content: Mapping[str, Any]) -> dict[str, Any]:
    text = texts(where, {key: content[key] for key in _LOGIN}, _LOGIN)
    return {
        "ca_file": Path(text["ca_file"]),
        "user": text["user"],
        "password_file": Path(text["password_file"]),
    }


def _days(where: str, content: Mapping[str, Any]) -> int:
    return number(f"{where}.keep_days", content["keep_days"], _MOST_DAYS, "days")
