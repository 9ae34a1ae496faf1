"""Checks of single settings: every mistake one clear line."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from services.backup.encryption import recipient
from services.backup.errors import BackupError
from services.runtime.settings import SettingsError


def recipients(value: object) -> tuple[str, ...]:
    """The setting ``recipients``: public keys of age, each once.

    Raises:
        SettingsError: There is none, or one is no public key.
    """
    if not isinstance(value, list) or not value or not all(isinstance(member, str) for member in value):
        raise SettingsError("recipients must be a list of public keys of age (age1...), at least one")
    for position, member in enumerate(value):
        try:
            recipient(member)
        except BackupError as error:
            raise SettingsError(f"recipients[{position}]: {error}") from None
    if len(set(value)) != len(value):
        raise SettingsError("recipients has a key twice; each must be there once")
    return tuple(value)


def url(key: str, value: object) -> str:
    """An address over HTTPS without a user, a path or a slash at its end.

    Raises:
        SettingsError: It is none.
    """
    try:
        parts = urlsplit(text(key, value))
        whole = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.path in ("", "/")
        # Reading the port says whether it is a number.
        whole = whole and not (parts.query or parts.fragment) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"{key} is {value!r}; it must be https://host:port, without a user or a path")
    return str(value).rstrip("/")


def number(key: str, value: object, most: int, unit: str) -> int:
    """A whole number from 1 to ``most``.

    Raises:
        SettingsError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise SettingsError(f"{key} is {value!r}; it must be a whole number of {unit} from 1 to {most}")
    return value


def secret(file: Path) -> str:
    """What a mounted file with a password or a key holds.

    Raises:
        SettingsError: It cannot be read, or is empty.
    """
    try:
        content = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: is no text; it must hold a password or a key") from None
    if not content:
        raise SettingsError(f"{file}: is empty; it must hold a password or a key")
    return content


def with_optional(keys: tuple[str, ...], value: object, *optional: str) -> tuple[str, ...]:
    """The keys of a section: those it must have, and those of ``optional`` that it has."""
    return (*keys, *(key for key in optional if isinstance(value, dict) and key in value))


def text(key: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        SettingsError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{key} is {value!r}; it must be a text that is not empty")
    return value
