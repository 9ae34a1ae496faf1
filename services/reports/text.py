"""Texts in every language of the reports, and values as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

from services.charts.units import number, scale

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = ("en", "ja")

_SYMBOLS = {"d": "日", "h": "時間", "min": "分", "s": "秒", "ms": "ミリ秒", "µs": "マイクロ秒"}
_PARTS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text in both languages."""

    en: str
    ja: str

    def of(self, language: Language) -> str:
        """The text in one language."""
        return self.en if language == "en" else self.ja

    def filled(self, **values: Text | str) -> Text:
        """The same with its placeholders replaced, each by the value in the same language."""
        return Text(
            **{
                language: self.of(language).format(
                    **{key: text_of(value).of(language) for key, value in values.items()}
                )
                for language in LANGUAGES
            }
        )


def text_of(value: Text | str) -> Text:
    """A name, number or time that is the same in every language, or what is a `Text` already."""
    return value if isinstance(value, Text) else Text(en=value, ja=value)


def joined(texts: list[Text], en: str = ", ", ja: str = "、") -> Text:
    """Several texts as one."""
    return Text(en=en.join(text.en for text in texts), ja=ja.join(text.ja for text in texts))


NOTHING = text_of("-")
"""Stands where there is no value."""


def amount(value: float | None, unit: str) -> Text:
    """A value with its unit.

    Args:
        value: The value; None or no finite number is shown as ``-``.
        unit: UCUM unit, as charts take it; counted things (``{device}``) are plain numbers.
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if unit == "1":
        return text_of(f"{number(value * 100)} %")
    size = scale(unit, abs(value))
    written, symbol = number(value / size.factor), size.symbol
    if unit.startswith("{"):
        _, _, per = unit.partition("/")
        return text_of(written) if not per else Text(en=f"{written} /{per}", ja=f"{written} /{_SYMBOLS.get(per, per)}")
    if not symbol:
        return text_of(written)
    return Text(en=f"{written} {symbol}", ja=f"{written} {_SYMBOLS.get(symbol, symbol)}")


def share(value: float | None) -> Text:
    """A share of a promise in per cent, cut and never rounded up: 99.9996 % is not 100 %."""
    if value is None or not math.isfinite(value):
        return NOTHING
    # 1e-9: what is a whole number but for the last bit of a float.
    cut = math.floor(value * 100_000 + 1e-9) / 1000
    return text_of(f"{cut:.3f}".rstrip("0").rstrip(".") + " %")


def duration(seconds: float | None) -> Text:
    """A duration in its two largest parts, such as ``3 h 5 min``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    left, parts = round(abs(seconds)), []
    for size, symbol in _PARTS:
        count, left = divmod(left, size)
        parts.append((count, symbol))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [(count, symbol) for count, symbol in parts[first : first + 2] if count] or [parts[-1]]
    return Text(
        en=" ".join(f"{count} {symbol}" for count, symbol in shown),
        ja=" ".join(f"{count} {_SYMBOLS[symbol]}" for count, symbol in shown),
    )


def change(now: float | None, before: float | None) -> Text:
    """By how much a value differs from an earlier one, in per cent of that."""
    if now is None or before is None or not (math.isfinite(now) and math.isfinite(before)) or before == 0:
        return NOTHING
    written = f"{(now - before) / abs(before) * 100:+.1f}"
    return text_of("0 %" if float(written) == 0 else f"{written} %")


def moment(seconds: float | None, zone: tzinfo, form: str = "%Y-%m-%d %H:%M") -> Text:
    """A moment in a time zone."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    return text_of(datetime.fromtimestamp(seconds, zone).strftime(form))
