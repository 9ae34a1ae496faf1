"""Identifiers, addresses and times, as Grafana writes them."""

from __future__ import annotations

import re
import secrets
import unicodedata
from http import HTTPStatus
from typing import Any, Final

from lab.fakes.grafana.exchange import RefusedError

_UID: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_UID: Final = 40
_LONGEST_TITLE: Final = 189
_NEVER: Final = "0001-01-01T00:00:00Z"


def chosen_uid(value: Any) -> str:
    """The identifier that somebody wants, or a new one.

    Raises:
        RefusedError: 400, it is too long or has signs that are not allowed.
    """
    if value in (None, ""):
        return "d" + secrets.token_hex(7)
    if not isinstance(value, str) or not _UID.fullmatch(value):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "uid contains illegal characters")
    if len(value) > _LONGEST_UID:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"uid too long, max {_LONGEST_UID} characters")
    return value


def title(value: Any, empty: str) -> str:
    """A title.

    Raises:
        RefusedError: 400 with ``empty`` as message, or it is too long.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise RefusedError(HTTPStatus.BAD_REQUEST, empty)
    if len(text) > _LONGEST_TITLE or "\0" in text:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the title is longer than {_LONGEST_TITLE} characters")
    return text


def slug(text: str) -> str:
    """A title as part of an address."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "-"


def text(content: dict[str, Any], key: str, default: str = "") -> str:
    """A text of a body.

    Raises:
        RefusedError: 400, it is no text.
    """
    value = content.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or "\0" in value:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
    return value


def number(value: Any) -> int:
    """A number that may be written as a text, 0 if it is none."""
    if isinstance(value, str) and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def time(value: Any) -> str:
    """A time of the database."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value else _NEVER
