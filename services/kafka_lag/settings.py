"""The exporter's settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class SettingsError(Exception):
    """What is wrong with the settings file, in one line that says what to do."""


@dataclass(frozen=True)
class Selection:
    """Which names to report: exactly the listed ones, or all that a regular expression matches as a whole."""

    names: frozenset[str] | None
    pattern: re.Pattern[str] | None

    def __contains__(self, name: str) -> bool:
        """Tell whether ``name`` is to be reported."""
        if self.names is not None:
            return name in self.names
        return self.pattern is not None and self.pattern.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach the brokers, what to report, and how to serve it."""

    bootstrap: str
    ca_file: Path
    username: str
    password_file: Path
    groups: Selection
    topics: Selection
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    metrics_user: str
    metrics_password_file: Path
    interval_s: float


_TOP = (
    "bootstrap",
    "ca_file",
    "username",
    "password_file",
    "groups",
    "topics",
    "listen",
    "tls",
    "metrics",
    "interval_s",
)
_TLS = ("cert_file", "key_file")
_METRICS = ("user", "password_file")
_INTERVAL_RANGE_S = (1.0, 300.0)
_TOP_PORT = 65535


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    try:
        return parse(content)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = _mapping("the file", content, _TOP)
    tls = _mapping("tls", top["tls"], _TLS)
    metrics = _mapping("metrics", top["metrics"], _METRICS)
    host, port = _address(top["listen"])
    return Settings(
        bootstrap=_bootstrap(top["bootstrap"]),
        ca_file=Path(_text("ca_file", top["ca_file"])),
        username=_text("username", top["username"]),
        password_file=Path(_text("password_file", top["password_file"])),
        groups=_selection("groups", top["groups"]),
        topics=_selection("topics", top["topics"]),
        listen_host=host,
        listen_port=port,
        cert_file=Path(_text("tls.cert_file", tls["cert_file"])),
        key_file=Path(_text("tls.key_file", tls["key_file"])),
        metrics_user=_text("metrics.user", metrics["user"]),
        metrics_password_file=Path(_text("metrics.password_file", metrics["password_file"])),
        interval_s=_interval(top["interval_s"]),
    )


def _mapping(where: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} is {_kind(value)}; it must have the keys {', '.join(keys)}")
    prefix = "" if where == "the file" else f"{where}."
    for key in value:
        if key not in keys:
            raise SettingsError(f"{prefix}{key} is not a setting; allowed: {', '.join(keys)}")
    for key in keys:
        if key not in value:
            raise SettingsError(f"{prefix}{key} is missing; needed: {', '.join(keys)}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{key} is {_kind(value)}; it must be a text that is not empty")
    return value


def _bootstrap(value: object) -> str:
    servers = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(servers, list)
        or not servers
        or not all(isinstance(item, str) and ":" in item for item in servers)
    ):
        raise SettingsError('bootstrap must be "host:port", several with commas or as a list')
    return ",".join(item.strip() for item in servers)


def _selection(key: str, value: object) -> Selection:
    if isinstance(value, str) and value:
        try:
            return Selection(None, re.compile(value))
        except re.error as error:
            raise SettingsError(f"{key} is {value!r}, which is no regular expression: {error}") from None
    if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
        return Selection(frozenset(value), None)
    raise SettingsError(f"{key} is {_kind(value)}; it must be a list of names or a regular expression")


def _address(value: object) -> tuple[str, int]:
    host, _, port = _text("listen", value).rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= _TOP_PORT:
        raise SettingsError(f'listen is {value!r}; it must be "address:port", for example "0.0.0.0:8080"')
    return host, int(port)


def _interval(value: object) -> float:
    low, high = _INTERVAL_RANGE_S
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"interval_s is {value!r}; it must be a number of seconds from {low:.0f} to {high:.0f}")
    return float(value)


def _kind(value: object) -> str:
    return "empty" if value in (None, "", [], {}) else f"a {type(value).__name__}"
