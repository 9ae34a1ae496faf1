"""Settings of a service between Kafka and the search cluster: closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

_T = TypeVar("_T")


class SettingsError(Exception):
    """What is wrong with the settings file, in one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Where telemetry comes from; the user is also the consumer group."""

    bootstrap: str
    topic: str
    ca_file: Path
    username: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Search:
    """Where documents go: ``index`` is an alias with a write index."""

    url: str
    server_name: str
    index: str
    ca_file: Path
    username: str
    password_file: Path


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where telemetry comes from, where documents go, and how the metrics are served."""

    kafka: Kafka
    search: Search
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    metrics_user: str
    metrics_password_file: Path


_SECTIONS: dict[str, tuple[str, ...]] = {
    "kafka": ("bootstrap", "topic", "ca_file", "username", "password_file"),
    "search": ("url", "server_name", "index", "ca_file", "username", "password_file"),
    "tls": ("cert_file", "key_file"),
    "metrics": ("user", "password_file"),
}
_TOP_PORT = 65535


def read(path: Path, parse: Callable[[object], _T]) -> _T:
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


def ends(content: object, numbers: Mapping[str, Callable[[str, object], Any]]) -> dict[str, Any]:
    """Check the content of a settings file that has these numbers beside the ends.

    Args:
        content: The file's content.
        numbers: Further key -> what checks and converts its value.

    Returns:
        Fields of `Ends`, and the numbers.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    top = mapping("", content, (*_SECTIONS, "listen", *numbers))
    text = {name: texts(name, top[name], keys) for name, keys in _SECTIONS.items()}
    further = {name: check(name, top[name]) for name, check in numbers.items()}
    host, port = address(top["listen"])
    kafka, search = text["kafka"], text["search"]
    return {
        "kafka": Kafka(
            bootstrap=kafka["bootstrap"],
            topic=kafka["topic"],
            ca_file=Path(kafka["ca_file"]),
            username=kafka["username"],
            password_file=Path(kafka["password_file"]),
        ),
        "search": Search(
            url=_url(search["url"]),
            server_name=search["server_name"],
            index=search["index"],
            ca_file=Path(search["ca_file"]),
            username=search["username"],
            password_file=Path(search["password_file"]),
        ),
        "listen_host": host,
        "listen_port": port,
        "cert_file": Path(text["tls"]["cert_file"]),
        "key_file": Path(text["tls"]["key_file"]),
        "metrics_user": text["metrics"]["user"],
        "metrics_password_file": Path(text["metrics"]["password_file"]),
        **further,
    }


def mapping(where: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Check that a value has exactly these keys; ``where`` is its own key, empty for the file.

    Raises:
        SettingsError: A key is missing or unknown, or it is no mapping.
    """
    if not isinstance(value, dict):
        raise SettingsError(f"{where or 'the file'} must be a mapping with the keys {', '.join(keys)}")
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in keys:
            raise SettingsError(f"{prefix}{key} is not a setting; allowed: {', '.join(keys)}")
    for key in keys:
        if key not in value:
            raise SettingsError(f"{prefix}{key} is missing; needed: {', '.join(keys)}")
    return value


def texts(where: str, value: object, keys: tuple[str, ...]) -> dict[str, str]:
    """Check that a value has exactly these keys, each with a text.

    Raises:
        SettingsError: A key is missing or unknown, or a text is none or empty.
    """
    section = mapping(where, value, keys)
    for key in keys:
        if not isinstance(section[key], str) or not section[key]:
            raise SettingsError(f"{where}.{key} is {section[key]!r}; it must be a text that is not empty")
    return dict(section)


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and parts.port and not parts.path.strip("/")
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"search.url is {value!r}; it must be https://host:port")
    return value.rstrip("/")


def address(value: object) -> tuple[str, int]:
    """Host and port of the setting ``listen``.

    Raises:
        SettingsError: It is not ``address:port``.
    """
    host, _, port = str(value).rpartition(":")
    if not isinstance(value, str) or not host or not port.isdigit() or not 0 <= int(port) <= _TOP_PORT:
        raise SettingsError(f'listen is {value!r}; it must be "address:port", for example "0.0.0.0:8080"')
    return host, int(port)
