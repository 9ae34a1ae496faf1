"""A maintenance from begin to end: what is run, what is written, how the command ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.core.errors import OpsError
from ops.core.rows import Finding
from ops.evidence import reading as done_work
from ops.evidence.files import PlatformId
from ops.evidence.reading import Drills
from ops.maintenance import command
from ops.maintenance.command import run
from ops.maintenance.model import Check, Lazy, Maintenance, Period, Tools

PLATFORM: Any = SimpleNamespace(platform="obs", region="here", namespace="obs-local", backups=None)


def check(name: str, look: Callable[[Tools], Finding], seconds: float = 60.0) -> Check:
    return Check(
        id=name,
        what=f"{name} holds",
        query="a | b",
        limit="at most 1",
        remediation="do something about it",
        run=look,
        seconds=seconds,
    )


def good(_: Tools) -> Finding:
    return Finding(figures=["1 <b>"], seen=["seen"])


def bad(_: Tools) -> Finding:
    return Finding(figures=["2"], wrong=["2 is too much"])


def broken(_: Tools) -> Finding:
    raise OpsError("nobody answers")


def tools() -> Tools:
    return Tools(
        context=SimpleNamespace(platform=PLATFORM),  # type: ignore[arg-type]
        now=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
        silence_age=timedelta(days=7),
        identity=None,
        dashboards=Lazy(list),
        drills=Drills(lambda: PlatformId(stack="local", namespace="obs", cluster_id="cluster")),
    )


def done(*looked: Check) -> Maintenance:
    return run(Period.WEEKLY, looked, tools())


def test_results_keep_the_order_of_the_checks_whatever_their_time() -> None:
    told: list[str] = []
    maintenance = run(
        Period.DAILY, [check("slow", good, 200), check("quick", bad), check("third", broken)], tools(), told.append
    )
    assert [result.check.id for result in maintenance.results] == ["slow", "quick", "third"]
    assert [result.good for result in maintenance.results] == [True, False, False]
    assert sorted(told) == ["quick", "slow", "third"]


def test_one_that_cannot_look_is_a_failure_and_stops_nobody() -> None:
    maintenance = done(check("a", broken), check("b", good))
    assert [result.row.evidence for result in maintenance.failed] == ["nobody answers"]


def test_one_that_hangs_ends_with_its_time() -> None:
    hanging = threading.Event()

    def hang(_: Tools) -> Finding:
        hanging.wait(30)
        return Finding()

    try:
        maintenance = done(check("a", hang, 0.2), check("b", good))
    finally:
        hanging.set()
    assert maintenance.failed[0].row.evidence == "gave no answer in 0 s"


def test_the_record_begins_with_what_is_to_be_done() -> None:
    text = command.markdown(done(check("first", good), check("second", bad)))
    assert text.startswith("# Weekly maintenance, obs (here)\n")
    assert "1 of 2 checks good" in text
    task = next(line for line in text.splitlines() if line.startswith("- [ ]"))
    assert task == (
        "- [ ] **second**, second holds: 2 is too much. Limit: at most 1. What to do: do something about it."
    )
    assert text.index("## To do") < text.index("## All checks")
    assert "| first | ok | 1 &lt;b> | at most 1 | first holds |" in text
    assert "- **first**: seen" in text


def test_a_record_without_tasks_has_none() -> None:
    assert "To do" not in command.markdown(done(check("first", good)))


def test_machines_get_everything_and_advice_where_it_is_needed() -> None:
    document = command.as_document(done(check("first", good), check("second", bad)))
    assert (document["maintenance"], document["passed"], document["region"]) == ("weekly", False, "here")
    first, second = document["checks"]
    assert (first["result"], "remediation" in first) == ("ok", False)
    assert (second["result"], second["remediation"], second["query"]) == ("failed", "do something about it", "a | b")


def test_both_files_are_written_whole(tmp_path: Path) -> None:
    maintenance = done(check("first", good))
    folder = tmp_path / "a" / "b"
    written = command.write(maintenance, folder)
    assert [path.name for path in written] == [
        "maintenance-weekly-20261125T120000Z.md",
        "maintenance-weekly-20261125T120000Z.json",
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert json.loads(written[1].read_text())["passed"] is True


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match=r"--folder .*: "):
        command.write(done(check("first", good)), tmp_path / "file")


@pytest.fixture
def maintain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    @contextmanager
    def context(platform: Any, kube: Any) -> Any:
        yield SimpleNamespace(platform=platform, kube=kube)

    def call(look: Callable[[Tools], Finding], *words: str) -> Result:
        monkeypatch.setattr(command, "checks", lambda _: (check("only", look),))
        monkeypatch.setattr(command, "Context", context)
        monkeypatch.setattr(command.platform_module, "load", lambda: PLATFORM)
        monkeypatch.setattr(command.Kube, "of", lambda _: None)
        return CliRunner().invoke(app, ["maintain", *words, "--folder", str(tmp_path / "records")])

    return call


def test_a_scheduler_sees_by_the_exit_code_whether_there_is_work(
    maintain: Callable[..., Result], tmp_path: Path
) -> None:
    assert maintain(good, "daily").exit_code == 0
    result = maintain(bad, "monthly", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["maintenance"] == "monthly"
    assert "record: " in result.stderr
    names = {path.name.split("-")[1] for path in (tmp_path / "records").iterdir()}
    assert names == {"daily", "monthly"}


def test_people_see_what_is_to_be_done(maintain: Callable[..., Result]) -> None:
    result = maintain(bad, "daily")
    assert "only: do something about it" in result.stdout
    assert "0 of 1 checks good" in result.stdout


def test_the_record_is_stored_for_reports_and_a_storage_that_refuses_fails_no_maintenance(
    maintain: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []

    @contextmanager
    def opened(access: str) -> Iterator[str]:
        if access == "refuses":
            raise OpsError("the storage refuses")
        yield access

    monkeypatch.setattr(done_work, "opened", opened)
    monkeypatch.setattr(done_work, "add", lambda store, records: stored.extend(record.name for record in records))
    monkeypatch.setattr(PLATFORM, "backups", "takes")
    result = maintain(good, "daily")
    assert (result.exit_code, stored, "not stored" in result.stderr) == (0, ["daily"], False)
    monkeypatch.setattr(PLATFORM, "backups", "refuses")
    result = maintain(good, "daily")
    assert result.exit_code == 0
    assert "not stored for monthly reports: the storage refuses: repeat with `ops report record`" in result.stderr


def test_an_age_that_is_none_is_one_line(maintain: Callable[..., Result]) -> None:
    result = maintain(good, "weekly", "--silences", "old")
    assert isinstance(result.exception, OpsError)
    assert "--silences is 'old'" in str(result.exception)


def test_the_list_asks_nobody() -> None:
    result = CliRunner().invoke(app, ["maintain", "list", "--json"])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.stdout)["checks"]
    assert {entry["period"] for entry in listed} == {"daily", "weekly", "monthly"}
    assert all(entry["query"] for entry in listed)
