"""A small report that has every kind of block, and texts that try to break out of a page."""

from __future__ import annotations

from services.reports.model import (
    Cell,
    Chart,
    ChartLimit,
    ChartSpan,
    Figure,
    Figures,
    Kind,
    Line,
    Paragraph,
    Report,
    Section,
    Table,
    Text,
    text_of,
    translate,
)
from tests.unit.services.reports.harness import HOUR, TOKYO, at

EVIL = "<script>alert(1)</script> & \"quotes\" 'here'"
START = at("2026-11-24 00:00")


def both(english: str, japanese: str) -> Text:
    """A text."""
    return Text(en=english, ja=japanese)


def sample(*, problems: int = 1, complete: bool = True, period: str = "2026-11-24") -> Report:
    """The report."""
    points = [(START + hour * HOUR, hour * 0.03) for hour in range(25)]
    figures = Figures(
        figures=(
            Figure(label=both("Work events", "作業イベント"), value=text_of("1,234"), note=text_of(EVIL), tone="bad"),
            Figure(label=both("Alerts", "アラート"), value=text_of("0")),
        )
    )
    chart = Chart(
        title=both("Used disk", "ディスク使用率"),
        unit="1",
        start=START,
        end=START + 24 * HOUR,
        lines=(Line(label=text_of(EVIL), points=points, emphasis=True), Line(label=text_of("none"), points=())),
        limits=(ChartLimit(label=translate("chart.limit"), value=0.6),),
        spans=(ChartSpan(label=both("outage", "停止"), start=START + HOUR, end=START + 2 * HOUR),),
        zone=TOKYO,
        note=both("A note", "注記"),
    )
    table = Table(
        title=both("Low alerts", "低優先度アラート"),
        head=(both("Alert", "アラート"), both("Times", "件数")),
        rows=(
            (Cell(text=text_of("DeviceSpeechRecognitionAccuracyLow")), Cell(text=text_of("3"), number=True)),
            (Cell(text=text_of(EVIL), tone="warning"), Cell(text=text_of("1"), number=True, tone="bad")),
        ),
        empty=both("None", "なし"),
        note=both("Of one day", "1 日分"),
    )
    empty = Table(title=both("Nothing", "空の表"), head=(both("A", "甲"),), rows=(), empty=both("No row", "行なし"))
    return Report(
        kind=Kind.DAILY,
        period=period,
        title=translate("title.daily", period=period),
        facts=(translate("fact.made", at="2026-11-25 07:00"), text_of(EVIL)),
        sections=(
            Section(
                title=translate("summary.title"), blocks=(figures, Paragraph(text=text_of(EVIL), tone="warning"), chart)
            ),
            Section(title=translate("alerts.title"), blocks=(table, empty, chart)),
        ),
        problems=tuple(translate("problem.query", name=f"q{number}", error=EVIL) for number in range(problems)),
        complete=complete,
    )
