"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.runtime.settings import SettingsError, address, mapping, read, texts
from services.runtime.storage import Login, Storage, login, storage

__all__ = ["KINDS", "Blocks", "Settings", "SettingsError", "load", "parse"]

KINDS = ("database", "grafana", "kafka-metadata", "search", "pulumi-state")
"""What is backed up in runs: by jobs, and the last one by operators."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Where Thanos puts blocks of metrics, and how old the end of the newest one may get, in seconds."""

    prefix: str
    most_age_s: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the backup exporter looks at.

    Attributes:
        listen_host: Address of everything that it serves.
        listen_port: Port of it.
        cert_file: Certificate chain of the server.
        key_file: Its key.
        storage: Where backups are stored.
        most_age_s: Kind -> seconds from the start of its newest run until the next one is missing. Of a kind that is
            not named nobody expects any.
        blocks: Blocks of metrics, or None where there are none.
        metrics: May read the metrics.
    """

    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    storage: Storage
    most_age_s: Mapping[str, float]
    blocks: Blocks | None
    metrics: Login


_TLS = ("cert_file", "key_file")
_BLOCKS = ("prefix", "most_age_s")
_TOP = ("listen", "tls", "storage", "most_age_s", "blocks", "metrics")


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
    return Settings(
        listen_host=host,
        listen_port=port,
        cert_file=Path(tls["cert_file"]),
        key_file=Path(tls["key_file"]),
        storage=storage(top["storage"]),
        most_age_s=_ages(top["most_age_s"]),
        blocks=None if top["blocks"] is None else _blocks(top["blocks"]),
        metrics=login("metrics", top["metrics"]),
    )


def _ages(value: object) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise SettingsError(f"most_age_s must be a mapping of seconds; allowed keys: {', '.join(KINDS)}")
    for kind in value:
        if kind not in KINDS:
            raise SettingsError(f"most_age_s.{kind} is no kind of backup; allowed: {', '.join(KINDS)}")
    return MappingProxyType({kind: _seconds(f"most_age_s.{kind}", age) for kind, age in value.items()})


def _blocks(value: object) -> Blocks:
    content = mapping("blocks", value, _BLOCKS)
    prefix = content["prefix"]
    if not isinstance(prefix, str) or prefix.startswith("/") or not prefix.endswith("/"):
        raise SettingsError(f"blocks.prefix is {prefix!r}; it must end with /, for example metrics/")
    return Blocks(prefix=prefix, most_age_s=_seconds("blocks.most_age_s", content["most_age_s"]))


def _seconds(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingsError(f"{where} is {value!r}; it must be a number of seconds above 0")
    return float(value)
