"""Settings of who reads an object storage, and of who may read the program: every mistake one clear line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from services.runtime.settings import (
    File,
    SettingsError,
    SettingsModel,
    Text,
    checked,
    mapping,
    not_allowed,
    texts,
)


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


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and not value.startswith("/") and (not value or value.endswith("/"))


def _checked_endpoint(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise not_allowed("null or a text that is not empty")
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and not parts.path.strip("/")
    except ValueError:
        whole = False
    if not whole:
        raise not_allowed("https://host:port, or null for AWS' own")
    return value.rstrip("/")


class StorageSettings(SettingsModel):
    """The section ``storage`` of a settings file."""

    endpoint: Annotated[str | None, BeforeValidator(_checked_endpoint)]
    region: Text
    bucket: Text
    prefix: Annotated[str, checked(_is_prefix, '"" or end with /, for example "reports/"')]
    access_key_id_file: File
    secret_access_key_file: File
    ca_file: Annotated[
        File | None, checked(lambda value: value is None or bool(value), "null or a text that is not empty")
    ]

    @property
    def place(self) -> Storage:
        """The bucket."""
        return Storage(**{name: getattr(self, name) for name in type(self).model_fields})


_LOGIN = ("user", "password_file")
_FILES = ("access_key_id_file", "secret_access_key_file")
_OPTIONAL = ("endpoint", "ca_file")
_NEEDED = ("region", "bucket", *_FILES)
_STORAGE = (*_NEEDED, "prefix", *_OPTIONAL)


def storage(value: object) -> Storage:
    """Check the section ``storage``.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    content = mapping("storage", value, _STORAGE)
    text = texts("storage", {key: content[key] for key in _NEEDED}, _NEEDED)
    for key in _OPTIONAL:
        if content[key] is not None and (not isinstance(content[key], str) or not content[key]):
            raise SettingsError(f"storage.{key} is {content[key]!r}; it must be null or a text that is not empty")
    prefix = content["prefix"]
    if not isinstance(prefix, str) or prefix.startswith("/") or (prefix and not prefix.endswith("/")):
        raise SettingsError(f'storage.prefix is {prefix!r}; it must be "" or end with /, for example "reports/"')
    return Storage(
        endpoint=_endpoint(content["endpoint"]),
        region=text["region"],
        bucket=text["bucket"],
        prefix=prefix,
        access_key_id_file=Path(text["access_key_id_file"]),
        secret_access_key_file=Path(text["secret_access_key_file"]),
        ca_file=Path(content["ca_file"]) if content["ca_file"] else None,
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


def login(where: str, value: object) -> Login:
    """Check a section that names a user and the file of its password.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    login_texts = texts(where, value, _LOGIN)
    return Login(user=login_texts["user"], password_file=Path(login_texts["password_file"]))
