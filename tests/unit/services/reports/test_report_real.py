"""Whole reports from a real Prometheus with a known past: the numbers in them are those of that past."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from services.reports import build
from services.reports.alert_topics import AlertLog, Firings
from services.reports.metrics import RefusedError, ThanosMetrics
from services.reports.model import (
    Chart,
    Figures,
    Kind,
    Paragraph,
    Report,
    ReportError,
    Section,
    Table,
    Text,
    period,
    translate,
)
from services.reports.records import Work, WorkRecord
from services.runtime.https import HttpsServer
from tests.config.servers import free_port
from tests.unit.services.reports import harness
from tests.unit.services.reports.events import Done, Silent, Told, event, raised
from tests.unit.services.reports.harness import DAY, HOUR, MINUTE, TOKYO, Served, at

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

START, END = at("2026-11-19 12:00"), at("2026-11-25 07:00")
OUTAGE = (at("2026-11-24 13:00"), at("2026-11-24 14:00"))


RECORDS = [
    WorkRecord.model_validate(
        {
            "work": work,
            "name": name,
            "started": f"2026-11-{day}T00:30:00Z",
            "recorded_by": "tanaka@desk",
            "checks": 17 if work == "maintenance" else 0,
            "problems": problems,
        }
    )
    for work, name, day, problems in (
        ("maintenance", "daily", 20, ("pods",)),
        ("maintenance", "daily", 21, ()),
        ("maintenance", "weekly", 23, ("pods", "alerts", "silences", "panels")),
        ("drill", "broker", 22, ("1 of 7 points missing",)),
        ("drill", "restore", 22, ()),
    )
]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Five and a half days; on the last whole one, the API fails for an hour and a broker is away."""
    folder = tmp_path_factory.mktemp("past")
    with harness.prometheus(folder, harness.platform(END, failing=OUTAGE), START, END) as served:
        yield served


@pytest.fixture
def metrics(past: Served) -> Iterator[ThanosMetrics]:
    thanos_metrics = past.metrics()
    yield thanos_metrics
    thanos_metrics.close()


def alerts() -> Told:
    start, end = OUTAGE
    told = [
        event("KafkaBrokerDown", start, received=start + 10, severity="critical", instance="kafka-1"),
        event("KafkaBrokerDown", start, received=end + 5, end=end, severity="critical", instance="kafka-1"),
        event("DeviceSpeechAccuracyLow", start, received=start, severity="low", summary="dev-2 at 78 %", device_id="2"),
    ]
    for number in range(12):
        begin = start - number * HOUR
        told.append(event("DeviceBatteryLow", begin, received=begin, severity="medium", device_id="1"))
        ended = begin + 5 * MINUTE
        told.append(event("DeviceBatteryLow", begin, received=ended, end=ended, severity="medium", device_id="1"))
    return Told(told)


def build_report(metrics: ThanosMetrics, kind: Kind, day: str, now: float = END, log: AlertLog | None = None) -> Report:
    return build.report(
        period=period(kind, date.fromisoformat(day), TOKYO),
        platform="obs (local)",
        metrics=metrics,
        alerts=log or alerts(),
        work=Done(Work(records=RECORDS)),
        now=now,
    )


def section(report: Report, title: str) -> Section:
    return next(report_section for report_section in report.sections if report_section.title == translate(title))


def table(report: Report, title: str | Text) -> Table:
    wanted = translate(title) if isinstance(title, str) else title
    blocks = [block for report_section in report.sections for block in report_section.blocks]
    return next(block for block in blocks if isinstance(block, Table) and block.title == wanted)


def rows(report_table: Table) -> dict[str, list[str]]:
    """First cell in English -> the others."""
    return {row[0].text.en: [cell.text.en for cell in row[1:]] for row in report_table.rows}


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


def charts(blocks: Sequence[object]) -> list[Chart]:
    return [block for block in blocks if isinstance(block, Chart)]


