"""A report as a tree of plain parts, without any markup: what is written once for HTML and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Code:
    """A text to be shown letter by letter, like a query."""

    text: str
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Link:
    """A text with an address; what is no web address is shown as text."""

    url: str
    kind: Literal["link"] = "link"

    @property
    def safe(self) -> bool:
        """Whether it may be followed."""
        return self.url.startswith(("https://", "http://"))


Cell = str | Code | Link


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a head; ``empty`` is shown when there is no row."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with values."""

    rows: Sequence[tuple[str, Cell]]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; ``tone`` says how it is meant."""

    text: str
    tone: Literal["", "muted", "warning"] = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class Points:
    """A list."""

    items: Sequence[str]
    kind: Literal["points"] = "points"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart.

    Attributes:
        svg: The ``<svg>`` element.
        name: Name of its file, without folder.
        alt: The same in words.
    """

    svg: str
    name: str
    alt: str
    kind: Literal["picture"] = "picture"


@dataclass(frozen=True, kw_only=True)
class Dial:
    """The clock.

    Attributes:
        text: What it shows.
        state: Its state.
        used: Length of the bar, 0 to 100.
        limit: Where the limit is, 0 to 100.
        label: Name of the limit.
    """

    text: str
    state: str
    used: float
    limit: float
    label: str
    kind: Literal["dial"] = "dial"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: Literal["heading"] = "heading"


Block = Table | Facts | Text | Points | Picture | Dial | Heading


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Document:
    """The whole report.

    Attributes:
        language: Of its words; the first one where there are two.
        title: Its title.
        severity: Priority of the incident.
        facts: What is said about the report itself.
        warnings: What has to be known before reading.
        sections: Its parts.
    """

    language: str
    title: str
    severity: str
    facts: Sequence[str]
    warnings: Sequence[str] = field(default=())
    sections: Sequence[Section] = ()

    @property
    def pictures(self) -> list[Picture]:
        """All charts, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Picture)]
