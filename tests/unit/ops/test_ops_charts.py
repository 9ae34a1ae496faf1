"""Charts for reports: what is drawn, what is written, and that nothing in the data breaks them."""

from __future__ import annotations

import logging
import math
import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from services import charts
from services.charts import Limit, LineChart, Mark, Series, Span, describe, number, scale, svg

START = datetime(2026, 11, 24, 22, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0
NAMES = {"svg": "http://www.w3.org/2000/svg"}


def line(label: str = "job=recorder", **changes: Any) -> Series:
    points = [(START + 60 * step, 0.02 + 0.001 * step) for step in range(60)]
    return Series(**{"label": label, "points": points, **changes})


def chart(**changes: Any) -> LineChart:
    values: dict[str, Any] = {
        "title": "Failed recordings",
        "unit": "1",
        "start": START,
        "end": START + HOUR,
        "series": (line(emphasis=True),),
    }
    return LineChart(**{**values, **changes})


def parsed(drawn: str) -> ElementTree.Element:
    """A chart as a tree."""
    return ElementTree.fromstring(drawn)  # noqa: S314  (our own)


def texts(drawn: str) -> list[str]:
    """What can be read in a chart."""
    root = parsed(drawn)
    return ["".join(element.itertext()).strip("\u200b") for element in root.iter(f"{{{NAMES['svg']}}}text")]


def test_a_chart_shows_title_unit_limit_series_and_events() -> None:
    drawn = svg(
        chart(
            limits=[Limit(value=0.05, label="limit", bad="above")],
            marks=[Mark(at=START + 600, label="fires"), Mark(at=START + 900, label="resolved")],
            spans=[Span(start=START + 600, end=START + 900, label="firing")],
        )
    )
    shown = texts(drawn)
    for text in ("Failed recordings", "%", "limit 5 %", "job=recorder", "firing", "1: 22:10:00 fires", "1", "2"):
        assert text in shown
    assert "2: 22:15:00 resolved" in shown


def test_the_time_axis_is_in_the_zone_that_is_asked_for() -> None:
    assert "2026-11-24 (UTC)" in texts(svg(chart()))
    tokyo = texts(svg(chart(zone=ZoneInfo("Asia/Tokyo"), marks=[Mark(at=START, label="fires")])))
    assert "2026-11-25 (JST)" in tokyo
    assert "1: 07:00:00 fires" in tokyo


def test_values_are_gaps_where_samples_are_missing_or_no_numbers() -> None:
    whole = [(START + 60 * step, 1.0) for step in range(60)]
    missing = [point for index, point in enumerate(whole) if not 20 < index < 40]
    no_number = [(at, math.nan if index == 30 else value) for index, (at, value) in enumerate(whole)]

    def pieces(points: list[tuple[float, float]], gap_s: float = 90.0) -> int:
        drawn = svg(chart(series=[Series(label="a", points=points)], gap_s=gap_s))
        root = parsed(drawn)
        paths = [
            element for element in root.iter(f"{{{NAMES['svg']}}}path") if "stroke: #0072b2" in element.get("style", "")
        ]
        return max(path.get("d", "").count("M") for path in paths)

    assert pieces(whole) == 1
    assert pieces(missing) == 2
    assert pieces(missing, gap_s=0) == 1
    assert pieces(no_number) == 2


def test_a_chart_without_any_value_says_so_and_keeps_its_limit() -> None:
    shown = texts(svg(chart(series=[], limits=[Limit(value=3, label="limit")], unit="s", empty="nothing here")))
    assert "nothing here" in shown
    assert "limit 3 s" in shown


def test_a_single_sample_is_a_dot() -> None:
    drawn = svg(chart(series=[Series(label="a", points=[(START + 60, 0.5)])]))
    assert "<use" in drawn[drawn.index('id="chart-line2d') :]
    assert "no data" not in texts(drawn)


def test_many_series_are_drawn_and_counted_in_the_legend() -> None:
    shown = texts(svg(chart(series=[line(f"site={index}") for index in range(20)])))
    assert "site=7" in shown
    assert "site=8" not in shown
    assert "12 more" in shown


def test_the_series_that_matters_comes_first_in_the_legend() -> None:
    series = [line(f"site={index}") for index in range(20)] + [line("site=mine", emphasis=True)]
    assert "site=mine" in texts(svg(chart(series=series)))


def test_marks_at_the_same_moment_have_numbers_in_different_rows() -> None:
    drawn = svg(chart(marks=[Mark(at=START + 60, label=label) for label in "abc"]))
    root = parsed(drawn)
    places = {
        "".join(element.itertext()): (element.get("x"), element.get("y"), element.get("transform"))
        for element in root.iter(f"{{{NAMES['svg']}}}text")
    }
    assert len({places["1"], places["2"], places["3"]}) == 3


def test_marks_outside_the_chart_are_left_out() -> None:
    shown = texts(svg(chart(marks=[Mark(at=START - 1, label="before"), Mark(at=START + HOUR + 1, label="after")])))
    assert not [text for text in shown if "before" in text or "after" in text]


@pytest.mark.parametrize(
    "hostile",
    [
        "$x^2$ and $broken_{",
        "_hidden",
        "</text><script>alert(1)</script>",
        '" onload="alert(1)',
        'id="chart-title" url(#x)',
        "nul \x00 bell \x07 escape \x1b[31m",
        "line\nbreak\ttab",
        "& < > \u202e",
        "\\frac{1}{0} %s {0}",
        "",
    ],
)
def test_no_text_breaks_a_chart_or_becomes_markup(hostile: str) -> None:
    drawn = svg(
        chart(
            title=hostile,
            unit="{" + hostile + "}",
            series=[line(hostile)],
            marks=[Mark(at=START + 60, label=hostile)],
            limits=[Limit(value=1, label=hostile)],
            spans=[Span(start=START, end=START + 60, label=hostile)],
        )
    )
    root = parsed(drawn)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        *("svg", "g", "path", "use", "text", "tspan", "defs", "clipPath", "rect", "style", "title", "desc")
    }
    assert not any("onload" in element.attrib for element in root.iter())


