"""Pages and PDFs: well-formed, escaped, in both languages, and without anything from elsewhere."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from services.reports import LANGUAGES, Language
from services.reports.model import Cell, Chart, Table, text_of, translate
from services.reports.pdf import document, pdf
from services.reports.render import breakable, drawing, html
from tests.unit.services.reports.harness import HOUR
from tests.unit.services.reports.samples import EVIL, START, sample

LANGUAGE = pytest.mark.parametrize("language", LANGUAGES)


def parsed(page: str) -> ElementTree.Element:
    """A page as a tree; it is well-formed XML."""
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  (our own)


def text_in(page: str) -> str:
    return " ".join("".join(parsed(page).itertext()).split())


@LANGUAGE
def test_a_page_is_well_formed_and_says_its_language(language: Language) -> None:
    page = html(sample(), language)
    root = parsed(page)
    assert page.startswith("<!DOCTYPE html>")
    assert root.get("lang") == language
    assert [element.text for element in root.iter("h2")] == [
        translate(key).of(language) for key in ("summary.title", "alerts.title", "problems.title")
    ]


@LANGUAGE
def test_texts_are_shown_as_they_are_and_never_become_markup(language: Language) -> None:
    page = html(sample(), language)
    assert "<script" not in page
    shown = text_in(page).replace("\u200b", "")
    # Fact, note of a figure, paragraph, cell, problem; and in each of the two charts the name of a line.
    assert shown.count("<script>alert(1)</script>") >= 7
    assert not list(parsed(page).iter("script"))


@LANGUAGE
def test_a_page_loads_nothing_and_leads_nowhere(language: Language) -> None:
    page = html(sample(), language)
    root = parsed(page)
    for element in root.iter():
        for key, value in element.attrib.items():
            name = key.rpartition("}")[2]
            assert not name.startswith("on"), name
            if name in ("href", "src", "action", "data", "poster", "background"):
                assert value.startswith("#"), value
    assert not {"img", "link", "iframe", "object", "embed", "form", "a"} & {element.tag for element in root.iter()}
    (policy,) = [element.get("content") or "" for element in root.iter("meta") if element.get("http-equiv")]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not re.search(r"url\((?!#)|@import", page)


def test_the_two_languages_differ_in_every_heading_and_have_the_same_numbers() -> None:
    english, japanese = (html(sample(), language) for language in LANGUAGES)
    heads = [
        [element.text for tag in ("h1", "h2", "h3", "th") for element in parsed(page).iter(tag)]
        for page in (english, japanese)
    ]
    assert len(heads[0]) == len(heads[1]) > 0
    assert all(first != second for first, second in zip(*heads, strict=True))
    numbers = [re.findall(r"<td[^>]*number[^>]*>([^<]*)<", page) for page in (english, japanese)]
    assert numbers[0] == numbers[1] == ["3", "1"]
    assert not re.search(r"[ぁ-んァ-ヶ一-龠]", text_in(english))


def test_ids_of_charts_are_unique_within_a_page() -> None:
    identities = [element.get("id") for element in parsed(html(sample(), "en")).iter() if element.get("id")]
    assert len(set(identities)) == len(identities) > 10


def test_a_chart_shows_its_limit_its_unit_and_a_sentence_for_those_who_cannot_see_it() -> None:
    page = html(sample(), "ja")
    words = text_in(page)
    assert "ディスク使用率：2 本、0 % ～ 72 %" in words
    assert "上限 60 %" in words
    assert "停止" in words


def test_an_empty_table_says_so_and_a_chart_without_values_too() -> None:
    page = html(sample(), "en")
    assert "No row" in text_in(page)
    empty = Chart(title=text_of("t"), unit="{device}", start=START, end=START + HOUR, lines=())
    assert translate("chart.empty").ja in drawing(empty, "ja", "c", paper=False)


def test_the_name_of_what_is_counted_is_not_written_on_an_axis() -> None:
    chart = sample().sections[0].blocks[2]
    assert isinstance(chart, Chart)
    counted = Chart(title=chart.title, unit="{device}", start=chart.start, end=chart.end, lines=chart.lines[:1])
    assert ">device<" not in drawing(counted, "ja", "c", paper=False)


def test_problems_are_left_out_where_there_is_none() -> None:
    assert translate("problems.title").en in html(sample(), "en")
    assert translate("problems.title").en not in html(sample(problems=0), "en")


def test_a_row_that_does_not_fit_its_head_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells, must have 2"):
        Table(
            title=text_of("t"),
            head=(text_of("a"), text_of("b")),
            rows=((Cell(text=text_of("x")),),),
            empty=text_of("-"),
        )


def test_long_names_may_be_broken_where_their_parts_meet_and_are_the_same_when_copied() -> None:
    name = "obs:kafka_disk_used:ratio"
    text = str(breakable(f"{name} <b>"))
    assert "<wbr />" in text
    assert text.replace("<wbr />", "") == f"{name} &lt;b&gt;"
    assert "<wbr />" not in str(breakable("short_name"))


def words_of(laid_out: Any) -> str:
    """Text of a document's boxes, as they were laid out."""
    texts: list[str] = []
    for page in laid_out.pages:
        for box in page._page_box.descendants():
            text = getattr(box, "text", None)
            if isinstance(text, str):
                texts.append(text)
    return " ".join(" ".join(texts).split())


@LANGUAGE
def test_a_pdf_has_the_texts_of_the_report_on_a4_pages_with_numbers(language: Language) -> None:
    report = sample()
    laid_out = document(report, language)
    assert [(round(page.width), round(page.height)) for page in laid_out.pages] == [(794, 1123)] * len(laid_out.pages)
    words = words_of(laid_out).replace(" ", "")
    for section in report.sections:
        assert section.title.of(language).replace(" ", "") in words
    assert EVIL.replace(" ", "") in words
    for number in range(1, len(laid_out.pages) + 1):
        assert f"{translate('page.number').of(language)}{number}/{len(laid_out.pages)}" in words


@LANGUAGE
def test_a_pdf_is_made_and_has_its_fonts_inside(language: Language) -> None:
    content = pdf(sample(), language, uncompressed_pdf=True)
    assert content.startswith(b"%PDF-1.")
    assert content.rstrip().endswith(b"%%EOF")
    fonts = set(re.findall(rb"/BaseFont /(?:[A-Z]+\+)?([\w-]+)", content))
    assert any(b"DejaVu" in font for font in fonts)
    # A Japanese face is in the Japanese one, not boxes.
    assert any(b"IPA" in font or b"CJK" in font for font in fonts) == (language == "ja"), fonts
    assert len(re.findall(rb"/FontFile[23]", content)) >= 1


def test_a_page_that_would_load_something_is_refused() -> None:
    from services.reports.pdf import _refuse

    with pytest.raises(ValueError, match="loads nothing from elsewhere: https://example"):
        _refuse("https://example.com/x.png")
