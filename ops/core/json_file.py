"""Reads a JSON file that somebody names into a model, with errors of one line that show nothing of its content."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ops.core.errors import OpsError, one_line

_Model = TypeVar("_Model", bound=BaseModel)


def read(kind: type[_Model], file: Path, *, named: str = "", form: str = "") -> _Model:
    """Read a file.

    Args:
        kind: What it must hold.
        file: JSON.
        named: The option or environment variable that names it.
        form: What it must look like, for the message.

    Raises:
        OpsError: The file cannot be read, or is none of this kind.
    """
    try:
        return kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise OpsError(f"{f'{named} {file}'.strip()}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        parts = (f"{named} {file}".strip(), key, one_line(first["msg"]), form)
        raise OpsError(": ".join(part for part in parts if part)) from None
