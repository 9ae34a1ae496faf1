"""Fixed texts of timeline and report, in English and Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import yaml

from ops.incidents.times import span


class Language(StrEnum):
    """Languages of a report."""

    ENGLISH = "en"
    JAPANESE = "ja"
    BOTH = "both"


class Texts:
    """Fixed texts in one language, or in both with a stroke between them."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key; names in braces are filled in, lengths of time in the language's own way.

        Raises:
            KeyError: There is no such key.
        """
        english, japanese = (
            text.format(**{name: _told(value, language) for name, value in values.items()})
            for text, language in zip(TEXTS[key], (Language.ENGLISH, Language.JAPANESE), strict=True)
        )
        if self.language is Language.ENGLISH or english == japanese:
            return english
        return japanese if self.language is Language.JAPANESE else f"{english} / {japanese}"


_JAPANESE_UNITS = {" min": "分", " s": "秒", " h": "時間", " d": "日"}


def _told(value: object, language: Language) -> object:
    if not isinstance(value, timedelta):
        return value
    text = span(value)
    if language is Language.JAPANESE:
        for english, japanese in _JAPANESE_UNITS.items():
            text = text.replace(english, japanese)
        return text.replace(" ", "")
    return text


TEXTS: Mapping[str, tuple[str, str]] = {
    key: (english, japanese)
    for key, (english, japanese) in yaml.load(
        Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
    ).items()
}
"""Key -> English, Japanese."""
