"""The index manager's settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class SettingsError(Exception):
    """What is wrong with the settings file, in one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class AccessFile:
    """Users and roles to apply, and the certificate that may."""

    file: Path
    cert_file: Path
    key_file: Path


@dataclass(frozen=True, kw_only=True)
class FamilySettings:
    """One family of indices, ``<name>-000001`` and so on; sizes and ages are upper limits of one index."""

    name: str
    write_alias: str
    read_aliases: tuple[str, ...]
    template: Mapping[str, Any]
    rollover_age_s: int
    rollover_bytes: int
    rollover_documents: int
    keep_s: int


@dataclass(frozen=True, kw_only=True)
class SnapshotSettings:
    """Copies of all families in a repository."""

    type: str
    settings: Mapping[str, Any]
    interval_s: int
    keep_s: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of the index manager."""

    host: str
    port: int
    ca_file: Path
    username: str
    password_file: Path
    access: AccessFile | None
    nodes: int
    families: tuple[FamilySettings, ...]
    snapshots: SnapshotSettings | None
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    metrics_user: str
    metrics_password_file: Path
    interval_s: int


_TOP = (
    "url",
    "ca_file",
    "username",
    "password_file",
    "access",
    "nodes",
    "families",
    "snapshots",
    "listen",
    "tls",
    "metrics",
    "interval_s",
)
_ACCESS = ("file", "cert_file", "key_file")
_FAMILY = ("name", "write_alias", "read_aliases", "template", "rollover", "keep_s")
_ROLLOVER = ("age_s", "bytes", "documents")
_SNAPSHOTS = ("type", "settings", "interval_s", "keep_s")
_TLS = ("cert_file", "key_file")
_METRICS = ("user", "password_file")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_TOP_PORT = 65535


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    try:
        content = yaml.safe_load(path.read_text())
        return parse(content)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is neither YAML nor JSON: {' '.join(str(error).split())}") from None
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
    url = urlsplit(_text("url", top["url"]))
    if url.scheme != "https" or not url.hostname or not url.port or url.path:
        raise SettingsError(f'url is {top["url"]!r}; it must be "https://host:port"')
    host, _, port = _text("listen", top["listen"]).rpartition(":")
    if not host or not port.isdigit() or int(port) > _TOP_PORT:
        raise SettingsError(f'listen is {top["listen"]!r}; it must be "address:port", for example "0.0.0.0:8080"')
    return Settings(
        host=url.hostname,
        port=url.port,
        ca_file=_path("ca_file", top["ca_file"]),
        username=_text("username", top["username"]),
        password_file=_path("password_file", top["password_file"]),
        access=None if top["access"] is None else _access(top["access"]),
        nodes=_number("nodes", top["nodes"]),
        families=_families(top["families"]),
        snapshots=None if top["snapshots"] is None else _snapshots(top["snapshots"]),
        listen_host=host,
        listen_port=int(port),
        cert_file=_path("tls.cert_file", tls["cert_file"]),
        key_file=_path("tls.key_file", tls["key_file"]),
        metrics_user=_text("metrics.user", metrics["user"]),
        metrics_password_file=_path("metrics.password_file", metrics["password_file"]),
        interval_s=_number("interval_s", top["interval_s"]),
    )


def _access(value: object) -> AccessFile:
    given = _mapping("access", value, _ACCESS)
    return AccessFile(**{key: _path(f"access.{key}", given[key]) for key in _ACCESS})


def _snapshots(value: object) -> SnapshotSettings:
    given = _mapping("snapshots", value, _SNAPSHOTS)
    if not isinstance(given["settings"], dict):
        raise SettingsError(f"snapshots.settings is {_kind(given['settings'])}; it must be a mapping")
    return SnapshotSettings(
        type=_text("snapshots.type", given["type"]),
        settings=given["settings"],
        interval_s=_number("snapshots.interval_s", given["interval_s"]),
        keep_s=_number("snapshots.keep_s", given["keep_s"]),
    )


def _families(value: object) -> tuple[FamilySettings, ...]:
    if not isinstance(value, list) or not value:
        raise SettingsError(f"families is {_kind(value)}; it must be a list of families")
    families = tuple(_family(f"families[{number}]", entry) for number, entry in enumerate(value))
    names = [family.name for family in families] + [family.write_alias for family in families]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"families: {twice[0]} occurs twice; names and write aliases must be unique")
    return families


def _family(where: str, value: object) -> FamilySettings:
    given = _mapping(where, value, _FAMILY)
    rollover = _mapping(f"{where}.rollover", given["rollover"], _ROLLOVER)
    aliases = given["read_aliases"]
    if not isinstance(aliases, list):
        raise SettingsError(f"{where}.read_aliases is {_kind(aliases)}; it must be a list of names")
    if not isinstance(given["template"], dict):
        raise SettingsError(f"{where}.template is {_kind(given['template'])}; it must be an index template")
    return FamilySettings(
        name=_name(f"{where}.name", given["name"]),
        write_alias=_name(f"{where}.write_alias", given["write_alias"]),
        read_aliases=tuple(_name(f"{where}.read_aliases", alias) for alias in aliases),
        template=given["template"],
        rollover_age_s=_number(f"{where}.rollover.age_s", rollover["age_s"]),
        rollover_bytes=_number(f"{where}.rollover.bytes", rollover["bytes"]),
        rollover_documents=_number(f"{where}.rollover.documents", rollover["documents"]),
        keep_s=_number(f"{where}.keep_s", given["keep_s"]),
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


def _path(key: str, value: object) -> Path:
    return Path(_text(key, value))


def _name(key: str, value: object) -> str:
    text = _text(key, value)
    if not _NAME.fullmatch(text):
        raise SettingsError(f"{key} is {text!r}; it must be lower-case letters, digits and hyphens")
    return text


def _number(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{key} is {value!r}; it must be a whole number from 1")
    return value


def _kind(value: object) -> str:
    return "empty" if value in (None, "", [], {}) else f"a {type(value).__name__}"
