"""Where reports go: stored with an index, mailed once, and written down, so that the report server knows."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.fakes.receivers.channels import MailFake
from services.report_server.poller import Object, read_run
from services.report_server.poller import reports as stored_reports
from services.reports import ReportsSettings, delivery
from services.reports import __main__ as program
from services.reports.__main__ import Files, deliver, job_of, main, run
from services.reports.delivery import Store, Stored, key, stored
from services.reports.model import Kind, Period, ReportError, period
from tests.config.pki import write_certificates
from tests.unit.services.reports.delivery import BUCKET, KEYS, LOGIN, PREFIX, RECIPIENTS, Places, places
from tests.unit.services.reports.harness import TOKYO
from tests.unit.services.reports.samples import sample

DAY = date(2026, 11, 24)
FILES = Files(
    pages={"ja": "<p>日次</p>".encode(), "en": b"<p>daily</p>"}, pdfs={"ja": b"%PDF-1.7 ja", "en": b"%PDF-1.7 en"}
)
PAGE = f"{PREFIX}daily/2026/2026-11-24.ja.html"
MAILED = f"{PREFIX}mailed/daily/2026-11-24.json"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Places]:
    with places(tmp_path) as opened_places:
        yield opened_places


def settings(there: Places, **changed: Any) -> ReportsSettings:
    return ReportsSettings.parse(there.settings(**changed))


def parsed(content: dict[str, Any]) -> ReportsSettings:
    return ReportsSettings.parse(content)


def day(name: str = "2026-11-24") -> Period:
    return period(Kind.DAILY, date.fromisoformat(name), TOKYO)


def test_a_report_is_stored_in_each_language_as_page_and_pdf_with_an_index(there: Places) -> None:
    deliver(settings(there), day(), sample(), FILES)
    folder = f"{PREFIX}daily/2026/2026-11-24"
    assert there.names == sorted(
        [
            *(f"{folder}.{language}.{kind}" for language in ("en", "ja") for kind in ("html", "pdf")),
            f"{PREFIX}index.html",
            MAILED,
        ]
    )
    page, paper = there.object(PAGE), there.object(f"{folder}.en.pdf")
    assert page["Body"].read().decode() == "<p>日次</p>"
    assert page["ContentType"] == "text/html; charset=utf-8"
    assert (paper["ContentType"], paper["Body"].read()) == ("application/pdf", b"%PDF-1.7 en")


def test_the_report_server_finds_what_is_stored_and_reads_how_the_run_ended(there: Places) -> None:
    report_settings = settings(there)
    deliver(report_settings, day(), sample(), FILES)
    assert report_settings.storage is not None
    Store(report_settings.storage.place).record(Kind.DAILY, failed=True, period="2026-11-24", problem="mail: refused")
    objects = [
        Object(
            key=stored_object["Key"].removeprefix(PREFIX),
            size=stored_object["Size"],
            written=stored_object["LastModified"].timestamp(),
        )
        for stored_object in there.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    ]
    (shown,) = stored_reports(objects, TOKYO)
    assert (shown.kind, shown.period, shown.end, len(shown.files)) == ("daily", "2026-11-24", day().end, 4)
    ended = read_run(there.object(f"{PREFIX}runs/daily/2026-11-24.json")["Body"].read())
    assert ended is not None
    assert (ended.failed, ended.period, ended.problem) == (True, "2026-11-24", "mail: refused")
    assert abs(ended.ended - datetime.now(UTC).timestamp()) < 60


def test_the_mail_has_a_text_a_page_and_the_report_in_each_language(there: Places) -> None:
    deliver(settings(there, link="https://reports.example.org"), day(), sample(), FILES)
    notifications = there.record.since()
    assert [notification.audience for notification in notifications] == RECIPIENTS
    body = notifications[0].body
    assert body["subject"] == "[obs (local)] 日次レポート 2026-11-24"
    assert body["sender"] == "obs@example.org"
    assert body["headers"]["Auto-Submitted"] == "auto-generated"
    assert body["headers"]["Content-Type"].startswith("multipart/mixed")
    for text in (body["text"], body["html"]):
        for words in ("作業イベント", "Work events", "1,234", "https://reports.example.org"):
            assert words in text, words
    assert "<script" not in body["html"]
    ElementTree.fromstring(body["html"].removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  (our own)


def test_the_attachments_are_the_pdfs() -> None:
    message = delivery.message(
        sample(), FILES.pdfs, platform="obs", sender="a@example.org", recipients=["b@example.org"]
    )
    read = message_from_bytes(message.as_bytes(), policy=policy.default)
    attached = {
        iter_attachment.get_filename(): iter_attachment.get_content() for iter_attachment in read.iter_attachments()
    }
    assert attached == {"daily-2026-11-24.ja.pdf": b"%PDF-1.7 ja", "daily-2026-11-24.en.pdf": b"%PDF-1.7 en"}
    assert all(iter_attachment.get_content_type() == "application/pdf" for iter_attachment in read.iter_attachments())
    assert "Reports" not in str(read["Subject"])
    assert "http" not in read.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_the_same_report_is_stored_again_and_mailed_once_unless_asked_again(there: Places) -> None:
    report_settings = settings(there)
    for _ in range(2):
        deliver(report_settings, day(), sample(), FILES)
    assert len(there.record.since()) == len(RECIPIENTS)
    assert set(json.loads(there.object(MAILED)["Body"].read())["recipients"]) == set(RECIPIENTS)
    deliver(report_settings, day(), sample(), FILES, again=True)
    assert len(there.record.since()) == 2 * len(RECIPIENTS)


def test_a_report_of_a_period_under_way_does_not_keep_the_whole_one_from_being_mailed(there: Places) -> None:
    report_settings = settings(there)
    deliver(report_settings, day(), sample(complete=False), FILES)
    assert json.loads(there.object(MAILED)["Body"].read())["complete"] is False
    deliver(report_settings, day(), sample(), FILES)
    assert len(there.record.since()) == 2 * len(RECIPIENTS)


def test_a_mail_that_is_refused_is_no_mail_and_is_tried_by_the_next_run(there: Places) -> None:
    report_settings = settings(there)
    (there.folder / "mail").write_text("wrong\n")
    with pytest.raises(ReportError, match="refuses the login of 'reports': see its password"):
        deliver(report_settings, day(), sample(), FILES)
    assert PAGE in there.names
    (there.folder / "mail").write_text(LOGIN[1])
    deliver(report_settings, day(), sample(), FILES)
    assert len(there.record.since()) == len(RECIPIENTS)


@contextmanager
def refusing(there: Places, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Iterator[None]:
    """The mail server takes nothing for some recipients."""

    async def handle(self: object, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in addresses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    with monkeypatch.context() as patched:
        patched.setattr(MailFake, "handle_RCPT", handle, raising=False)
        yield


def audiences(there: Places) -> list[str]:
    return sorted(notification.audience for notification in there.record.since())


def test_a_recipient_that_is_refused_costs_nobody_a_second_mail(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    report_settings, (first, second) = settings(there), RECIPIENTS
    with refusing(there, monkeypatch, first):
        for _ in range(4):
            with pytest.raises(ReportError, match=rf"refuses {first} \(550 no such mailbox\)"):
                deliver(report_settings, day(), sample(), FILES)
    assert audiences(there) == [second]
    deliver(report_settings, day(), sample(), FILES)
    assert audiences(there) == sorted(RECIPIENTS)
    deliver(report_settings, day(), sample(), FILES)
    assert audiences(there) == sorted(RECIPIENTS)


@pytest.mark.parametrize(("complete", "again"), [(True, True), (False, False), (False, True)])
def test_tries_of_one_job_mail_each_recipient_once_and_another_job_does_again(
    there: Places, monkeypatch: pytest.MonkeyPatch, complete: bool, again: bool
) -> None:
    report_settings, (first, second) = settings(there), RECIPIENTS
    deliver(report_settings, day(), sample(complete=complete), FILES)
    with refusing(there, monkeypatch, first):
        for _ in range(4):
            with pytest.raises(ReportError, match="others took it"):
                deliver(report_settings, day(), sample(complete=complete), FILES, again=again, job="report-daily-1")
    assert audiences(there) == sorted([*RECIPIENTS, second])
    deliver(report_settings, day(), sample(complete=complete), FILES, again=again, job="report-daily-2")
    assert audiences(there) == sorted([*RECIPIENTS, *RECIPIENTS, second])


def test_all_recipients_that_are_refused_are_named(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing(there, monkeypatch, *RECIPIENTS), pytest.raises(ReportError, match="; 0 others took it") as told:
        deliver(settings(there), day(), sample(), FILES)
    assert all(address in str(told.value) for address in RECIPIENTS)
    assert MAILED not in there.names


def test_a_record_of_mails_that_is_damaged_is_named_and_nobody_is_mailed(there: Places) -> None:
    there.s3.put_object(Bucket=BUCKET, Key=MAILED, Body=b"[]")
    with pytest.raises(ReportError, match=r"mailed/daily/2026-11-24\.json is damaged, remove it"):
        deliver(settings(there), day(), sample(), FILES)
    assert there.record.since() == []


@pytest.mark.parametrize(
    ("host", "job"),
    [
        ("report-daily-29384750-x7k2p", "report-daily-29384750"),
        ("report-weekly-by-hand-1130154512-abcde", "report-weekly-by-hand-1130154512"),
        ("my-laptop", ""),
        ("localhost", ""),
    ],
)
def test_the_job_of_a_pod_is_in_its_host_name(host: str, job: str) -> None:
    assert job_of(host) == job


def test_a_kind_without_recipients_is_stored_only(there: Places) -> None:
    month = period(Kind.MONTHLY, DAY, TOKYO)
    deliver(settings(there), month, replace(sample(), kind=Kind.MONTHLY, period="2026-11"), FILES)
    assert f"{PREFIX}monthly/2026/2026-11.ja.pdf" in there.names
    assert there.record.since() == []


def test_without_a_storage_every_report_is_mailed(there: Places) -> None:
    for _ in range(2):
        deliver(settings(there, storage=None), day(), sample(), FILES)
    assert there.names == []
    assert len(there.record.since()) == 2 * len(RECIPIENTS)


def test_a_server_of_another_authority_gets_neither_password_nor_report(there: Places, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    strange = {"ca_file": str(other / "ca.crt")}
    base = there.settings()
    with pytest.raises(ReportError, match=r"mail server localhost:\d+: .*certificate verify failed"):
        deliver(
            parsed({**base, "storage": None, "mail": {**base["mail"], **strange}}),
            day(),
            sample(),
            FILES,
        )
    with pytest.raises(ReportError, match=r"object storage https://localhost:\d+, bucket monitoring: .*SSL"):
        deliver(parsed({**base, "storage": {**base["storage"], **strange}}), day(), sample(), FILES)
    assert there.record.since() == []
    assert there.names == []


def test_a_server_without_starttls_gets_nothing(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtplib.SMTP, "has_extn", lambda *_: False)
    with pytest.raises(ReportError, match="STARTTLS"):
        deliver(settings(there, storage=None), day(), sample(), FILES)
    assert there.record.since() == []


def test_errors_of_the_storage_name_it_and_no_secret(there: Places) -> None:
    base = there.settings()
    with pytest.raises(ReportError, match=r"bucket elsewhere: .*NoSuchBucket") as told:
        deliver(
            parsed({**base, "storage": {**base["storage"], "bucket": "elsewhere"}}),
            day(),
            sample(),
            FILES,
        )
    assert not any(secret in str(told.value) for secret in (*KEYS, LOGIN[1]))
    (there.folder / "key").unlink()
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        deliver(ReportsSettings.parse(base), day(), sample(), FILES)


def test_objects_are_encrypted_as_the_settings_say(there: Places) -> None:
    base = there.settings()
    deliver(parsed({**base, "storage": {**base["storage"], "encryption": "AES256"}}), day(), sample(), FILES)
    assert there.object(PAGE)["ServerSideEncryption"] == "AES256"


def test_the_index_lists_the_newest_first_and_leads_to_the_files(there: Places) -> None:
    report_settings = settings(there)
    for name in ("2026-11-24", "2026-11-23"):
        deliver(report_settings, day(name), sample(period=name), FILES)
    page = there.object(f"{PREFIX}index.html")["Body"].read().decode()
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  (our own)
    links = [element.get("href") for element in root.iter("a")]
    assert links[:4] == [f"daily/2026/2026-11-24.{rest}" for rest in ("en.html", "en.pdf", "ja.html", "ja.pdf")]
    assert {f"{PREFIX}{link}" for link in links} <= set(there.names)
    assert page.index("2026-11-24") < page.index("2026-11-23")


def test_an_index_of_many_reports_has_pages_and_one_that_shrinks_loses_them(there: Places) -> None:
    report_settings = settings(there)
    assert report_settings.storage is not None
    store = Store(report_settings.storage.place)
    names = [(DAY - timedelta(days=number)).isoformat() for number in range(delivery.PER_PAGE + 1)]
    for name in names:
        store.put(key(day(name), "en", "html"), b"x", "text/html")
    assert (
        delivery.rewrite(store, report_settings.languages, report_settings.zone, report_settings.name)
        == delivery.PER_PAGE + 1
    )
    first, second = (there.object(f"{PREFIX}{name}")["Body"].read().decode() for name in ("index.html", "index-2.html"))
    assert 'href="index-2.html"' in first
    assert 'href="index.html"' in second
    assert names[-1] in second
    assert names[-1] not in first
    store.delete(key(day(names[-1]), "en", "html"))
    delivery.rewrite(store, report_settings.languages, report_settings.zone, report_settings.name)
    assert f"{PREFIX}index-2.html" not in there.names


def test_reports_are_ordered_by_their_first_day_and_strange_objects_are_passed_over() -> None:
    now = datetime.now(UTC)
    names = [
        "daily/2026/2026-11-24.en.html",
        "weekly/2026/2026-W48.en.html",
        "monthly/2026/2026-11.ja.pdf",
        "weekly/2026/2026-W53.en.pdf",
        "runs/daily/2026-11-24.json",
        "index.html",
        "daily/2026/notes.txt",
    ]
    published = stored([(name, now) for name in names])
    assert [(report.kind.value, report.period) for report in published] == [
        ("weekly", "2026-W53"),
        ("daily", "2026-11-24"),
        ("weekly", "2026-W48"),
        ("monthly", "2026-11"),
    ]
    assert isinstance(published[0], Stored)
    (only,) = delivery.pages([], ("ja", "en"), TOKYO, "obs")
    assert "レポートはまだありません" in only


def test_a_run_that_fails_is_written_down_with_its_reason_and_ends_with_one(
    there: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("services.reports.metrics.TRIES", 0)
    assert main(["--config", str(there.file()), "daily", "--at", "2026-11-24"]) == 1
    told = capsys.readouterr().err
    assert "daily report: https://localhost:1 cannot be asked" in told
    ended = json.loads(there.object(f"{PREFIX}runs/daily/2026-11-24.json")["Body"].read())
    assert ended["failed"] is True
    assert ended["period"] == "2026-11-24"
    assert "cannot be asked" in ended["problem"]
    assert there.record.since() == []


def test_a_run_makes_stores_mails_and_writes_down(
    there: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "build_report", lambda *_: sample())
    run(settings(there), Kind.DAILY, DAY)
    assert json.loads(there.object(f"{PREFIX}runs/daily/2026-11-24.json")["Body"].read())["failed"] is False
    assert there.object(f"{PREFIX}daily/2026/2026-11-24.en.pdf")["Body"].read().startswith(b"%PDF")
    assert len(there.record.since()) == len(RECIPIENTS)
    assert "daily report 2026-11-24: not answered: q0" in capsys.readouterr().err
