"""Records of runs and mails in a real object storage, as the report server reads them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from components.storage_roles import StorageRole
from services.report_server import ReportServerSettings
from services.report_server.poller import Bucket, ReportPoller
from services.reports.delivery import Mailing, Store
from services.reports.model import Kind, period
from tests.config.storage_process import storage_process
from tests.unit.reports.report_server_fakes import content, write_files

DAY = period(Kind.DAILY, date(2026, 11, 24), ZoneInfo("Asia/Tokyo"))


def test_records_of_runs_and_mails_come_back_from_a_real_storage(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "storage").mkdir()
    write_files(tmp_path / "server")
    with storage_process(tmp_path / "storage") as running:
        store = Store(running.place("reports/", StorageRole.REPORT_WRITER))
        assert store.mailing(DAY) == Mailing()
        taken = Mailing().with_taken(["ops@example.org"], complete=True, job="report-daily-1")
        store.put_mailing(DAY, taken)
        assert store.mailing(DAY) == taken
        place = running.settings("reports/", StorageRole.REPORT_READER)
        settings = ReportServerSettings.parse(content(tmp_path / "server") | {"storage": place})
        poller = ReportPoller(settings, Bucket(settings.storage), print)
        store.record(Kind.DAILY, failed=True, period=DAY.name, problem="mail: refused")
        store.record(Kind.DAILY, failed=False, period="2026-11-20")
        poller.poll()
        assert poller.snapshot.runs["daily"].problem == "mail: refused"
        store.record(Kind.DAILY, failed=False, period=DAY.name)
        poller.poll()
        assert (poller.snapshot.runs["daily"].failed, poller.snapshot.reports) == (False, ())
