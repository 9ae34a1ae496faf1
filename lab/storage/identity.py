"""The age identity that opens the lab's backups: the operator's key, made once, never inside the cluster."""

from __future__ import annotations

from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from lab.errors import LabError
from lab.private_file import write_private
from lab.storage.paths import IDENTITY


def identity_file(place: Path) -> Path:
    """File with the identity, as the program ``age`` reads it.

    Args:
        place: Folder of the object storage.
    """
    return place / IDENTITY


def make(place: Path) -> None:
    """Make the identity where there is none."""
    file = identity_file(place)
    if not file.exists():
        write_private(file, f"{pyrage.x25519.Identity.generate()}\n".encode())


def recipient(place: Path) -> str:
    """The public half, to which backups are encrypted.

    Raises:
        LabError: The file is not there or not whole.
    """
    file = identity_file(place)
    try:
        return str(pyrage.x25519.Identity.from_str(file.read_text().strip()).to_public())
    except (OSError, pyrage.IdentityError) as error:
        raise LabError(
            f"identity of backups: {file} cannot be used ({type(error).__name__}): run `make up`, which makes it"
        ) from None
