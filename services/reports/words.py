"""Finds words by their key; every one is there in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.reports.text import Text
from services.reports.words_advice import ADVICE
from services.reports.words_figures import FIGURES
from services.reports.words_page import PAGE
from services.reports.words_sections import SECTIONS

WORDS: Final[Mapping[str, tuple[str, str]]] = {**PAGE, **SECTIONS, **FIGURES, **ADVICE}
"""Key -> English, Japanese. ``{name}`` is filled in."""


def say(key: str, **values: Text | str) -> Text:
    """The words of a key, filled in.

    Raises:
        KeyError: There are no such words, or a value is missing.
    """
    english, japanese = WORDS[key]
    return Text(en=english, ja=japanese).filled(**values)
