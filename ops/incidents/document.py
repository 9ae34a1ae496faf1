"""A report as a tree of plain parts, without any markup, and its files: HTML (one file, nothing loaded from elsewhere)
and Markdown. And the fixed texts of timeline and report, in English and Japanese.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ops.core.errors import OpsError
from ops.incidents.record import span
from ops.telemetry.traces import printable


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


_TEMPLATES = Path(__file__).parent / "templates"
_SPECIAL = re.compile(r"([\\`*\[\]|~])")
_EDGE = re.compile(r"(?<!\w)_|_(?!\w)")
_LINE_START = re.compile(r"^(\d*)([#+.)-])")
_LONG_WORD = 24
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def html(document: Document) -> str:
    """The report as one HTML page that can be mailed and printed; every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own charts; the texts inside them are escaped already.
    environment.filters["inline"] = Markup
    environment.filters["plain"] = _lines
    environment.tests["long"] = _is_long
    return environment.get_template("report.html.j2").render(document=document)


def markdown(document: Document) -> str:
    """The report as Markdown; its charts are files of their own beside it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701  (Markdown has an escaping of its own, below)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = escaped
    environment.filters["paragraph"] = paragraph
    environment.filters["cell"] = cell
    return environment.get_template("report.md.j2").render(document=document)


def _is_long(content: Cell) -> bool:
    """Whether a cell has a word that is broken rather than let it widen its column."""
    text = content.url if isinstance(content, Link) else content if isinstance(content, str) else content.text
    return any(len(word) > _LONG_WORD for word in text.split())


def _lines(text: str) -> str:
    """A text without control characters, its line breaks kept."""
    return "\n".join(printable(line.strip()) for line in text.strip().splitlines())


def escaped(text: str) -> str:
    """A text as Markdown shows it: on one line, without any markup of its own."""
    flat = " ".join(printable(" ".join(text.split())).split())
    flat = "".join(_ENTITIES.get(character, character) for character in flat)
    return _EDGE.sub(r"\\_", _SPECIAL.sub(r"\\\1", flat))


def paragraph(text: str) -> str:
    """The same at the beginning of a line, where a few more signs mean something."""
    return _LINE_START.sub(r"\1\\\2", escaped(text))


def cell(content: Cell) -> str:
    """A table's cell in Markdown."""
    if isinstance(content, Code):
        return _code(content.text) if content.text else ""
    if isinstance(content, Link):
        return f"<{content.url}>" if content.safe and _is_plain(content.url) else escaped(content.url)
    return escaped(content)


def _code(text: str) -> str:
    flat = printable(" ".join(text.split()))
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    room = " " if longest else ""
    return f"{fence}{room}{flat}{room}{fence}".replace("|", "\\|")


def _is_plain(url: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9:/?&=%#._~+@,;-]+", url) is not None


def write(document: Document, name: str, folder: Path, secrets: frozenset[str]) -> list[Path]:
    """Write ``<name>.md`` with its charts, and ``<name>.html``.

    Args:
        document: The report.
        name: Beginning of the files' names.
        folder: Where they go; it is made when it is not there.
        secrets: Texts that must not be in any file: people may have pasted one into a note.

    Raises:
        OpsError: The folder cannot be written.
    """
    content = {f"{name}.md": markdown(document), f"{name}.html": html(document)}
    content |= {picture.name: picture.svg for picture in document.pictures}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in content.items():
            draft = folder / f".{file}.new"
            draft.write_text(_without(text, secrets), encoding="utf-8")
            draft.replace(folder / file)
    except OSError as error:
        raise OpsError(f"--out is {folder}: it cannot be written ({error.strerror}): name another folder") from None
    return [folder / file for file in content]


def _without(text: str, secrets: frozenset[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text
