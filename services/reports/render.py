"""A report as one HTML page: nothing is loaded from elsewhere, every text in it is escaped."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services import charts
from services.reports import Language
from services.reports.model import Block, Chart, Document, Figures, Paragraph, Table, Text, amount, translate

_LONG_WORD = 18
_PARTS = re.compile(r"(?<=[_:./{=,-])(?=\w)|(?<=[a-z0-9])(?=[A-Z])")
_COUNTED = re.compile(r"\{[^{}]*\}")
_TEMPLATES = Path(__file__).with_name("templates")
_NAMES: dict[type[Block], str] = {Paragraph: "paragraph", Figures: "figures", Table: "table", Chart: "chart"}


def html(report: Document, language: Language, *, paper: bool = False) -> str:
    """The page.

    Args:
        report: What it shows.
        language: In which language.
        paper: Whether it is to be printed: letters in charts are drawn as shapes.
    """
    drawn = iter(range(1_000_000))

    def picture(chart: Chart) -> Markup:
        # Our own drawing: the texts in it are escaped already.
        return Markup(drawing(chart, language, f"chart{next(drawn)}", paper=paper))  # noqa: S704

    template = environment(language).get_template("report.html.j2")
    return template.render(report=report, language=language, picture=picture, kind_of=_kind_of)


@cache
def environment(language: Language) -> Environment:
    """Templates that write `Text` in a language; every text is escaped, a missing value is an error."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["t"] = lambda text: readable(text.of(language))
    templates.filters["breakable"] = breakable
    templates.globals["translate"] = lambda key, **values: readable(translate(key, **values).of(language))
    return templates


def readable(text: str) -> str:
    """A text without signs that no page may have."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def breakable(text: str) -> Markup:
    """A text whose long words may be broken where their parts meet: names of metrics and alerts."""

    def parted(word: str) -> Markup:
        if len(word) <= _LONG_WORD:
            return escape(word)
        return Markup("<wbr />").join(_PARTS.split(word))

    return Markup(" ").join(parted(word) for word in text.split(" "))


def drawing(chart: Chart, language: Language, name: str, *, paper: bool) -> str:
    """A chart as an ``<svg>`` element."""

    def said(text: Text) -> str:
        return text.of(language)

    return charts.svg(
        charts.LineChart(
            title=said(chart.title),
            unit=_COUNTED.sub("", chart.unit),
            start=chart.start,
            end=chart.end,
            series=[
                charts.Series(label=said(line.label), points=line.points, emphasis=line.emphasis)
                for line in chart.lines
                if line.points
            ],
            limits=[charts.Limit(value=limit.value, label=said(limit.label), bad=limit.bad) for limit in chart.limits],
            spans=[charts.Span(start=span.start, end=span.end, label=said(span.label)) for span in chart.spans],
            gap_s=chart.gap_s,
            zone=chart.zone,
            empty=said(translate("chart.empty")),
            more=said(translate("chart.more", count="{}")),
        ),
        name,
        outlines=paper,
        description=said(_description(chart)),
    )


def _description(chart: Chart) -> Text:
    """The chart in a sentence, for those who cannot see it."""
    values = [value for line in chart.lines for _, value in line.points if math.isfinite(value)]
    if not values:
        return Text(
            en=f"{chart.title.en}: {translate('chart.empty').en}", ja=f"{chart.title.ja}：{translate('chart.empty').ja}"
        )
    return translate(
        "chart.description",
        title=chart.title,
        count=str(len(chart.lines)),
        least=amount(min(values), chart.unit),
        most=amount(max(values), chart.unit),
    )


def _kind_of(block: Any) -> str:
    return _NAMES[type(block)]
