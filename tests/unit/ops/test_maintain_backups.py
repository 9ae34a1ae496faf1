"""What a maintenance and the row D1 say about backups: too old, empty, missing, not encrypted, behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.telemetry.topics import TOPIC_NAMES
from ops.backups import runs
from ops.checks import recovery
from ops.core.kube import CronJob
from ops.core.rows import Finding, Setup
from ops.core.web import Sample
from ops.evidence.files import PlatformId
from ops.evidence.reading import Drills
from ops.maintenance import check_functions as maintenance_checks
from ops.maintenance.model import Lazy, Tools
from services.backup.store import Store
from tests.unit.ops.backup_harness import ago, identity_file, reached, run, segment, state_run
from tests.unit.ops.visualization_platform import OLD
from tests.unit.services.backup.harness import Harness


def tools(place: Harness, identity: Path | None = None, **context: Any) -> Tools:
    held = SimpleNamespace(platform=SimpleNamespace(backups=reached(place)), **context)
    return Tools(
        context=held,  # type: ignore[arg-type]
        now=datetime.now(UTC),
        silence_age=timedelta(days=7),
        identity=identity,
        dashboards=Lazy(list),
        drills=Drills(lambda: PlatformId(stack="local", namespace="obs", cluster_id="cluster")),
    )


def everything(store: Store, **hours: float) -> None:
    """A run of every kind, one hour old unless another age is given."""
    for kind in ("database", "grafana", "kafka-metadata", "search"):
        run(store, kind, ago(hours=hours.get(kind.replace("-", "_"), 1)))
    state_run(store, ago(hours=1))


def test_young_runs_of_every_kind_are_good(place: Harness, store: Store) -> None:
    everything(store)
    finding = maintenance_checks.backups_made(tools(place))
    assert finding.wrong == []
    assert len(finding.figures) == 5


def test_late_and_missing_runs_are_named(place: Harness, store: Store) -> None:
    run(store, "database", ago(hours=5))
    run(store, "grafana", ago(hours=20))
    wrong = " / ".join(maintenance_checks.backups_made(tools(place)).wrong)
    assert "database: the newest run is 5 h old" in wrong
    assert "grafana: the newest" not in wrong
    assert "no search backup is stored: `ops backup run search` makes one" in wrong
    assert "no pulumi-state backup is stored" in wrong


def test_a_run_that_counts_nothing_is_no_backup() -> None:
    manifest = SimpleNamespace(started=datetime.now(UTC), total_bytes=5, objects=(1,), counts={"rows": 0}, run="r")
    finding = Finding()
    maintenance_checks.judge("database", manifest, 3600, datetime.now(UTC), finding)  # type: ignore[arg-type]
    assert finding.wrong == ["database: run r counts nothing"]


def test_whole_runs_are_compared_without_an_identity_and_opened_with_one(place: Harness, store: Store) -> None:
    state_run(store, ago(hours=1))
    encrypted = maintenance_checks.backups_whole(tools(place))
    assert any("pulumi-state" in figure and "encrypted" in figure for figure in encrypted.figures)
    assert "none opened: give --identity FILE" in encrypted.seen[-1]
    opened = maintenance_checks.backups_whole(tools(place, identity_file(place)))
    assert any("opened" in figure for figure in opened.figures)
    assert "no database backup is stored" in opened.wrong


def archive_context(lag: Mapping[str, int], stored: Mapping[str, float], failed: float = 0.0) -> dict[str, Any]:
    def instant(expression: str) -> list[Sample]:
        if "last_stored" not in expression:
            return []
        return [Sample(labels={"topic": topic}, time=0, value=value) for topic, value in stored.items()]

    return {
        "kafka": SimpleNamespace(lag=lambda group: dict(lag) if group == "archive" else {}),
        "thanos": SimpleNamespace(instant=instant, number=lambda _: failed),
    }


def test_an_archive_that_waits_too_long_is_named(place: Harness) -> None:
    now = datetime.now(UTC).timestamp()
    stored = {"alerts-raw": now - 60, "telemetry-logs": now - 3600}
    lag = {"alerts-raw": 5, "telemetry-logs": 7, "telemetry-traces": 1, "alerts-processed": 0}
    finding = maintenance_checks.archive_kept(tools(place, **archive_context(lag, stored)))
    assert [problem.split(":")[0] for problem in finding.wrong] == ["telemetry-logs", "telemetry-traces"]
    assert finding.figures == ["13 records of 4 topics wait to be stored"]


def test_an_archive_that_never_ran_or_fails_is_a_problem(place: Harness) -> None:
    finding = maintenance_checks.archive_kept(tools(place, **archive_context({}, {}, failed=3)))
    assert finding.wrong == [
        "group archive has committed nothing: does the archive run?",
        "3 stores failed in the last 30 min",
    ]


def test_the_row_wants_every_topic_without_a_gap(store: Store) -> None:
    for topic in TOPIC_NAMES[1:]:
        segment(store, topic, 0, 0, 3)
    segment(store, TOPIC_NAMES[-1], 0, 6, 9)
    finding = Finding()
    recovery.archive(runs.archived(store), finding, OLD)
    assert finding.wrong == [
        f"the archive has no records of {TOPIC_NAMES[0]} (was due at 01 Jan 00:00 UTC)",
        f"the archive of {TOPIC_NAMES[-1]} lacks 2 offsets",
    ]
    young = Finding()
    recovery.archive(runs.archived(store), young, ahead())
    assert [wait.what for wait in young.waits] == [f"first archived records of {TOPIC_NAMES[0]}"]
    assert len(young.wrong) == 1, "a gap is no matter of age"


def test_the_row_wants_objects_that_are_encrypted_for_those_who_are_named(
    place: Harness, store: Store, tmp_path: Path
) -> None:
    manifest = state_run(store, ago(hours=1))
    finding = Finding()
    recovery.whole(store, manifest, reached(place), tmp_path / "a", finding)
    assert finding.wrong == []
    recovery.whole(store, manifest, reached(place, recipients=["age1other"]), tmp_path / "b", finding)
    assert "is encrypted for a recipient that the settings do not name" in finding.wrong[0]


def test_the_row_wants_blocks_of_every_prometheus_once_they_are_due() -> None:
    finding = Finding()
    recovery.blocks([], ("primary", "secondary"), finding, lambda name: OLD if name == "primary" else ahead())
    assert finding.wrong == ["no block of metrics of primary is stored (was due at 01 Jan 00:00 UTC)"]
    assert [wait.what for wait in finding.waits] == ["first block of metrics of secondary"]


def test_the_first_block_is_due_after_two_of_its_durations(place: Harness) -> None:
    kube: Any = SimpleNamespace(created=lambda: OLD, argument=lambda name, option: f"{5 if name else 0}m")
    assert recovery.first_block(kube, "primary") - OLD == recovery.CREATED_WITHIN + timedelta(minutes=10)


def test_a_kind_without_a_run_waits_for_its_schedule_and_the_state_for_an_operator(place: Harness) -> None:
    access = reached(place)
    context: Any = SimpleNamespace(kube=SimpleNamespace(cron_job=lambda name: job(name, datetime.now(UTC))))
    finding = Finding()
    for kind in ("database", "pulumi-state"):
        recovery.never_made(context, kind, access, finding)
    assert finding.wrong == []
    assert [(wait.what, wait.command) for wait in finding.waits] == [
        ("first database backup", "ops backup run database")
    ]
    assert finding.waits[0].due > datetime.now(UTC)
    assert finding.setups == [Setup(what="no pulumi-state backup is stored", command="ops backup run pulumi-state")]
    late = Finding()
    context.kube.cron_job = lambda name: job(name, OLD)
    recovery.never_made(context, "database", access, late)
    assert "no database backup is stored: the first was due at 01 Jan" in late.wrong[0]
    context.kube.cron_job = lambda _: None
    recovery.never_made(context, "database", access, late)
    assert late.wrong[1] == "no database backup is stored, and no job creates one"


def job(name: str, created: datetime) -> CronJob:
    return CronJob(name=name, cron="20 */4 * * *", time_zone="Asia/Tokyo", created=created, suspended=False)


def ahead() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def test_maintenance_itself_fails_only_where_a_check_cannot_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Tools) -> Finding:
        raise RuntimeError("no answer")

    looked: Any = [
        SimpleNamespace(id="a", run=lambda _: Finding(wrong=["something"])),
        SimpleNamespace(id="b", run=lambda _: Finding()),
        SimpleNamespace(id="c", run=broken),
    ]
    monkeypatch.setattr(recovery, "DAILY", looked)
    monkeypatch.setattr(recovery, "tools_of", lambda *_, **__: None)
    result = recovery.m2(SimpleNamespace())  # type: ignore[arg-type]
    assert result.wrong == ["c cannot run: no answer"]
    assert "1 of 3 daily ones need action now" in result.figures[0]
    assert result.seen == ["to do: a"]
