"""``ops report record``: which records of maintenance and drills are stored, and that each is stored once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import reports
from ops.__main__ import app
from ops.core.errors import OpsError
from ops.drills.run import DRILLS
from ops.evidence import files as evidence
from ops.evidence import reading as done_work
from ops.evidence.files import PlatformId
from ops.maintenance.command import FOLDER
from services.reports.records import StoredWork
from tests.unit.ops.backup_harness import access, reached
from tests.unit.ops.report_fakes import Cluster, context, platform, report_server_web
from tests.unit.services.backup.harness import Harness

HERE = PlatformId(stack="local", namespace="obs-local", cluster_id="cluster-1")
DRILL = next(drill for drill in DRILLS if drill.name == "broker")


def written(folder: Path, hour: int, *failed: str, **changed: Any) -> Path:
    """A record as `ops maintain` writes it."""
    started = datetime(2026, 11, 24, hour, 30, tzinfo=UTC)
    checks = [{"id": name, "result": "failed" if name in failed else "ok"} for name in ("pods", "alerts", "backups")]
    content = {
        "maintenance": "daily",
        "platform": "obs",
        "region": "here",
        "started": started.isoformat(),
        "commit": "abc",
    }
    folder.mkdir(exist_ok=True)
    file = folder / f"maintenance-daily-{started:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps({**content, "checks": checks, **changed}))
    return file


def test_a_maintenance_is_recorded_with_its_checks_and_who_stored_it(tmp_path: Path) -> None:
    written(tmp_path, 9, "pods")
    written(tmp_path, 10, region="elsewhere")
    (record,) = done_work.maintenance(tmp_path, "obs", "here")
    assert (record.work, record.name, record.checks, record.problems) == ("maintenance", "daily", 3, ("pods",))
    assert "@" in record.recorded_by
    assert record.key == "records/20261124T093000Z-maintenance-daily.json"


@pytest.mark.parametrize("changed", [{"checks": None}, {"started": "yesterday"}, {"maintenance": "../x"}])
def test_a_file_that_is_no_record_is_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    file = written(tmp_path, 9, **changed)
    with pytest.raises(OpsError, match=f"{file.name} is no record of `ops maintain`"):
        done_work.maintenance(tmp_path, "obs", "here")


def test_the_catalog_names_the_drill_of_each_evidence_and_records_are_where_they_are_written() -> None:
    catalog = evidence.catalog().evidence
    assert {drill.name: catalog[drill.evidence].run for drill in DRILLS} == {
        drill.name: f"ops drill {drill.name}" for drill in DRILLS
    }
    assert done_work.MAINTENANCE == FOLDER


def drilled(folder: Path, monkeypatch: pytest.MonkeyPatch, cluster: str = HERE.cluster_id) -> None:
    """Evidence of a drill that missed a target."""
    identity = HERE.model_copy(update={"cluster_id": cluster})
    monkeypatch.setattr(evidence, "platform_id", lambda *_: identity)
    monkeypatch.setattr(evidence, "versions", lambda _: {})
    evidence.write(
        DRILL.evidence,
        figures={},
        kube=SimpleNamespace(),  # type: ignore[arg-type]
        passed=False,
        problems=["lost 3"],
        folder=folder,
    )


def test_drills_of_this_cluster_are_recorded_with_why_they_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled(tmp_path, monkeypatch)
    drilled(tmp_path, monkeypatch, "cluster-2")
    (record,) = done_work.drills(HERE, tmp_path)
    assert (record.work, record.name, record.checks) == ("drill", "broker", 0)
    assert record.problems[0] == "lost 3"


@pytest.fixture
def here(place: Harness, outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Harness:
    stub = context(platform(outputs, backups=access(place)), report_server_web(), Cluster())

    @contextmanager
    def connected() -> Iterator[tuple[Any, None]]:
        yield stub, None

    monkeypatch.setattr(reports, "_connected", connected)
    monkeypatch.setattr(reports, "platform_id", lambda _: HERE)
    monkeypatch.setattr(done_work, "drills", lambda _: [])
    return place


def test_what_is_stored_is_read_by_reports_and_stored_once(here: Harness, tmp_path: Path) -> None:
    folder = tmp_path / "maintenance"
    written(folder, 9, "pods")
    first = CliRunner().invoke(app, ["report", "record", "--folder", str(folder)])
    assert first.exit_code == 0, first.output
    assert "maintenance daily of 2026-11-24 09:30 UTC: stored" in first.output
    written(folder, 9)
    written(folder, 10)
    second = CliRunner().invoke(app, ["report", "record", "--folder", str(folder)])
    assert "1 of 2 records were new" in second.output
    start = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    with done_work.opened(reached(here)) as store:
        work = StoredWork(store).work(start, start + 30 * 86400)
    assert [record.problems for record in work.records] == [("pods",), ()], "what is stored is not changed"


def test_a_storage_that_refuses_is_one_line(here: Harness) -> None:
    with (
        pytest.raises(OpsError, match=r"records/x.json cannot be read: NoSuchBucket"),
        done_work.opened(reached(here, bucket="no-such-bucket")) as store,
    ):
        store.get("records/x.json")
