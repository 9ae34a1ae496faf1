"""What the report server sees in an object storage, what it says is missing, and how it outlives an outage of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.report_server import ReportServerSettings as Settings
from services.report_server.__main__ import ReportCollector
from services.report_server.poller import (
    Bucket,
    Content,
    NotStoredError,
    Object,
    Run,
    Snapshot,
    StorageError,
    period_end,
    read_run,
    reports,
)
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import HOURS, TOKYO, Storage, tokyo, watch


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path) as running:
        yield running


def stored(*keys: str, written: float = 5.0) -> list[Object]:
    return [Object(key=key, size=1, written=written) for key in keys]


@pytest.mark.parametrize(
    ("kind", "period", "end"),
    [
        ("daily", "2026-11-24", "2026-11-25T00:00"),
        ("daily", "2026-12-31", "2027-01-01T00:00"),
        ("weekly", "2026-W48", "2026-11-30T00:00"),
        ("weekly", "2026-W53", "2027-01-04T00:00"),
        ("monthly", "2026-02", "2026-03-01T00:00"),
        ("monthly", "2026-12", "2027-01-01T00:00"),
    ],
)
def test_a_period_ends_at_midnight_of_the_time_zone(kind: str, period: str, end: str) -> None:
    assert period_end(kind, period, TOKYO) == tokyo(end)


@pytest.mark.parametrize(("kind", "period"), [("daily", "2026-02-30"), ("weekly", "2025-W54"), ("monthly", "2026-13")])
def test_what_looks_like_a_period_and_is_none_has_no_end(kind: str, period: str) -> None:
    assert period_end(kind, period, TOKYO) is None


def test_reports_are_found_by_folder_and_period_whatever_folders_are_between() -> None:
    listed = reports(
        stored(
            "daily/2026/2026-11-23/report.ja.html",
            "daily/2026-11-24.en.pdf",
            "daily/2026-11-24.ja.html",
            "weekly/2026/2026-W47.ja.html",
            "monthly/2026-10/report.ja.html",
            "index.html",
            "runs/daily/2026-11-24.json",
            "mailed/daily/2026-11-24.json",
            "daily/readme.txt",
            "daily/2026-02-30.html",
            "other/2026-11-24.html",
        ),
        TOKYO,
    )
    assert [(report.kind, report.period, len(report.files)) for report in listed] == [
        ("daily", "2026-11-24", 2),
        ("daily", "2026-11-23", 1),
        ("weekly", "2026-W47", 1),
        ("monthly", "2026-10", 1),
    ]


def test_the_next_report_is_missing_some_hours_after_the_newest_period_however_often_that_was_made_again() -> None:
    now = tokyo("2026-11-25T09:00")
    seen = Snapshot(at=now, since=0.0, reports=reports(stored("daily/2026-11-24.html", written=now), TOKYO))
    assert seen.due("daily", 32) == tokyo("2026-11-26T08:00")


def test_a_report_of_a_period_that_is_not_over_does_not_count() -> None:
    now = tokyo("2026-11-25T09:00")
    kept = stored("daily/2026-11-24.html", "daily/2026-11-25.html", written=now)
    newest = Snapshot(at=now, since=0.0, reports=reports(kept, TOKYO)).newest("daily")
    assert newest is not None
    assert newest.period == "2026-11-24"


def test_a_report_that_was_stored_before_its_period_was_over_does_not_count() -> None:
    now = tokyo("2026-11-26T09:00")
    kept = stored("daily/2026-11-24.html", "daily/2026-11-25.html", written=tokyo("2026-11-25T09:00"))
    newest = Snapshot(at=now, since=0.0, reports=reports(kept, TOKYO)).newest("daily")
    assert newest is not None
    assert newest.period == "2026-11-24"


def test_of_a_kind_without_any_report_the_time_counts_from_the_oldest_object() -> None:
    seen = Snapshot(at=tokyo("2026-11-25T09:00"), since=tokyo("2026-11-20T00:00"))
    assert seen.newest("weekly") is None
    assert seen.due("weekly", HOURS["weekly"]) == tokyo("2026-11-27T09:00")


def test_a_poll_sees_reports_runs_and_the_oldest_object(fake_storage: Storage) -> None:
    fake_storage.put("daily/2026/2026-11-24/report.ja.html", "<p>")
    fake_storage.put("other", prefix="elsewhere/")
    fake_storage.put_run("daily", failed=True, problem="the mail server refuses")
    fake_storage.put_run("weekly", failed=False)
    told: list[str] = []
    poller = watch(fake_storage, told)
    assert not poller.polled()
    poller.poll()
    seen = poller.snapshot
    assert [(report.kind, report.period) for report in seen.reports] == [("daily", "2026-11-24")]
    assert [file.key for file in seen.reports[0].files] == ["daily/2026/2026-11-24/report.ja.html"]
    ended = tokyo("2026-11-25T06:11:30")
    assert seen.runs == {
        "daily": Run(ended=ended, failed=True, period="2026-11-24", problem="the mail server refuses"),
        "weekly": Run(ended=ended, failed=False, period="2026-11-24"),
    }
    assert seen.since <= seen.at
    assert poller.polled()
    assert poller.alive()
    assert told == []


def test_more_objects_than_a_page_are_all_seen(fake_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    for number in range(7):
        fake_storage.put(f"daily/2026-11-24/{number}.html")
    assert len(Bucket(fake_storage.settings().storage).objects()) == 7


def test_while_the_storage_is_away_the_last_poll_counts_and_it_is_told_once(fake_storage: Storage) -> None:
    fake_storage.put("daily/2026-11-24.html")
    told: list[str] = []
    poller = watch(fake_storage, told)
    poller.poll()
    fake_storage.client.delete_object(Bucket="monitoring", Key="reports/daily/2026-11-24.html")
    fake_storage.client.delete_bucket(Bucket="monitoring")
    before = poller.snapshot
    poller.poll()
    poller.poll()
    assert poller.snapshot is before
    assert poller.failures == 2
    assert told == ["cannot list the reports: NoSuchBucket"]
    fake_storage.client.create_bucket(
        Bucket="monitoring", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    poller.poll()
    assert told[1:] == ["the object storage answers again"]
    assert poller.snapshot.reports == ()


def test_a_storage_that_another_authority_vouches_for_is_refused(fake_storage: Storage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    report_server_fakes.write_files(other)
    settings = Settings.parse(report_server_fakes.content(other, fake_storage.endpoint))
    with pytest.raises(StorageError, match=r"cannot list the reports: .*(certificate|SSL)"):
        Bucket(settings.storage).objects()


def test_a_key_file_that_is_not_there_is_named(fake_storage: Storage) -> None:
    (fake_storage.folder / "key-id").unlink()
    with pytest.raises(StorageError, match=r"key-id cannot be read"):
        Bucket(fake_storage.settings().storage).objects()


def test_an_object_that_is_not_there_is_told_apart(fake_storage: Storage) -> None:
    with pytest.raises(NotStoredError, match="cannot read daily/none: NoSuchKey"):
        Bucket(fake_storage.settings().storage).open("daily/none")


def test_a_record_that_is_none_is_passed_over_and_told(fake_storage: Storage) -> None:
    fake_storage.put("runs/daily/2026-11-24.json", "[]")
    told: list[str] = []
    poller = watch(fake_storage, told)
    poller.poll()
    poller.poll()
    assert poller.snapshot.runs == {}
    assert told == ["runs/daily/2026-11-24.json is no record of a run: it is passed over"]


def test_a_run_of_another_period_that_succeeds_hides_none_that_failed(fake_storage: Storage) -> None:
    poller = watch(fake_storage, [])
    fake_storage.put_run("daily", failed=True, problem="mail: refused", period="2026-11-24")
    fake_storage.put_run("daily", failed=False, period="2026-11-20")
    poller.poll()
    assert (poller.snapshot.runs["daily"].failed, poller.snapshot.runs["daily"].period) == (True, "2026-11-24")
    fake_storage.put_run("daily", failed=False, period="2026-11-24")
    poller.poll()
    assert poller.snapshot.runs["daily"].failed is False


def test_records_are_read_once_and_the_last_fourteen_only(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = Bucket.open

    def counted(self: Bucket, key: str) -> Content:
        opened.append(key)
        return original(self, key)

    monkeypatch.setattr(Bucket, "open", counted)
    for day in range(1, 21):
        fake_storage.put_run("daily", failed=False, period=f"2026-11-{day:02d}")
    poller = watch(fake_storage, [])
    poller.poll()
    poller.poll()
    assert len(opened) == len(set(opened)) == 14


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ended_at": 5, "failed": true}', '{"ended_at": "x", "failed": 1}'])
def test_what_is_no_record_of_a_run_is_none(text: str) -> None:
    assert read_run(text.encode()) is None


def test_a_record_may_lack_what_is_only_for_people() -> None:
    run = read_run(json.dumps({"ended_at": "2026-11-25T06:00:00+09:00", "failed": False}).encode())
    assert run == Run(ended=tokyo("2026-11-25T06:00"), failed=False)


def test_metrics_say_what_was_seen(fake_storage: Storage) -> None:
    fake_storage.put("daily/2026-11-23.html")
    fake_storage.put("daily/2026-11-24.html")
    fake_storage.put_run("daily", failed=True)
    registry = CollectorRegistry()
    poller = watch(fake_storage, [])
    ReportCollector(poller, HOURS, registry)
    value = registry.get_sample_value
    assert value("report_stored", {"kind": "daily"}) is None
    assert value("report_server_read_timestamp_seconds") == poller.began
    poller.poll()
    assert value("report_stored", {"kind": "daily"}) == 2
    assert value("report_stored", {"kind": "weekly"}) == 0
    assert value("report_newest_period_end_timestamp_seconds", {"kind": "daily"}) == tokyo("2026-11-25T00:00")
    assert value("report_due_timestamp_seconds", {"kind": "daily"}) == tokyo("2026-11-26T08:00")
    assert value("report_due_timestamp_seconds", {"kind": "weekly"}) == poller.snapshot.since + 177 * 3600
    assert value("report_last_run_failed", {"kind": "daily"}) == 1
    assert value("report_last_run_failed", {"kind": "weekly"}) is None
    assert value("report_last_run_timestamp_seconds", {"kind": "daily"}) == tokyo("2026-11-25T06:11:30")
    newest = value("report_newest_timestamp_seconds", {"kind": "daily"})
    assert newest is not None
    assert abs(newest - poller.snapshot.at) < 60
    assert value("report_server_read_timestamp_seconds") == poller.snapshot.at
    assert value("report_server_read_failures_total") == 0
