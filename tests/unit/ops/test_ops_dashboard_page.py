"""The page of a dashboard: what is seen, how values read, and that nothing in the data breaks it."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from components.dashboards.model import Limit, Panel, Query, stat
from ops.core.web import Found
from ops.dashboards import page
from ops.dashboards.page import Call, legends, shown, tone, worded
from ops.dashboards.panel_queries import Result, ask
from tests.unit.ops.dashboard_fakes import (
    ANSWERS,
    DISKS,
    FULL,
    HOUR,
    LINES,
    MAP,
    NUMBER,
    TABLE,
    WORDS,
    Answers,
    dashboard,
    query_client,
)


def results(*panels: Panel, answers: Answers = ANSWERS) -> list[Result]:
    return ask(query_client(answers)[0], list(panels), HOUR)


def html(*panels: Panel, answers: Answers = ANSWERS) -> str:
    return page.page(dashboard(*panels), results(*panels, answers=answers), HOUR, "obs, all regions")


def test_a_page_shows_every_kind_of_panel_and_loads_nothing() -> None:
    text = html(NUMBER, WORDS, DISKS, LINES, TABLE, MAP)
    assert text.count('<article class="card') == 6
    assert text.count("<svg") == 2
    assert "2026-11-25 00:00 to 2026-11-25 01:00 UTC" in text
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)=\"(?!#)", text)
    assert "lack data" not in text
    assert 'problem"' not in text


def test_texts_of_the_data_are_escaped() -> None:
    text = html(
        DISKS, replace(MAP, title="<i>"), answers={**ANSWERS, "calls": [({"client": "<x>", "server": "&"}, 1.0)]}
    )
    assert "<b>:" not in text
    assert "&lt;b&gt;" in text
    assert "<x>" not in text
    assert "<i></i>" not in text


def test_a_panel_without_data_says_so_and_the_head_counts_it() -> None:
    text = html(NUMBER, stat("Nothing", "Nothing.", "", Query(expr="nothing")))
    assert "1 of 2 panels lack data" in text
    assert '<p class="problem">no data</p>' in text
    assert ">16<" in text


def test_a_panel_that_fails_says_why_and_the_others_are_seen() -> None:
    text = html(stat("Broken", "Refused.", "", Query(expr="broken")), NUMBER)
    assert "Thanos Query answered 422" in text
    assert ">16<" in text


def test_a_panel_that_cannot_be_drawn_does_not_stop_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(result: Result, name: str) -> tuple[str, str]:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(page, "drawn_lines", fail)
    text = html(LINES, NUMBER)
    assert "cannot be drawn: ZeroDivisionError: no room" in text
    assert ">16<" in text


def test_bars_are_sorted_scaled_and_coloured_by_their_limits() -> None:
    values = page.card(0, results(DISKS)[0]).values
    assert [(value.label, value.text, value.tone) for value in values] == [
        ("kafka-1", "95 %", "bad"),
        ("<b>", "80 %", "warning"),
        ("kafka-0", "50 %", "good"),
    ]
    assert [round(value.share) for value in values] == [95, 80, 50]


def test_values_that_stand_for_words_are_words() -> None:
    assert [(value.label, value.text, value.tone) for value in page.card(0, results(WORDS)[0]).values] == [
        ("data", "critical", "bad"),
        ("device", "OK", "good"),
    ]


def test_a_table_joins_its_queries_and_shows_the_largest_first() -> None:
    card = page.card(0, results(TABLE)[0])
    assert card.head == ["Topic", "Partitions", "Size"]
    assert [[cell.text for cell in row] for row in card.rows] == [["b", "12", "-"], ["a", "4", "2 KiB"]]


def test_a_limit_that_would_flatten_the_lines_is_told_instead_of_drawn() -> None:
    near = replace(LINES, limits=(Limit(value=10, label="Lag"),))
    far, close = (page.card(0, result) for result in results(LINES, near))
    assert far.note == "Limit above the picture: Lag 5,000"
    assert close.note == ""
    assert "Lag 10" in close.picture
    assert "Lag 5,000" not in far.picture


def test_lines_are_named_in_the_picture_and_for_those_who_cannot_see_it() -> None:
    picture = page.card(3, results(LINES)[0]).picture
    root = ElementTree.fromstring(picture)  # noqa: S314  (our own)
    assert root.get("aria-labelledby") == "panel3-title panel3-desc"
    assert "Lag: 1 series, 7 record to 7 record" in picture
    assert "sampler" in picture


def test_a_map_draws_services_from_left_to_right_and_circles_end() -> None:
    calls = [
        Call(client="a", server="b", rate=1),
        Call(client="b", server="c", rate=2),
        Call(client="c", server="a", rate=3),
    ]
    root = ElementTree.fromstring(page.svg(calls, {"a": 0, "b": 1, "c": 2, "alone": 5}, "map", "Map"))  # noqa: S314  (our own)
    text = "".join(root.itertext())
    assert all(name in text for name in ("a", "b", "c", "alone", "5 /s answered", "3 /s"))
    chain = [
        Call(client="a", server="b", rate=1),
        Call(client="b", server="c", rate=2),
        Call(client="a", server="c", rate=1),
    ]
    assert page._depths(chain, ["a"]) == {"a": 0, "b": 1, "c": 2}


def test_a_map_of_nothing_is_a_picture_too() -> None:
    ElementTree.fromstring(page.svg([], {}, "map", "Map"))  # noqa: S314  (our own)


def test_a_panel_of_calls_becomes_a_map() -> None:
    assert "edge" in page.card(0, results(MAP)[0]).picture


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (16.0, "{stream}", "16"),
        (2.0547, "{event}/s", "2.05 /s"),
        (12.0, "{event}/min", "12 /min"),
        (0.0213, "1", "2.13 %"),
        (-1.95, "1", "-195 %"),
        (0.2, "s", "200 ms"),
        (7_776_000.0, "s", "90 d"),
        (1536.0, "By", "1.5 KiB"),
        (12.5, "ms", "12.5 ms"),
        (3.25, "", "3.25"),
        (None, "s", "no data"),
    ],
)
def test_values_read_as_people_say_them(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("value", "limits", "wanted"),
    [
        (0.5, FULL, "good"),
        (0.8, FULL, "warning"),
        (0.95, FULL, "bad"),
        (0.2, (Limit(value=0.2, label="Battery", bad="below", tone="warning"),), "warning"),
        (0.3, (Limit(value=0.2, label="Battery", bad="below"),), "good"),
        (0.3, (), ""),
        (None, FULL, ""),
    ],
)
def test_a_value_is_as_good_as_its_limits_say(value: float | None, limits: tuple[Limit, ...], wanted: str) -> None:
    assert tone(replace(NUMBER, limits=limits), value) == wanted


def test_a_value_that_no_word_stands_for_is_shown_as_it_is() -> None:
    assert worded(WORDS, 2.0) == "2"
    assert tone(WORDS, 2.0) == ""


def test_legends_are_filled_in_and_fall_back_to_labels() -> None:
    series_list = [Found(labels={"a": "x", "b": "y"}, points=()), Found(labels={"a": "z", "b": "y"}, points=())]
    assert legends(NUMBER, "{{a}} of {{b}}", series_list) == ["x of y", "z of y"]
    assert legends(NUMBER, "{{missing}}", series_list) == ["-", "-"]
    assert legends(NUMBER, "", series_list) == ["a=x", "a=z"]
