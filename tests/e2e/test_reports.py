"""Reports on the live platform: made from live data, stored, shown, mailed, in both languages (R1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from components.reports import Kind
from components.telemetry.thresholds import THRESHOLDS
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import Notification
from ops.alerts import events as alert_events
from ops.alerts.events import Stage
from ops.core.access import report_access
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.reports import ReportClient
from services.alert_events.events import AlertEvent
from tests.e2e import durations
from tests.support.alert_waves import Row, Watch
from tests.support.reports import from_report_server, mails, objects, run_now
from tests.support.results import recorded

LOW = next(threshold for threshold in THRESHOLDS if threshold.name == "sessions")
"""A Low alert without a holding time: nobody is notified of it but by the daily report."""
LANGUAGES = ("en", "ja")
CHARTS = {Kind.DAILY: 2, Kind.WEEKLY: 2, Kind.MONTHLY: 0}
"""Charts of a platform that is minutes old: the lines of a month need hours."""
PERIODS = {
    "yesterday": ("reports-yesterday", (Kind.DAILY,)),
    "now": ("reports-run-now", tuple(Kind)),
    "over": ("reports-run", tuple(Kind)),
}
"""Case -> name of its evidence, and the reports that it makes."""
LOOKED_AT_S = 150
"""The report server polls the storage every minute, and Prometheus scrapes the report server."""
_JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")
_HEADINGS = re.compile(r"<h2[^>]*>(.*?)</h2>", re.DOTALL)
_LOADED = re.compile(r"<(?:link|script|img|iframe)\b[^>]*(?:src|href)=.(?!data:|#)")


@pytest.fixture(scope="module")
def receivers() -> Receivers:
    """The fakes that stand for pagers, Slack, SNS and a mail server."""
    return Receivers.of_lab()


@pytest.fixture(scope="module")
def low(context: Context, receivers: Receivers) -> Iterator[AlertEvent]:
    """A Low alert that was notified to nobody but the record of alerts."""
    began, rows = datetime.now(UTC), list[Row]()
    watch = Watch(context, receivers, receivers.newest(), rows)
    new = watch.inject([LOW])
    try:
        watch.until(durations.THRESHOLD_FIRES, new, lambda row: row.fired is not None)
        assert new[0].fired, f"{LOW.alert} does not fire"

        def written() -> list[AlertEvent]:
            events = alert_events.read(context.platform, Stage.PROCESSED, began).events
            return [event for event in events if event.labels["alertname"] == LOW.alert and event.status == "firing"]

        wait_until(lambda: bool(written()), durations.LOW_GROUPED, f"{LOW.alert} in the record of alerts", 5.0)
        yield written()[0]
    finally:
        watch.clear()


def check_page(text: str, language: str) -> None:
    """A report's page is in its language and loads nothing."""
    assert f'<html lang="{language}"' in text
    headings = _HEADINGS.findall(text)
    assert headings
    assert any(_JAPANESE.search(heading) for heading in headings) is (language == "ja"), headings
    assert not _LOADED.findall(text), "the page loads something"


def check_mail(notification: Notification) -> None:
    """A mail has both languages and no program."""
    for language in LANGUAGES:
        assert f'lang="{language}"' in notification.body["html"]
    assert notification.body["text"].strip()
    assert "<script" not in notification.body["html"]


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("period", list(PERIODS))
def test_each_report_is_made_stored_shown_and_mailed(context: Context, receivers: Receivers, period: str) -> None:
    """Of the period that goes on, which has live data, and of the last one that is over, as the schedule makes it."""
    access = report_access(context.platform)
    over = period != "now"
    today = [] if over else ["--at", datetime.now(access.zone).date().isoformat()]
    evidence, kinds = PERIODS[period]
    with recorded(evidence, context.kube) as figures:
        for kind in kinds:
            start = receivers.newest()
            ran = run_now(kind, *today, "--again")
            assert ran.code == 0, ran.said[-1000:]
            stored_files, told = objects(kind, ran.period), mails(receivers, start)
            figures[str(kind)] = {
                "period": ran.period,
                "seconds": ran.seconds,
                "bytes": {name: len(content) for name, content in sorted(stored_files.items())},
                "charts": stored_files["en.html"].count(b"<svg"),
                "mailed to": sorted(notification.audience for notification in told),
            }
            assert set(stored_files) == {f"{language}.{form}" for language in LANGUAGES for form in ("html", "pdf")}
            for language in LANGUAGES:
                check_page(stored_files[f"{language}.html"].decode(), language)
                assert stored_files[f"{language}.pdf"].startswith(b"%PDF-")
                # Of a period before the platform was there, there is nothing to draw.
                assert over or stored_files[f"{language}.html"].count(b"<svg") >= CHARTS[kind]
            assert told, f"nobody got the {kind} report"
            for notification in told:
                check_mail(notification)
            on_report_server(context, kind, ran.period, stored_files["ja.html"])


def on_report_server(context: Context, kind: Kind, period: str, page: bytes) -> None:
    """The report server lists a report, shows its page to its reader alone, and so does the index."""
    access, path = report_access(context.platform), f"/files/{kind}/{period[:4]}/{period}.ja.html"

    def listed() -> bool:
        stored = ReportClient(context, access).listing().reports
        return any((report.kind, report.period) == (str(kind), period) for report in stored)

    wait_until(listed, LOOKED_AT_S, f"the {kind} report on the report server", 3.0)
    assert from_report_server(context, path, access.login) == (200, page)
    assert from_report_server(context, path, None)[0] == 401
    status, index = from_report_server(context, "/files/index.html", access.login)
    assert status == 200
    assert period in index.decode()


@pytest.mark.timeout(400)
def test_the_newest_reports_are_seen_by_prometheus(context: Context) -> None:
    name = "report_newest_timestamp_seconds"

    def seen() -> set[str]:
        return {sample.labels["kind"] for sample in context.thanos.instant(f"max by (kind) ({name})")}

    wait_until(lambda: seen() == set(map(str, Kind)), LOOKED_AT_S, f"{name} of all kinds", 3.0)


@pytest.mark.timeout(1500)
def test_a_low_alert_is_in_the_daily_report(context: Context, low: AlertEvent) -> None:
    with recorded("reports-low-alert", context.kube) as figures:
        day = low.starts_at.astimezone(report_access(context.platform).zone).date().isoformat()
        ran = run_now(Kind.DAILY, "--at", day)
        assert ran.code == 0, ran.said[-1000:]
        stored_files = objects(Kind.DAILY, day)
        figures |= {"alert": LOW.alert, "day": day, "seconds": ran.seconds}
        for language, said in (("en", LOW.summary), ("ja", LOW.summary_ja)):
            # Long names may be broken anywhere.
            text = re.sub(r"<wbr\s*/?>", "", stored_files[f"{language}.html"].decode())
            assert LOW.alert in text
            # The number of users in it is another one each time.
            longest = max(re.split(r"\{\{.*?\}\}", said), key=len).strip()
            assert longest in text, f"the summary in {language}"


@pytest.mark.timeout(600)
def test_a_second_run_replaces_the_report_and_does_not_mail_it_again(receivers: Receivers) -> None:
    first = run_now(Kind.WEEKLY)
    assert first.code == 0, first.said[-1000:]
    before, start = objects(Kind.WEEKLY, first.period), receivers.newest()
    second = run_now(Kind.WEEKLY)
    assert second.code == 0, second.said[-1000:]
    assert second.period == first.period
    assert set(objects(Kind.WEEKLY, second.period)) == set(before)
    assert mails(receivers, start) == []
