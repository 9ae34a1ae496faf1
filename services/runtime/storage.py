"""Settings of who uses an object storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from services.runtime.settings import File, SettingsModel, Text, checked, not_allowed

ENCRYPTIONS = ("AES256", "aws:kms")
"""How a storage can be asked to encrypt objects."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The bucket.

    Attributes:
        endpoint: Its address; None: AWS' own.
        region: Its region.
        bucket: Its name.
        prefix: What the keys of all objects begin with.
        access_key_id_file: File with the key's id.
        secret_access_key_file: File with the key.
        ca_file: Authority of its certificate; None: the public ones.
        encryption: How it is asked to encrypt objects; None: as the bucket says.
    """

    endpoint: str | None
    region: str
    bucket: str
    prefix: str
    access_key_id_file: Path
    secret_access_key_file: Path
    ca_file: Path | None
    encryption: str | None = None


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


OptionalFile = Annotated[
    File | None, checked(lambda value: value is None or bool(value), "null or a text that is not empty")
]


class BucketSettings(SettingsModel):
    """A whole bucket, and who may use it; see `Storage`."""

    endpoint: Annotated[str | None, BeforeValidator(_checked_endpoint)]
    region: Text
    bucket: Text
    access_key_id_file: File
    secret_access_key_file: File
    ca_file: OptionalFile

    @property
    def place(self) -> Storage:
        """The bucket."""
        return Storage(**{"prefix": "", **{name: getattr(self, name) for name in type(self).model_fields}})


class StorageSettings(BucketSettings):
    """A part of a bucket that is read."""

    prefix: Annotated[str, checked(_is_prefix, '"" or end with /, for example "reports/"')]


class WritableStorageSettings(StorageSettings):
    """A part of a bucket that is written to."""

    encryption: Annotated[
        str | None, checked(lambda value: value in (None, *ENCRYPTIONS), f"null or one of {', '.join(ENCRYPTIONS)}")
    ] = None
