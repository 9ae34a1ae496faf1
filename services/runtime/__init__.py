"""What our programs in containers share: settings, HTTPS server, clients, periodic work, the end."""

from __future__ import annotations


def one_line(error: object, most: int = 300) -> str:
    """The text of an error in one line of at most ``most`` characters; an exception without a text has its type."""
    text = " ".join(str(error).split())
    if not text and isinstance(error, BaseException):
        return type(error).__name__
    return text if len(text) <= most else text[: most - 3] + "..."