def test_a_label_that_begins_with_an_underscore_is_in_the_legend() -> None:
    assert "_hidden" in texts(svg(chart(series=[line("_hidden")])))


def test_japanese_is_drawn_without_a_warning_whatever_fonts_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert "録画の失敗" in texts(svg(chart(title="録画の失敗", series=[line("東京")])))
        monkeypatch.setattr(charts, "fonts", lambda: ("DejaVu Sans",))
        assert "東京" in texts(svg(chart(title="録画の失敗", series=[line("東京")])))
    assert not caplog.records


def test_only_fonts_that_are_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Font:
        name = "IPAexGothic"

    monkeypatch.setattr(charts.font_manager.fontManager, "ttflist", [Font()])
    charts.fonts.cache_clear()
    assert charts.fonts() == ("DejaVu Sans", "IPAexGothic")
    charts.fonts.cache_clear()


def test_charts_of_one_page_do_not_share_ids() -> None:
    first, second = svg(chart(), "chart1"), svg(chart(), "chart2")
    ids = [set(re.findall(r'\bid="([^"]+)"', chart)) for chart in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for drawn, known in zip((first, second), ids, strict=True):
        used = set(re.findall(r'href="#([^"]+)"', drawn)) | set(re.findall(r"url\(#([^)]+)\)", drawn))
        assert used
        assert used <= known


def test_the_same_data_gives_the_same_file() -> None:
    assert svg(chart()) == svg(chart())


def test_a_chart_stands_alone_and_is_described() -> None:
    drawn = svg(chart(limits=[Limit(value=0.05, label="limit")]))
    assert drawn.startswith("<svg ")
    assert "<metadata" not in drawn
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"', "", drawn)
    assert 'role="img"' in drawn
    assert "Failed recordings: 1 series, 2 % to 7.9 %; limit 5 %</desc>" in drawn


def test_an_empty_chart_is_described_as_one() -> None:
    assert describe(chart(series=[])) == "Failed recordings: no data"


def test_a_chart_has_to_end_after_it_starts() -> None:
    with pytest.raises(ValueError, match="must be after start"):
        svg(chart(end=START))


@pytest.mark.parametrize(
    ("unit", "largest", "value", "text"),
    [
        ("1", 0.31, 0.05, "5 %"),
        ("s", 1.6, 1.0, "1 s"),
        ("s", 0.25, 0.25, "250 ms"),
        ("s", 90, 90, "90 s"),
        ("s", 300, 300, "5 min"),
        ("s", 86_400, 86_400, "24 h"),
        ("s", 400_000, 345_600, "4 d"),
        ("s", 0, 0, "0 s"),
        ("By", 3 * 2**30, 2**30, "1 GiB"),
        ("By/s", 2048, 2048, "2 KiB/s"),
        ("By", 12, 12, "12 B"),
        ("{session}", 120, 100, "100 session"),
        ("{frame}/s", 5, 5, "5 frame/s"),
        ("{}", 5, 5, "5"),
        ("", 5, 0.123456, "0.123"),
        ("Cel", 5, 40, "40 Cel"),
    ],
)
def test_units_are_written_as_people_read_them(unit: str, largest: float, value: float, text: str) -> None:
    assert scale(unit, largest).text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (999.6, "1,000"),
        (12.345, "12.3"),
        (-0.05, "-0.05"),
        (1e-7, "1e-07"),
        (5e12, "5e+12"),
        (math.inf, "-"),
    ],
)
def test_numbers_have_no_more_digits_than_tell_something(value: float, text: str) -> None:
    assert number(value) == text


def test_values_and_limits_are_inside_the_axes() -> None:
    limit = Limit(value=0.9, label="limit", bad="below")
    drawn = svg(chart(series=[Series(label="a", points=[(START, -5.0), (START + 60, 0.2)])], limits=[limit], unit=""))
    root = parsed(drawn)
    frame = next(root.iter(f"{{{NAMES['svg']}}}rect"))
    top, height = float(frame.attrib["y"]), float(frame.attrib["height"])
    heights = [
        float(y)
        for element in root.iter(f"{{{NAMES['svg']}}}path")
        if re.search("stroke: #(0072b2|b00020)", element.get("style", ""))
        for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", element.attrib["d"])
    ]
    inside = [y for y in heights if top < y < top + height]
    # The lines in the legend lie below the frame.
    assert len(inside) == 4
    assert max(inside) - min(inside) > height * 0.7
