"""Files that a command leaves for people and machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError


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
