"""What a program checks at its start beside the settings file."""

from __future__ import annotations

from collections.abc import Sequence

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
