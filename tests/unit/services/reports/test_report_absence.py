"""What is not there: a silent layer is down, what was not observed is unknown, and neither is zero or green."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from services.reports.build import report as build_report
from services.reports.daily import lowest_uptime
from services.reports.model import Figure, Figures, Kind, Report, Table, period, translate
from services.reports.uptime import Uptime
from tests.unit.services.reports import harness
from tests.unit.services.reports.events import Done, Told
from tests.unit.services.reports.harness import DAY, HOUR, TOKYO, Gauge, Served, Value, at

pytestmark = pytest.mark.timeout(300)
START = at("2026-11-23 00:00")
END = START + 2 * DAY
SILENT = START + 6 * HOUR
UNOBSERVED = (START + 30 * HOUR, START + 36 * HOUR)


def gauge(name: str, value: Value, **labels: str) -> Gauge:
    """A series that nobody stored while nothing was observed."""
    return Gauge(
        name=name,
        labels=labels,
        value=lambda time: None if UNOBSERVED[0] <= time < UNOBSERVED[1] else value(time),
    )


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two days: a layer is silent from the first morning on, one never sent anything, and nothing records at noon."""

    def silent(time: float) -> float | None:
        """Known for six hours more."""
        return 5.0 if time < SILENT else time - SILENT if time < SILENT + 6 * HOUR else None

    series = [
        gauge("up", lambda _: 1.0, job="kafka", instance="kafka-0"),
        gauge("obs:layer_age:seconds", silent, layer="device"),
        *(
            gauge("obs:layer_age:seconds", lambda _: 5.0, layer=layer)
            for layer in ("streaming", "business", "analytics")
        ),
        gauge("slo:errors:rate5m", lambda _: 0.0, slo="api-availability"),
        gauge("slo:events:rate5m", lambda _: 1.0, slo="api-availability"),
        gauge("slo:objective:ratio", lambda _: 0.995, slo="api-availability"),
    ]
    week_before = Gauge(
        name="stream_active", labels={"job": "stream-server"}, value=lambda time: 3.0 if time < START - DAY else None
    )
    series += [week_before, Gauge(name="up", labels={"job": "old"}, value=lambda time: 1.0 if time < START else None)]
    with harness.prometheus(tmp_path_factory.mktemp("past"), list(series), START - 2 * DAY, END) as served:
        yield served


def daily(past: Served, day: str) -> Report:
    return of_kind(past, Kind.DAILY, day)


def of_kind(past: Served, kind: Kind, day: str) -> Report:
    metrics = past.metrics()
    try:
        return build_report(
            period=period(kind, date.fromisoformat(day), TOKYO),
            platform="obs",
            metrics=metrics,
            alerts=Told(),
            work=Done(),
            now=END,
        )
    finally:
        metrics.close()


def table(report: Report, title: str) -> Table:
    blocks = [block for section in report.sections for block in section.blocks]
    return next(block for block in blocks if isinstance(block, Table) and block.title == translate(title))


def rows(report_table: Table) -> dict[str, list[str]]:
    return {row[0].text.en: [cell.text.en for cell in row[1:]] for row in report_table.rows}


def headline(report: Report, label: str) -> Figure:
    figures = [figure for block in report.sections[0].blocks if isinstance(block, Figures) for figure in block.figures]
    return next(figure for figure in figures if figure.label == translate(label))


def test_a_layer_that_is_silent_for_more_than_six_hours_is_down(past: Served) -> None:
    report = daily(past, "2026-11-23")
    layers = rows(table(report, "uptime.layers"))
    share, down, longest, known = layers["Devices"]
    assert 24.5 < float(share.split()[0]) < 25.5
    assert down == longest
    assert down.startswith(("17 h", "18 h"))
    assert known == "100 %"
    assert layers["Data"][0] == "0 %"
    assert layers["Streaming"] == ["100 %", "0", "0", "100 %"]
    lowest = headline(report, "summary.lowest")
    assert (lowest.value.en, lowest.tone) == ("0 %", "bad")
    ages = table(report, "freshness.layers")
    assert rows(ages)["Devices"] == rows(ages)["Data"] == ["more than 6 h", "more than 6 h"]
    assert {row[0].text.en: row[1].tone for row in ages.rows}["Devices"] == "bad"


def test_what_was_not_observed_is_neither_up_nor_down_and_the_headline_is_not_green(past: Served) -> None:
    report = daily(past, "2026-11-24")
    layers = table(report, "uptime.layers")
    assert rows(layers)["Streaming"][:3] == ["100 %", "0", "0"]
    assert 74 < float(rows(layers)["Streaming"][3].split()[0]) < 76
    assert {row[0].text.en: row[4].tone for row in layers.rows}["Streaming"] == "warning"
    lowest = headline(report, "summary.lowest")
    assert lowest.tone == "bad"
    assert lowest.note is not None
    assert "Streaming 75." in lowest.note.en or "Streaming 74." in lowest.note.en or "Streaming 75 %" in lowest.note.en


def test_layers_that_are_up_whenever_they_are_observed_are_not_green() -> None:
    whole = Uptime(share=1.0, down_s=0.0, longest_s=0.0, known=1.0)
    half = Uptime(share=1.0, down_s=0.0, longest_s=0.0, known=0.5)
    none = Uptime(share=None, down_s=0.0, longest_s=0.0, known=0.0)
    assert lowest_uptime({"device": whole}).tone == "good"
    assert lowest_uptime({"device": whole, "data": half}).tone == "warning"
    unknown = lowest_uptime({"device": none})
    assert (unknown.value.en, unknown.value.ja, unknown.tone) == ("unknown", "不明", "warning")


def test_an_objective_without_data_is_unknown_and_no_promise_that_was_kept(past: Served) -> None:
    report = daily(past, "2026-11-23")
    objectives = headline(report, "summary.objectives")
    count = len(table(report, "slo.title").rows)
    assert (objectives.value.en, objectives.tone) == (f"1 / {count}", "warning")
    assert objectives.note is not None
    assert objectives.note.en == f"{count - 1} without data"
    assert sorted(row[3].text.en for row in table(report, "slo.title").rows) == ["100 %", *["unknown"] * (count - 1)]


def test_failures_of_what_was_never_tried_are_not_zero(past: Served) -> None:
    counted = rows(table(daily(past, "2026-11-23"), "counts.table"))
    assert counted["API calls with a server error"][0] == "-"
    assert counted["Recording segments that failed"][0] == "-"


def test_a_figure_that_is_no_longer_there_is_unknown_in_the_week_and_does_not_vanish(past: Served) -> None:
    report = of_kind(past, Kind.WEEKLY, "2026-11-24")
    blocks = [block for section in report.sections for block in section.blocks]
    (streaming,) = [
        block for block in blocks if isinstance(block, Table) and block.title == translate("place.streaming")
    ]
    assert rows(streaming)["Live streams"] == ["unknown", "3", "-", "-", "-"]
