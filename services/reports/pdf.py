"""A report as PDF: A4 with page numbers, made of the same page without loading anything."""

from __future__ import annotations

from typing import Any, NoReturn

from weasyprint import CSS, HTML  # type: ignore[import-untyped]
from weasyprint.text.fonts import FontConfiguration  # type: ignore[import-untyped]

from services.reports import Language
from services.reports.model import Report, translate
from services.reports.render import html

_PAGE = """@page {{
  font: 7.5pt "DejaVu Sans", "Noto Sans CJK JP", IPAPGothic, sans-serif;
  color: #59616a;
  @bottom-left {{ content: {title}; }}
  @bottom-right {{ content: {page} " " counter(page) " / " counter(pages); }}
}}"""


def pdf(report: Report, language: Language, **options: Any) -> bytes:
    """The file.

    Args:
        report: What it shows.
        language: In which language.
        options: Further options of WeasyPrint's ``write_pdf``.
    """
    pdf_bytes: bytes = document(report, language).write_pdf(**options)
    return pdf_bytes


def document(report: Report, language: Language) -> Any:
    """The pages, laid out."""
    fonts = FontConfiguration()
    style = _PAGE.format(title=_quoted(report.title.of(language)), page=_quoted(translate("page.number").of(language)))
    page = HTML(string=html(report, language, paper=True), url_fetcher=_refuse)
    return page.render(stylesheets=[CSS(string=style, font_config=fonts)], font_config=fonts)


def _quoted(text: str) -> str:
    """A text as CSS writes it."""
    return '"' + "".join(f"\\{ord(character):x} " if character in '"\\\n' else character for character in text) + '"'


def _refuse(url: str, *_: Any, **__: Any) -> NoReturn:
    raise ValueError(f"a report loads nothing from elsewhere: {url[:80]}")
