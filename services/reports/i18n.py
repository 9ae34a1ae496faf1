"""Finds words by their key; every one is there in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from services.reports.model import Text

TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    key: (english, japanese)
    for key, (english, japanese) in yaml.load(
        Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
    ).items()
}
"""Key -> English, Japanese. ``{name}`` is filled in."""


def translate(key: str, **values: Text | str) -> Text:
    """The words of a key, filled in.

    Raises:
        KeyError: There are no such words, or a value is missing.
    """
    english, japanese = TEXTS[key]
    return Text(en=english, ja=japanese).filled(**values)
