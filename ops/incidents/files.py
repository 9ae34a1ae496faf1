"""Writes the files of a report."""

from __future__ import annotations

from pathlib import Path

from ops.core.errors import OpsError
from ops.incidents.document import Document
from ops.incidents.render import html, markdown


def write(document: Document, name: str, folder: Path, secrets: frozenset[str]) -> list[Path]:
    """Write ``<name>.md`` with its charts, and ``<name>.html``.

    Args:
        document: The report.
        name: Beginning of the files' names.
        folder: Where they go; it is made when it is not there.
        secrets: Texts that must not be in any file: people may have pasted one into a note.

    Raises:
        OpsError: The folder cannot be written.
    """
    content = {f"{name}.md": markdown(document), f"{name}.html": html(document)}
    content |= {picture.name: picture.svg for picture in document.pictures}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in content.items():
            draft = folder / f".{file}.new"
            draft.write_text(_without(text, secrets), encoding="utf-8")
            draft.replace(folder / file)
    except OSError as error:
        raise OpsError(f"--out is {folder}: it cannot be written ({error.strerror}): name another folder") from None
    return [folder / file for file in content]


def _without(text: str, secrets: frozenset[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text
