"""What a report is, as data: its period in the platform's time zone, sections of paragraphs, figures, tables and
charts, every text in both languages, values as people read them; and what it can fail over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import yaml

from services.charts import number, scale
from services.reports import LANGUAGES, Language


class ReportError(Exception):
    """A report could not be made, stored or sent; the message has no credentials."""


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
    """A share of a promise in per cent, cut and never rounded up: ``99.9996 %`` is not ``100 %``."""
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


Tone = Literal["", "good", "warning", "bad"]
Point = tuple[float, float]


class Kind(StrEnum):
    """The reports."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Some sentences.

    Attributes:
        text: They.
        tone: How good or bad what they say is.
    """

    text: Text
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One large number.

    Attributes:
        label: What it is.
        value: With its unit.
        note: What to compare it with; may be empty.
        tone: How good or bad it is.
    """

    label: Text
    value: Text
    note: Text | None = None
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Numbers side by side."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What is in it.
        number: Whether it stands on the right, as numbers do.
        tone: How good or bad it is.
    """

    text: Text
    number: bool = False
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: Over it.
        head: Heading of each column.
        rows: Its rows, each with a cell per column.
        note: Under it; may be missing.
        empty: Shown instead where there is no row.
    """

    title: Text
    head: tuple[Text, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: Text
    note: Text | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"table {self.title.en!r}: a row has {len(row)} cells, must have {len(self.head)}")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart: seconds since 1970 and value, oldest first."""

    label: Text
    points: Sequence[Point]
    emphasis: bool = False


@dataclass(frozen=True, kw_only=True)
class ChartLimit:
    """A limit in a chart, in the unit of its lines."""

    label: Text
    value: float
    bad: Literal["above", "below", ""] = "above"


@dataclass(frozen=True, kw_only=True)
class ChartSpan:
    """A shaded time in a chart."""

    label: Text
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over time.

    Attributes:
        title: Over it.
        unit: UCUM unit of the values.
        start: Left end, seconds since 1970.
        end: Right end.
        lines: The lines.
        limits: Limits.
        spans: Shaded times.
        gap_s: Points further apart are not joined; 0 joins all.
        zone: Time zone of the axis.
        note: Under it; may be missing.
    """

    title: Text
    unit: str
    start: float
    end: float
    lines: tuple[Line, ...]
    limits: tuple[ChartLimit, ...] = ()
    spans: tuple[ChartSpan, ...] = ()
    gap_s: float = 0.0
    zone: tzinfo = field(default=UTC)
    note: Text | None = None


Block = Paragraph | Figures | Table | Chart


@dataclass(frozen=True, kw_only=True)
class Section:
    """Blocks under one heading."""

    title: Text
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a page shows.

    Attributes:
        title: For people.
        facts: Lines under the title: what is covered, of which platform, made when.
        sections: What it says.
        problems: What could not be asked, so that nobody takes silence for calm.
    """

    title: Text
    facts: tuple[Text, ...]
    sections: tuple[Section, ...]
    problems: tuple[Text, ...]


@dataclass(frozen=True, kw_only=True)
class Report(Document):
    """One of the reports that are made again and again.

    Attributes:
        kind: Which.
        period: Name of its period, unique within its kind: ``2026-11-25``, ``2026-W48``, ``2026-11``.
        complete: Whether the period was over when it was made.
    """

    kind: Kind
    period: str
    complete: bool


HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, kw_only=True)
class Period:
    """One period.

    Attributes:
        kind: Of which report.
        name: ``2026-11-25``, ``2026-W48`` or ``2026-11``.
        first: Its first day.
        last: Its last day.
        start: Its begin, seconds since 1970.
        end: Its end.
        zone: Time zone that decides when days begin.
    """

    kind: Kind
    name: str
    first: date
    last: date
    start: float
    end: float
    zone: ZoneInfo

    @property
    def year(self) -> str:
        """Year under which it is stored; of a week: the ISO year."""
        return self.name[:4]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def before(self) -> Period:
        """The period before it."""
        return period(self.kind, self.first - timedelta(days=1), self.zone)


def period(kind: Kind, day: date, zone: ZoneInfo) -> Period:
    """The period of a report that holds a day."""
    if kind is Kind.DAILY:
        first, after, name = day, day + timedelta(days=1), day.isoformat()
    elif kind is Kind.WEEKLY:
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
        year, week, _ = day.isocalendar()
        name = f"{year:04d}-W{week:02d}"
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
        name = f"{first:%Y-%m}"
    start, end = (datetime.combine(boundary, time(), zone).timestamp() for boundary in (first, after))
    return Period(kind=kind, name=name, first=first, last=after - timedelta(days=1), start=start, end=end, zone=zone)


def chosen(kind: Kind, at: date | None, now: float, zone: ZoneInfo) -> Period:
    """The period to report on.

    Args:
        kind: Which report.
        at: A day of the period; None for the last one that is over.
        now: Seconds since 1970.
        zone: Time zone.

    Raises:
        ReportError: The period has not begun.
    """
    today = datetime.fromtimestamp(now, zone).date()
    current = period(kind, at or today, zone)
    if at is None:
        return current.before
    if current.start >= now:
        raise ReportError(
            f"{kind} report of {at.isoformat()}: that period begins in the future; "
            f"name a day up to {today}, in {zone.key}"
        )
    return current


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
