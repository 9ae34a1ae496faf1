"""The one exception that a user of ``ops`` sees, and the shortening of everybody else's."""

from __future__ import annotations


class OpsError(Exception):
    """Something the user can act on; printed as one line, without a traceback."""


def one_line(error: object, limit: int = 240) -> str:
    """Text of ``error`` on one line of at most ``limit`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