def test_the_daily_report_counts_what_happened_on_that_day(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-24")
    assert (report.period, report.complete, report.problems) == ("2026-11-24", True, ())
    counted = rows(table(report, "counts.table"))
    step = range(int(at("2026-11-24 00:00")), int(at("2026-11-25 00:00")), 60)
    events = sum((1 + 8 * harness.daytime(time)) * 60 for time in step)
    failed = sum((5 + 40 * harness.daytime(time)) * 60 * 0.5 for time in step if OUTAGE[0] <= time < OUTAGE[1])
    assert number(counted["Work events"][0]) == pytest.approx(events, rel=0.01)
    assert number(counted["API calls with a server error"][0]) == pytest.approx(failed, rel=0.05)
    assert counted["Devices connected, most"][:2] == ["4", "4"]
    assert number(counted["Work events"][1]) == pytest.approx(events, rel=0.01)
    sent = rows(table(report, "items.table"))
    points = sum(900 * (0.6 + 0.4 * harness.daytime(time)) * 60 for time in step)
    assert number(sent["Devices"][0]) == pytest.approx(points, rel=0.03)
    assert sent["Devices"][1] == "-"


def test_the_daily_report_knows_the_outage_and_only_that(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-24")
    parts = rows(table(report, "uptime.parts"))
    # One of three brokers was away for one of 24 hours; the cluster answered all the time.
    assert parts["kafka"][1] == "100 %"
    assert number(parts["kafka"][5]) == pytest.approx(100 * (1 - 1 / 72), abs=0.1)
    assert parts["gateway"][1] == parts["gateway"][5] == "100 %"
    kept = {row[0].text.en: row for row in table(report, "slo.title").rows}
    api = kept["requests to the business API are answered without a server error"]
    assert api[3].tone == "bad"
    assert number(api[5].text.en) == pytest.approx(1, abs=0.1)
    assert all(row[3].tone == "good" for name, row in kept.items() if "business API" not in name)
    off = rows(table(report, "anomalies.table"))
    assert {"API server errors", "API response, P95"} <= set(off)
    assert off["API server errors"][1].endswith("-14:00")
    assert [
        chart
        for chart in charts(section(report, "anomalies.title").blocks)
        if chart.title == translate("kpi.api-errors")
    ]


def test_the_daily_report_has_the_low_alerts_in_full_and_the_others_by_priority(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-24")
    counted = rows(table(report, "alerts.priorities"))
    assert counted["Critical"] == ["1", "0", "0", "2", "0", "1 h", "1 h"]
    assert counted["Low"][:3] == ["1", "0", "1"]
    (low,) = table(report, "alerts.low").rows
    assert [cell.text.en for cell in low][1:5] == ["Low", "DeviceSpeechAccuracyLow", "dev-2 at 78 %", "fires still"]
    assert table(report, "alerts.urgent").rows[0][2].text.en == "KafkaBrokerDown"


def test_freshness_names_every_layer_and_every_group(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-24")
    assert set(rows(table(report, "freshness.layers"))) == {"Devices", "Streaming", "Business", "Data", "Analytics"}
    assert set(rows(table(report, "freshness.groups"))) == {"metrics-primary", "jaeger"}


def test_a_day_under_way_says_until_when_and_counts_only_that(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-25")
    assert not report.complete
    assert any(fact.en == "The period is not over: figures are those until 2026-11-25 07:00." for fact in report.facts)
    step = range(int(at("2026-11-25 00:00")), int(END), 60)
    events = sum((1 + 8 * harness.daytime(time)) * 60 for time in step)
    assert number(rows(table(report, "counts.table"))["Work events"][0]) == pytest.approx(events, rel=0.02)


def test_a_day_with_too_little_history_says_so_and_judges_nothing(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-11-20", now=at("2026-11-21 07:00"))
    (said,) = [block for block in section(report, "anomalies.title").blocks if isinstance(block, Paragraph)]
    assert said.text.en.startswith("Too little history to say what is usual")
    first = build_report(metrics, Kind.DAILY, "2026-11-19", now=at("2026-11-20 07:00"))
    assert any(
        "Metrics are stored since 2026-11-19 12:0" in fact.en and "of 1 d are known" in fact.en for fact in first.facts
    )
    # Half a day is not set against a whole one.
    assert rows(table(first, "counts.table"))["Work events"][1] == "-"


def test_a_time_without_any_metrics_invents_nothing(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.DAILY, "2026-08-01", now=at("2026-08-02 07:00"), log=Told())
    assert translate("fact.no-history") in report.facts
    assert all(value[0] == "-" for value in rows(table(report, "counts.table")).values())
    assert all(value == ["unknown", "-", "-", "0 %"] for value in rows(table(report, "uptime.layers")).values())
    assert all(value == ["-", "-"] for value in rows(table(report, "freshness.layers")).values())
    assert all(value[2] == "unknown" for value in rows(table(report, "slo.title")).values())


def test_the_weekly_report_sets_this_week_against_the_one_before(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.WEEKLY, "2026-11-24")
    assert report.period == "2026-W48"
    api = rows(table(report, translate("place.business")))
    assert number(api["API server errors"][0]) > 5 * number(api["API server errors"][1])
    errors = next(
        row for row in table(report, translate("place.business")).rows if row[0].text.en == "API server errors"
    )
    assert errors[3].tone == "bad"
    streams = next(row for row in table(report, translate("place.streaming")).rows if row[0].text.en == "Live streams")
    assert streams[3].tone == ""
    drawn = charts(section(report, "trends.title").blocks)
    assert [chart.title.en for chart in drawn][:2] == ["Devices connected", "Live streams"]
    assert all(len(chart.lines) == 2 and chart.lines[0].points and chart.lines[1].points for chart in drawn)


def test_the_weekly_report_tells_resources_top_alerts_budgets_and_what_to_do(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.WEEKLY, "2026-11-24")
    parts = rows(table(report, "resources.parts"))
    assert number(parts["alertmanager"][0]) == pytest.approx(0.05, rel=0.05)
    assert parts["kafka"][3].endswith("GiB")
    assert {"kafka-0", "search-0"} <= set(rows(table(report, "resources.disks")))
    assert table(report, "resources.topics").rows[0][0].text.en == "telemetry-metrics"
    top = [cell.text.en for cell in table(report, "alerts.top").rows[0]]
    assert top[:2] + top[3:6] == ["DeviceBatteryLow", "Medium", "12", "1", "24"]
    budget = rows(table(report, "budget.table"))
    assert number(budget["recording segments are stored"][2]) == pytest.approx(0.4, rel=0.05)
    advice = [[cell.text.en for cell in row] for row in table(report, "recommend.table").rows]
    by_metric = {row[1]: row for row in advice}
    assert by_metric["hw_battery_charge_ratio"][2] == "25 %"
    assert "gateway/otlp" in by_metric["probe_ssl_earliest_cert_expiry"][0]
    assert by_metric['ALERTS{alertname="DeviceBatteryLow"}'][2] == "12"
    # Two days into the week, nothing is foretold about disks, and that is said.
    assert "obs:kafka_disk_used:ratio" not in by_metric
    assert any(
        isinstance(block, Paragraph) and "do not judge yet" in block.text.en for block in report.sections[-1].blocks
    )


def test_a_disk_that_fills_is_foretold_with_its_metric_and_the_time_left(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.WEEKLY, "2026-11-19", now=at("2026-11-23 07:00"))
    advice = {row[0].text.en: [cell.text.en for cell in row] for row in table(report, "recommend.table").rows}
    about = [row for text, row in advice.items() if "Kafka's volume of kafka-0" in text]
    assert len(about) == 1
    text, metric, left, limit = about[0]
    assert (metric, limit) == ("obs:kafka_disk_used:ratio", "30 d")
    # 0.62 at the end, 0.006 a day: on the 23rd it is at 0.608, and 0.142 from its limit.
    assert left.startswith(("23 d", "24 d", "22 d", "25 d"))
    assert left in text


def test_the_monthly_report_has_service_levels_a_capacity_plan_and_maintenance(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.MONTHLY, "2026-11-24")
    assert (report.period, report.complete) == ("2026-11", False)
    assert any("of 30 d are known" in fact.en for fact in report.facts)
    kept = rows(table(report, "slo.title"))
    assert number(kept["requests to the business API are answered without a server error"][4]) == pytest.approx(
        1, abs=0.1
    )
    plan = rows(table(report, "capacity.table"))
    disk = plan["Kafka disk, fullest"]
    assert number(disk[1]) == pytest.approx(0.6, rel=0.05)
    assert number(disk[2]) == pytest.approx(80, abs=1.5)
    assert disk[3] == "history too short"
    # 0.62 and 0.006 a day reach 0.75 in 21.7 days.
    assert disk[5][:10] in ("2026-12-15", "2026-12-16", "2026-12-17", "2026-12-18")
    tested = rows(table(report, "capacity.errors"))["Kafka disk, fullest"]
    assert number(tested[1].removeprefix("< ")) < 1
    assert number(tested[2]) > 60
    assert plan["Devices known"][4:6] == ["-", "-"]
    blocks = section(report, "capacity.title").blocks
    assert any(isinstance(block, Paragraph) and block.tone == "warning" for block in blocks)
    drawn = next(chart for chart in charts(blocks) if chart.title == translate("capacity.kafka-disk"))
    assert drawn.end > END + 25 * DAY
    assert [line.label.en for line in drawn.lines] == [
        "measured",
        "trend",
        translate("line.lower").en,
        translate("line.upper").en,
    ]
    assert drawn.limits[0].value == 0.75
    tasks = rows(table(report, "maintenance.tasks"))
    assert any("Renew the certificate of gateway/otlp" in text for text in tasks)
    assert not any("backup" in text or "snapshot" in text for text in tasks)
    backups = rows(table(report, "maintenance.backups"))
    assert backups["search"] == ["2026-11-25 02:00", "5 h", "286 MiB", "2026-11-26 04:00"]
    versions = rows(table(report, "maintenance.parts"))
    assert versions["prometheus-primary"][0] == "3.16.0 (2)"
    assert versions["kafka"][0] == "-"
    assert versions["alertmanager"][2] == "20 d"


def test_the_maintenance_has_charts_by_day(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.MONTHLY, "2026-11-24")
    drawn = {chart.title: chart for chart in charts(section(report, "maintenance.title").blocks)}
    ages = {line.label.en: line.points for line in drawn[translate("maintenance.backup-chart")].lines}
    assert set(ages) == {"database", "search"}
    assert [at - START for at, _ in ages["search"]] == [DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY]
    assert all(DAY - 10 * MINUTE <= age <= DAY for _, age in ages["search"]), "each day once as old as a day"
    stored = {line.label.en: line.points for line in drawn[translate("maintenance.stored-chart")].lines}
    assert [value for _, value in stored["spans"]] == [4e9] * 5
    failed = {line.label.en: line.points for line in drawn[translate("maintenance.runs-chart")].lines}
    assert {name: [value for _, value in points] for name, points in failed.items()} == {"daily": [1, 0], "weekly": [4]}


def test_the_monthly_report_tells_what_was_done(metrics: ThanosMetrics) -> None:
    report = build_report(metrics, Kind.MONTHLY, "2026-11-24")
    done = table(report, "maintenance.runs")
    assert [[cell.text.en for cell in row] for row in done.rows] == [
        ["2026-11-20 09:30", "daily", "16 / 17", "pods", "tanaka@desk"],
        ["2026-11-21 09:30", "daily", "17 / 17", "-", "tanaka@desk"],
        ["2026-11-23 09:30", "weekly", "13 / 17", "pods, alerts, silences and 1 more", "tanaka@desk"],
    ]
    assert [row[2].tone for row in done.rows] == ["warning", "good", "warning"]
    assert done.note is not None
    assert done.note.en.endswith("Days without a recorded maintenance: 22 of 25.")
    assert [[cell.text.en for cell in row] for row in table(report, "maintenance.drills").rows] == [
        ["2026-11-22 09:30", "broker", "failed", "1 of 7 points missing", "tanaka@desk"],
        ["2026-11-22 09:30", "restore", "passed", "-", "tanaka@desk"],
    ]


def test_an_end_that_nobody_was_notified_of_is_that_of_prometheus(metrics: ThanosMetrics) -> None:
    told, start = alerts(), OUTAGE[0]
    low = {"severity": "low", "device_id": "2"}
    mended = raised("DeviceSpeechAccuracyLow", start, received=start + HOUR, end=start + HOUR, **low)
    report = build_report(metrics, Kind.DAILY, "2026-11-24", log=replace(told, raw=[mended]))
    (row,) = table(report, "alerts.low").rows
    assert row[4].text.en == "1 h"

    class Half(Told):
        def firings(self, identities: object, start: float) -> Firings:
            raise ReportError("topic alerts-raw cannot be read: Broker: Topic authorization failed")

    report = build_report(metrics, Kind.DAILY, "2026-11-24", log=Half(told.events))
    assert [problem.en for problem in report.problems] == [
        "Alerts: whether 1 that are told of as firing have ended since is not known: "
        "topic alerts-raw cannot be read: Broker: Topic authorization failed"
    ]


def test_alerts_that_are_not_known_from_the_begin_on_are_told_so(metrics: ThanosMetrics) -> None:
    log = replace(alerts(), known_since=at("2026-11-24 06:30"))
    for kind in Kind:
        report = build_report(metrics, kind, "2026-11-24", log=log)
        (said,) = [block for block in section(report, "alerts.title").blocks if isinstance(block, Paragraph)]
        assert said.tone == "warning"
        assert "2026-11-24 06:30" in said.text.en
        assert "2026-11-24 06:30" in said.text.ja
        (headline,) = [
            figure
            for block in report.sections[0].blocks
            if isinstance(block, Figures)
            for figure in block.figures
            if figure.label == translate("summary.alerts")
        ]
        assert headline.note is not None
        assert headline.note.en.startswith("known since 2026-11-24 06:30 only; ")
    whole = build_report(metrics, Kind.DAILY, "2026-11-24", log=replace(log, known_since=at("2026-11-24 00:00")))
    assert not any(isinstance(block, Paragraph) for block in section(whole, "alerts.title").blocks)


def test_alerts_that_cannot_be_read_are_a_problem_that_the_report_shows(metrics: ThanosMetrics) -> None:
    for kind in Kind:
        report = build_report(metrics, kind, "2026-11-24", log=Silent())
        assert any("Topic authorization failed" in problem.en for problem in report.problems)
        assert table(report, "alerts.priorities").empty == translate("alerts.unread")
        shown = [
            figure for block in report.sections[0].blocks if isinstance(block, Figures) for figure in block.figures
        ]
        (told,) = [figure for figure in shown if figure.label == translate("summary.alerts")]
        assert told.value.en == "-"
    strange = build_report(metrics, Kind.DAILY, "2026-11-24", log=replace(alerts(), unreadable=3))
    assert any("3 records" in problem.en for problem in strange.problems)
    many = build_report(metrics, Kind.DAILY, "2026-11-24", log=replace(alerts(), left_out=7))
    assert any("7 notifications were left out" in problem.en for problem in many.problems)


def test_one_question_that_is_refused_is_a_problem_and_the_rest_is_there(
    metrics: ThanosMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = metrics.instant

    def instant(expression: str, time: float) -> object:
        if "work_event_processed" in expression:
            raise RefusedError("422: query processing would load too many samples")
        return original(expression, time)

    monkeypatch.setattr(metrics, "instant", instant)
    report = build_report(metrics, Kind.DAILY, "2026-11-24")
    assert [problem.en for problem in report.problems] == [
        "work-events: 422: query processing would load too many samples"
    ]
    counted = rows(table(report, "counts.table"))
    assert counted["Work events"][0] == "-"
    assert counted["API calls"][0] != "-"


def test_a_wrong_password_another_authority_or_nobody_there_is_one_line(
    past: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reports.metrics.TRIES", 0)
    wrong = past.metrics(password="wrong")
    with pytest.raises(ReportError, match="refuses the user 'reader': 401; see its password"):
        build_report(wrong, Kind.DAILY, "2026-11-24")
    wrong.close()
    nobody = ThanosMetrics("https://localhost:1", ca_file=past.folder / "ca.crt", user="a", password="b")
    with pytest.raises(ReportError, match=r"https://localhost:1 cannot be asked: .*refused"):
        build_report(nobody, Kind.DAILY, "2026-11-24")
    nobody.close()


def test_a_server_that_is_not_there_yet_is_waited_for(past: Served) -> None:
    """As in a pod whose network is not ready: the first connections are refused."""
    port, servers = free_port(), list[HttpsServer]()

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        sample = {"metric": {"layer": "device"}, "value": [1, "2"]}
        return [json.dumps({"status": "success", "data": {"resultType": "vector", "result": [sample]}}).encode()]

    def serve() -> None:
        servers.append(HttpsServer("127.0.0.1", port, past.folder / "tls.crt", past.folder / "tls.key", app))
        servers[0].start()

    timer = threading.Timer(1.0, serve)
    late = ThanosMetrics(f"https://localhost:{port}", ca_file=past.folder / "ca.crt", user="a", password="b")
    timer.start()
    try:
        assert [sample.value for sample in late.instant("up", 1.0)] == [2.0]
    finally:
        late.close()
        timer.join()
        servers[0].stop()


def test_promql_that_is_wrong_is_refused_with_prometheus_words(metrics: ThanosMetrics) -> None:
    with pytest.raises(RefusedError, match='400: invalid parameter "query"'):
        metrics.instant("sum(", END)
    with pytest.raises(RefusedError, match="points are too many"):
        metrics.range("up", START, END, 1.0)
    with pytest.raises(RefusedError, match="not a vector"):
        metrics.instant("1", END)


def test_an_answer_that_is_incomplete_is_a_problem_that_the_report_shows(past: Served) -> None:
    thanos_metrics = past.metrics()
    # A quantile beyond 1: Prometheus answers, and warns.
    thanos_metrics.instant("quantile(2, up)", END)
    assert any("quantile value should be between 0 and 1" in warning for warning in thanos_metrics.warnings)
    told = build_report(thanos_metrics, Kind.DAILY, "2026-11-24")
    thanos_metrics.close()
    assert told.problems[0].en.startswith("Answers may be incomplete: PromQL warning: quantile")
