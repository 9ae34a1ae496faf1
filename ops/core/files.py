"""Files that commands read and leave: JSON that somebody names, files for their owner alone, reports."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ops.core.errors import OpsError, one_line


def write_private(path: Path, content: str | bytes) -> Path:
    """Write a file of mode 0600, whole or not at all; its path.

    Raises:
        OSError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)
    return path


_Model = TypeVar("_Model", bound=BaseModel)


def read_json(kind: type[_Model], file: Path, *, named: str = "", form: str = "") -> _Model:
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


class Lang(StrEnum):
    """Languages of reports."""

    EN = "en"
    JA = "ja"


def write_report(folder: Path, name: str, markdown: str, document: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``<name>.md`` and ``<name>.json``, each whole or not at all; they replace those that are there.

    Raises:
        OpsError: The folder, which ``--folder`` names, cannot be made, or a file cannot be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    files = folder / f"{name}.md", folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in zip(files, (markdown, text), strict=True):
            draft = folder / f".{file.name}.new"
            draft.write_text(content, encoding="utf-8")
            draft.replace(file)
    except OSError as error:
        raise OpsError(f"--folder {folder}: {error.strerror or error}") from None
    return files
