"""What a program checks at its start beside the settings file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.backup.encryption import recipient
from services.backup.errors import BackupError
from services.runtime.settings import SettingsError


def check_recipients(recipients: Sequence[str]) -> None:
    """Check that every recipient is a key, and was not mistyped.

    Raises:
        SettingsError: One is not.
    """
    for position, key in enumerate(recipients):
        try:
            recipient(key)
        except BackupError as error:
            raise SettingsError(f"recipients[{position}]: {error}") from None


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
