"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.runtime.settings import SettingsError, address, mapping, read, texts
from services.runtime.storage import Login, Storage, login, storage

__all__ = ["KINDS", "Login", "Settings", "SettingsError", "Storage", "load", "parse"]

KINDS = ("daily", "weekly", "monthly")
"""The reports."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the report server shows, and to whom.

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
        storage=storage(top["storage"]),
        zone=_zone(top["time_zone"]),
        most_age_h=MappingProxyType({kind: _hours(f"most_age_h.{kind}", ages[kind]) for kind in KINDS}),
        reader=login("reader", top["reader"]),
        metrics=login("metrics", top["metrics"]),
    )


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError):
        raise SettingsError(f"time_zone is {value!r}; it must be a name such as Asia/Tokyo") from None


def _hours(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingsError(f"{where} is {value!r}; it must be a number of hours above 0")
    return float(value)
