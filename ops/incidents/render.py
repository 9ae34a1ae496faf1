"""Writes a report's document as HTML (one file, nothing loaded from elsewhere) and as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ops.incidents.document import Cell, Code, Document, Link
from ops.telemetry.trace_tree import printable

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
