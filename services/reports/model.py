"""What a report is, as data: sections of paragraphs, figures, tables and charts, every text in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Literal

from services.reports.text import Text

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
class Report:
    """One report.

    Attributes:
        kind: Which.
        period: Name of its period, unique within its kind: ``2026-11-25``, ``2026-W48``, ``2026-11``.
        title: For people.
        facts: Lines under the title: what is covered, of which platform, made when.
        sections: What it says.
        problems: What could not be asked, so that nobody takes silence for calm.
        complete: Whether the period was over when it was made.
    """

    kind: Kind
    period: str
    title: Text
    facts: tuple[Text, ...]
    sections: tuple[Section, ...]
    problems: tuple[Text, ...]
    complete: bool
