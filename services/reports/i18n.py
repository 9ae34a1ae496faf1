"""Finds words by their key; every one is there in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.reports.i18n_figures import FIGURES
from services.reports.i18n_page import PAGE
from services.reports.i18n_recommendations import RECOMMENDATIONS
from services.reports.i18n_sections import SECTIONS
from services.reports.text import Text

TEXTS: Final[Mapping[str, tuple[str, str]]] = {**PAGE, **SECTIONS, **FIGURES, **RECOMMENDATIONS}
"""Key -> English, Japanese. ``{name}`` is filled in."""


def translate(key: str, **values: Text | str) -> Text:
    """The words of a key, filled in.

    Raises:
        KeyError: There are no such words, or a value is missing.
    """
    english, japanese = TEXTS[key]
    return Text(en=english, ja=japanese).filled(**values)
