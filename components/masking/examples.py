"""Texts that hold personal data or a secret, and texts that only look as if they did (requirement O3)."""

from __future__ import annotations

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
