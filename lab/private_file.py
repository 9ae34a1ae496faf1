"""Secrets of a server outside the platform, made once for a lab and kept in a file that only its owner can read."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lab import LabError
from ops.core.files import write_private

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_Secrets = TypeVar("_Secrets", bound="DataclassInstance")


def load(kind: type[_Secrets], file: Path, of: str) -> _Secrets:
    """Read the secrets.

    Args:
        kind: Dataclass whose fields the file has.
        file: JSON.
        of: Whose secrets these are, for the message.

    Raises:
        LabError: The file is not there or not whole.
    """
    try:
        content = json.loads(file.read_text())
        return kind(**{field.name: content[field.name] for field in fields(kind)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"secrets of {of}: {file} cannot be used ({type(error).__name__}): run `make up`, which makes them"
        ) from None


def load_or_make(kind: type[_Secrets], file: Path, of: str) -> _Secrets:
    """Read the secrets, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, json.dumps(asdict(kind()), indent=1).encode() + b"\n")
    return load(kind, file, of)
