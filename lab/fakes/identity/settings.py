"""The fake's settings: one public file and one with its users and clients, both closed to unknown keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """What is wrong with a settings file, in one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody who can sign in.

    Attributes:
        name: User name, and subject of the tokens.
        password_hash: bcrypt hash.
        email: Mail address.
        groups: Groups.
    """

    name: str
    password_hash: str
    email: str
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Client:
    """A program that users sign in to, or that signs in itself.

    Attributes:
        client_id: Its name.
        secret: Its password.
        redirects: Where its users may be sent back to; none: it has no login.
        groups: Groups of its own tokens (client credentials); none: it gets no tokens of its own.
        audiences: Audiences of its own tokens.
    """

    client_id: str
    secret: str
    redirects: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Everybody who can sign in."""

    users: Mapping[str, User]
    clients: Mapping[str, Client]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the fake is reached and served.

    Attributes:
        issuer: Issuer URL, without a slash at its end.
        listen_host: Address to listen on.
        listen_port: Port to listen on.
        cert_file: Certificate chain.
        key_file: Its key.
        accounts_file: File with users and clients.
        token_life_s: Life of a token in seconds.
        metrics_host: Address that its own metrics are served on.
        metrics_port: Port of them.
        metrics_user: Who may read them.
        metrics_password_file: File with that user's password.
    """

    issuer: str
    listen_host: str
    listen_port: int
    cert_file: Path
    key_file: Path
    accounts_file: Path
    token_life_s: int
    metrics_host: str
    metrics_port: int
    metrics_user: str
    metrics_password_file: Path


_KEYS = ("issuer", "listen", "tls", "accounts_file", "token_life_s", "metrics")
_TLS = ("cert_file", "key_file")
_METRICS = ("listen", "user", "password_file")
_USER = ("password_hash", "email", "groups")
_CLIENT = ("secret", "redirects", "groups", "audiences")
_LIFE_RANGE_S = (60, 86_400)


def load(path: Path) -> Settings:
    """Read the public settings, as JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    content = _closed(path, "the file", _read(path), _KEYS)
    tls = _closed(path, "tls", content["tls"], _TLS)
    metrics = _closed(path, "metrics", content["metrics"], _METRICS)
    host, port = _address(path, "listen", content["listen"])
    metrics_host, metrics_port = _address(path, "metrics.listen", metrics["listen"])
    issuer = _text(path, "issuer", content["issuer"])
    if not issuer.startswith("https://") or issuer.endswith("/"):
        raise SettingsError(f"{path}: issuer is {issuer!r}; it must be an https URL without a slash at its end")
    life = content["token_life_s"]
    low, high = _LIFE_RANGE_S
    if isinstance(life, bool) or not isinstance(life, int) or not low <= life <= high:
        raise SettingsError(f"{path}: token_life_s is {life!r}; it must be whole seconds from {low} to {high}")
    return Settings(
        issuer=issuer,
        listen_host=host,
        listen_port=port,
        cert_file=Path(_text(path, "tls.cert_file", tls["cert_file"])),
        key_file=Path(_text(path, "tls.key_file", tls["key_file"])),
        accounts_file=Path(_text(path, "accounts_file", content["accounts_file"])),
        token_life_s=life,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        metrics_user=_text(path, "metrics.user", metrics["user"]),
        metrics_password_file=Path(_text(path, "metrics.password_file", metrics["password_file"])),
    )


def load_accounts(path: Path) -> Accounts:
    """Read users and clients, as JSON; messages never show a value.

    Raises:
        SettingsError: The file cannot be read, or lacks something.
    """
    content = _closed(path, "the file", _read(path), ("users", "clients"))
    users = {
        name: User(
            name=name,
            password_hash=_text(path, f"users.{name}.password_hash", user["password_hash"]),
            email=_text(path, f"users.{name}.email", user["email"]),
            groups=_texts(path, f"users.{name}.groups", user["groups"]),
        )
        for name, user in _members(path, "users", content["users"], _USER)
    }
    clients = {
        name: Client(
            client_id=name,
            secret=_text(path, f"clients.{name}.secret", client["secret"]),
            redirects=_texts(path, f"clients.{name}.redirects", client["redirects"]),
            groups=_texts(path, f"clients.{name}.groups", client["groups"]),
            audiences=_texts(path, f"clients.{name}.audiences", client["audiences"]),
        )
        for name, client in _members(path, "clients", content["clients"], _CLIENT)
    }
    return Accounts(users=users, clients=clients)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{path}: is not JSON") from None


def _closed(path: Path, where: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise SettingsError(f"{path}: {where} must have exactly the keys {', '.join(keys)}")
    return value


def _members(path: Path, where: str, value: object, keys: tuple[str, ...]) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, dict):
        raise SettingsError(f"{path}: {where} must map names to {', '.join(keys)}")
    return [(str(name), _closed(path, f"{where}.{name}", member, keys)) for name, member in value.items()]


def _address(path: Path, key: str, value: object) -> tuple[str, int]:
    host, _, port = _text(path, key, value).rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f'{path}: {key} must be "address:port", for example "0.0.0.0:5556"')
    return host, int(port)


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{path}: {key} must be a text that is not empty")
    return value


def _texts(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise SettingsError(f"{path}: {key} must be a list of texts")
    return tuple(value)
