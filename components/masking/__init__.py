"""What the gate masks, by examples of texts that hold personal data or a secret and of texts that only look so
(requirement O3), and the pseudonym that stands for an id; the masking is ``collector/masking``.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, kw_only=True)
class Example:
    """Texts about one kind of data.

    Attributes:
        id: Unique name.
        finds: The kind.
        dirty: Text -> what must not be readable in it afterwards.
        clean: Texts that resemble them and must stay as they are.
    """

    id: str
    finds: str
    dirty: tuple[tuple[str, str], ...]
    clean: tuple[str, ...]


def _read() -> tuple[Example, ...]:
    rows = yaml.load(Path(__file__).with_name("examples.yaml").read_text(), yaml.CSafeLoader)
    return tuple(
        Example(
            id=row["id"],
            finds=row["finds"],
            dirty=tuple((pair["text"], pair["secret"]) for pair in row["dirty"]),
            clean=tuple(row["clean"]),
        )
        for row in rows
    )


EXAMPLES: tuple[Example, ...] = _read()


KEY_BYTES = 32
"""Shortest key that the collector takes."""


def pseudonym(value: str, key: str) -> str:
    """The keyed hash (HMAC-SHA-256, hexadecimal) that stands for ``value`` in all telemetry.

    Raises:
        ValueError: The key is too short.
    """
    if len(key.encode()) < KEY_BYTES:
        raise ValueError(f"the key for ids has {len(key.encode())} bytes, must have at least {KEY_BYTES}")
    return hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()
