"""What a backup or a restore can fail over, in one line that people can act on."""

from __future__ import annotations


class BackupError(Exception):
    """It could not be made, stored, read or restored; the message has no credentials."""


def one_line(error: object, most: int = 300) -> str:
    """The text of an error in one line of at most ``most`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 3] + "..."
