"""What a report can fail over, in one line that people can act on."""

from __future__ import annotations


class ReportError(Exception):
    """A report could not be made, stored or sent; the message has no credentials."""


def one_line(error: object, most: int = 200) -> str:
    """The text of an error in one line of at most ``most`` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[: most - 3] + "..."
