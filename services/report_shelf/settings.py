"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.common.settings import SettingsError, address, mapping, read, texts

__all__ = ["KINDS", "Login", "Settings", "SettingsError", "Storage", "load", "parse"]

KINDS = ("daily", "weekly", "monthly")
"""The reports."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who may enter, and the file with the password."""

    user: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The bucket; ``endpoint`` None is AWS' own, ``ca_file`` None the public authorities."""

    endpoint: str | None
    region: str
    bucket: str
    prefix: str
    access_key_id_file: Path
    secret_access_key_file: Path
    ca_file: Path | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the shelf shows, and to whom.

    Attributes:
        listen_host: Address of everything that it serves.
        listen_port: Port of it.
        cert_file: Certificate chain of the server.
        key_file: Its key.
        storage: Where reports are stored.
        zone: Time zone in which days begin.
        most_age_h: Kind -> hours from the end of the newest report's period until the next report is missing.
        reader: May read reports.
        metrics: May read the metrics.
    """

    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    storage: Storage
    zone: ZoneInfo
    most_age_h: Mapping[str, float]
    reader: Login
    metrics: Login


_TLS = ("cert_file", "key_file")
_LOGIN = ("user", "password_file")
_FILES = ("access_key_id_file", "secret_access_key_file")
_OPTIONAL = ("endpoint", "ca_file")
_NEEDED = ("region", "bucket", *_FILES)
_STORAGE = (*_NEEDED, "prefix", *_OPTIONAL)
_TOP = ("listen", "tls", "storage", "time_zone", "most_age_h", "reader", "metrics")


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
    top = mapping("", content, _TOP)
    tls = texts("tls", top["tls"], _TLS)
    host, port = address(top["listen"])
    ages = mapping("most_age_h", top["most_age_h"], KINDS)
    return Settings(
        listen_host=host,
        listen_port=port,
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        storage=_storage(top["storage"]),
        zone=_zone(top["time_zone"]),
        most_age_h=MappingProxyType({kind: _hours(f"most_age_h.{kind}", ages[kind]) for kind in KINDS}),
        reader=_login("reader", top["reader"]),
        metrics=_login("metrics", top["metrics"]),
    )


def _storage(value: object) -> Storage:
    found = mapping("storage", value, _STORAGE)
    text = texts("storage", {key: found[key] for key in _NEEDED}, _NEEDED)
    for key in _OPTIONAL:
        if found[key] is not None and (not isinstance(found[key], str) or not found[key]):
            raise SettingsError(f"storage.{key} is {found[key]!r}; it must be null or a text that is not empty")
    prefix = found["prefix"]
    if not isinstance(prefix, str) or prefix.startswith("/") or (prefix and not prefix.endswith("/")):
        raise SettingsError(f'storage.prefix is {prefix!r}; it must be "" or end with /, for example "reports/"')
    return Storage(
        endpoint=_endpoint(found["endpoint"]),
        region=text["region"],
        bucket=text["bucket"],
        prefix=prefix,
        access_key_id_file=Path(text["access_key_id_file"]),
        secret_access_key_file=Path(text["secret_access_key_file"]),
        ca_file=Path(found["ca_file"]) if found["ca_file"] else None,
    )


def _endpoint(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and not parts.path.strip("/")
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"storage.endpoint is {value!r}; it must be https://host:port, or null for AWS' own")
    return value.rstrip("/")


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError):
        raise SettingsError(f"time_zone is {value!r}; it must be a name such as Asia/Tokyo") from None


def _hours(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingsError(f"{where} is {value!r}; it must be a number of hours above 0")
    return float(value)


def _login(where: str, value: object) -> Login:
    found = texts(where, value, _LOGIN)
    return Login(user=found["user"], password_file=Path(found["password_file"]))
