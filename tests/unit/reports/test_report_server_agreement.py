"""The report server reads what the report program really stores: both against one object storage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from services.reports import delivery
from services.reports.delivery import HTML_TYPE, PDF_TYPE, Store, key
from services.reports.model import Kind, period
from services.runtime.settings import Storage as WriterStorage
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import BUCKET, PREFIX, TOKYO, Storage, watch

DAY = date(2026, 3, 4)


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path) as running:
        yield running


def writer(fake_storage: Storage) -> Store:
    return Store(
        WriterStorage(
            endpoint=fake_storage.endpoint,
            region="ap-northeast-1",
            bucket=BUCKET,
            prefix=PREFIX,
            access_key_id_file=fake_storage.folder / "key-id",
            secret_access_key_file=fake_storage.folder / "secret-key",
            ca_file=fake_storage.folder / "ca.crt",
        )
    )


def test_every_kind_is_found_with_its_period_and_its_end(fake_storage: Storage) -> None:
    store = writer(fake_storage)
    for kind in Kind:
        store.put(key(period(kind, DAY, TOKYO), "ja", "html"), b"<p>", HTML_TYPE)
        store.put(key(period(kind, DAY, TOKYO), "en", "pdf"), b"%PDF", PDF_TYPE)
    delivery.rewrite(store, ("ja", "en"), TOKYO, "obs (one)")
    poller = watch(fake_storage, [])
    poller.poll()
    assert {report.kind: (report.period, report.end, len(report.files)) for report in poller.snapshot.reports} == {
        kind.value: (period(kind, DAY, TOKYO).name, period(kind, DAY, TOKYO).end, 2) for kind in Kind
    }


def test_a_run_is_read_as_it_was_written_down(fake_storage: Storage) -> None:
    store = writer(fake_storage)
    store.record(Kind.DAILY, failed=True, period="2026-03-04", problem="郵便 refused")
    store.record(Kind.WEEKLY, failed=False, period="2026-W10")
    poller = watch(fake_storage, [])
    poller.poll()
    runs = poller.snapshot.runs
    assert (runs["daily"].failed, runs["daily"].period, runs["daily"].problem) == (True, "2026-03-04", "郵便 refused")
    assert (runs["weekly"].failed, runs["weekly"].problem) == (False, "")
    assert abs(runs["daily"].ended - poller.snapshot.at) < 60


def test_the_stored_index_leads_to_files_that_the_report_server_serves(fake_storage: Storage) -> None:
    store = writer(fake_storage)
    name = key(period(Kind.DAILY, DAY, TOKYO), "ja", "html")
    store.put(name, b"<p>", HTML_TYPE)
    delivery.rewrite(store, ("ja", "en"), TOKYO, "obs (one)")
    with report_server_fakes.report_server(fake_storage) as running:
        page = running.get("/files/index.html").text
        assert f'href="{name}"' in page
        assert running.get(f"/files/{name}").content == b"<p>"
