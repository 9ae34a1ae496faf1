"""Reports of drills and their table: from evidence, and nothing that was not measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.core.errors import OpsError
from ops.drills import command, record
from ops.drills.command import build_report, leave_evidence
from ops.drills.procedure import Aspect, Drill
from ops.drills.record import Report, markdown, watched_of, write
from ops.drills.run import Outcome, find
from ops.drills.watch import Event, Watched
from ops.evidence import files as evidence
from ops.evidence.files import Evidence
from ops.evidence.reading import NOT_MEASURED

BROKER = find("broker")
BEGAN = datetime.now(UTC)
FIGURES = {
    "how": "SIGKILL to 1 processes",
    "longest pause of a producer s": 9.9,
    "broker back after s": 3.3,
    "gateway acknowledged": 7125,
    "gateway missing": 0,
    "gateway retries": 0,
    "producer acknowledged": 900,
    "producer missing": 0,
}
PLATFORM: Any = SimpleNamespace(platform="obs", region="region-a", namespace="obs-local")
CONTEXT: Any = SimpleNamespace(platform=PLATFORM)
SEEN = Watched(
    events=(Event(lane="platform", what="kafka, 1 of 3 not ready", start=8.0, end=19.5),),
    questions=40,
    unanswered=1,
    slowest_s=0.8,
    alerts=(Event(lane="alerts", what="KafkaBrokerDown (critical)", start=38.5, end=50.0),),
    notifications=(),
)


def figures(
    folder: Path, *, passed: bool = True, more: dict[str, Any] | None = None, drill: Drill = BROKER
) -> Evidence:
    return evidence.write(
        drill.evidence,
        passed=passed,
        problems=() if passed else ("lost some",),
        figures={**FIGURES, **(more or {})},
        kube=None,
        folder=folder,
    )


def outcome(folder: Path, *reasons: str) -> Outcome:
    return Outcome(passed=not reasons, seconds=61.0, reasons=reasons, log=folder / "log")


def report(folder: Path, watched: Watched | None = SEEN, **more: Any) -> Report:
    figures(folder, **more)
    return build_report(BROKER, CONTEXT, BEGAN, outcome(folder), watched, [], folder=folder)


def test_every_aspect_is_told_and_what_nobody_measured_is_said_to_be_so(tmp_path: Path) -> None:
    text = markdown(report(tmp_path, None))
    rows = dict(
        line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.count(" | ") == 1 and line != "| | |"
    )
    assert [row_title for row_title in rows if row_title in list(map(str, Aspect))] == list(map(str, Aspect))
    assert rows["fault"] == "SIGKILL to a broker; SIGKILL to 1 processes"
    assert rows["recovery"] == "broker back after 3.3 s"
    assert rows["RTO"] == "longest pause of a producer 9.9 s; gateway clients retried 0 requests"
    assert rows["RPO"] == "0 of 7,125 acknowledged points missing; 0 of the producer's 900 missing"
    for aspect in (Aspect.DETECTION, Aspect.ALERTS, Aspect.NOTIFICATIONS, Aspect.DASHBOARDS):
        assert rows[aspect] == NOT_MEASURED


def test_what_was_seen_from_outside_is_told(tmp_path: Path) -> None:
    aspects = report(tmp_path).aspects()
    assert aspects[Aspect.DETECTION] == [
        "first symptom after 8.0 s: kafka, 1 of 3 not ready",
        "KafkaBrokerDown (critical) fired 30.5 s after the first symptom",
    ]
    assert aspects[Aspect.RECOVERY][-1] == "recovered 11.5 s after it"
    assert aspects[Aspect.ALERTS] == ["KafkaBrokerDown (critical)"]
    assert aspects[Aspect.NOTIFICATIONS] == ["none"]
    assert aspects[Aspect.DASHBOARDS] == ["40 queries of the overview, 1 without an answer, slowest answer 0.8 s"]


def test_what_could_not_be_read_is_not_measured(tmp_path: Path) -> None:
    aspects = report(tmp_path, replace(SEEN, events=(), alerts=None, notifications=None, questions=0)).aspects()
    assert aspects[Aspect.DETECTION] == ["no symptom visible from outside"]
    assert (aspects[Aspect.ALERTS], aspects[Aspect.NOTIFICATIONS], aspects[Aspect.DASHBOARDS]) == ([], [], [])


def test_many_alerts_are_counted(tmp_path: Path) -> None:
    alerts = tuple(Event(lane="alerts", what=f"A{number}", start=9.0, end=None) for number in range(11))
    aspects = report(tmp_path, replace(SEEN, alerts=alerts)).aspects()
    assert aspects[Aspect.ALERTS][-1] == "and 3 more"


def test_the_timeline_has_what_was_seen_and_what_the_evidence_has(tmp_path: Path) -> None:
    own = [["notices", "told by B", 90.0, 90.0], ["drill", "cut", 10.0, None]]
    text = markdown(report(tmp_path, more={"timeline": own}))
    assert "```mermaid\ngantt\n" in text
    for bar in (
        "the drill runs :0, 61",
        "kafka 1 of 3 not ready :crit, 8, 20",
        "KafkaBrokerDown (critical) :active, 38, 50",
        "told by B :milestone, 90, 0s",
        "cut :10, 90",
    ):
        assert f"    {bar}\n" in text
    assert "| 8.0 to 19.5 | platform | kafka, 1 of 3 not ready |" in text


def test_a_drill_that_passed(tmp_path: Path) -> None:
    drill_report = report(tmp_path)
    assert drill_report.passed
    assert drill_report.problems == ()
    assert ": passed. Requirements: K1." in markdown(drill_report)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("test", "AssertionError: lost"),
        ("evidence", "evidence broker-killed reports a failure: lost some"),
        ("none", "the drill wrote no evidence broker-killed"),
        ("old", "the drill wrote no evidence broker-killed"),
        ("after", "no steady state 240 s after the drill: kafka: 2 of 3 ready"),
    ],
)
def test_a_drill_that_did_not_hold(tmp_path: Path, change: str, problem: str) -> None:
    if change != "none":
        figures(tmp_path, passed=change != "evidence")
    began = BEGAN + timedelta(hours=1) if change == "old" else BEGAN
    ended = outcome(tmp_path, *(["AssertionError: lost"] if change == "test" else []))
    after = ["kafka: 2 of 3 ready"] if change == "after" else []
    drill_report = build_report(BROKER, CONTEXT, began, ended, None, after, folder=tmp_path)
    assert not drill_report.passed
    assert problem in drill_report.problems
    assert f"- {problem}" in markdown(drill_report)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster that says which it is, as ``evidence.write`` asks it."""
    kube = SimpleNamespace(namespace="obs-local", cluster_id=lambda: "here", pods=list)
    monkeypatch.setenv("PULUMI_STACK", "local")
    return SimpleNamespace(platform=PLATFORM, kube=kube)


def test_a_drill_that_was_ended_leaves_a_failed_run(tmp_path: Path, cluster: Any) -> None:
    leave_evidence(BROKER, cluster, BEGAN, outcome(tmp_path, "timed out after 480 s"), tmp_path)
    (run,) = evidence.read(BROKER.evidence, tmp_path).runs
    assert not run.passed
    assert run.problems[0] == "timed out after 480 s"
    assert (run.platform.cluster_id if run.platform else "") == "here"
    assert build_report(BROKER, cluster, BEGAN, outcome(tmp_path, "x"), None, [], folder=tmp_path).evidence == run


def test_a_drill_that_left_its_own_evidence_or_passed_leaves_no_second_one(tmp_path: Path, cluster: Any) -> None:
    leave_evidence(BROKER, cluster, BEGAN, outcome(tmp_path), tmp_path)
    assert evidence.read(BROKER.evidence, tmp_path).runs == ()
    own = figures(tmp_path, passed=False)
    leave_evidence(BROKER, cluster, BEGAN, outcome(tmp_path, "lost some"), tmp_path)
    assert evidence.read(BROKER.evidence, tmp_path).runs == (own,)


def test_without_a_cluster_there_is_no_evidence_and_the_report_says_so(tmp_path: Path, cluster: Any) -> None:
    def silent() -> str:
        raise OpsError("the cluster does not answer")

    cluster.kube.cluster_id = silent
    ended = outcome(tmp_path, "timed out after 480 s")
    leave_evidence(BROKER, cluster, BEGAN, ended, tmp_path)
    drill_report = build_report(BROKER, cluster, BEGAN, ended, None, [], folder=tmp_path)
    assert "the drill wrote no evidence broker-killed" in drill_report.problems


def test_both_files_are_written_whole_and_read_again(tmp_path: Path) -> None:
    drill_report = report(tmp_path)
    folder = tmp_path / "reports"
    assert [path.name for path in write(drill_report, folder)] == ["broker.md", "broker.json"]
    assert sorted(path.name for path in folder.iterdir()) == ["broker.json", "broker.md"]
    assert drill_report.evidence is not None
    assert watched_of(BROKER, drill_report.evidence, folder) == SEEN
    content = json.loads((folder / "broker.json").read_text())
    assert (content["drill"], content["passed"], content["evidence"]) == (
        "broker",
        True,
        drill_report.evidence.model_dump(mode="json"),
    )
    assert content["aspects"]["RTO"] == drill_report.aspects()[Aspect.RTO]


def test_what_was_seen_in_another_run_is_not_told_of_this_one(tmp_path: Path) -> None:
    write(report(tmp_path), tmp_path / "reports")
    later = figures(tmp_path).model_copy(update={"time": BEGAN + timedelta(days=1)})
    assert watched_of(BROKER, later, tmp_path / "reports") is None


def test_the_table_says_when_the_report_is_of_an_earlier_run(tmp_path: Path) -> None:
    drill_report = report(tmp_path)
    write(drill_report, tmp_path / "reports")
    assert row(record.measured(tmp_path), "broker")[0] == "[`broker`](../evidence/reports/broker.md)"
    earlier = replace(drill_report, evidence=None, started=BEGAN - timedelta(days=3))
    write(earlier, tmp_path / "reports")
    shown = row(record.measured(tmp_path), "broker")[0]
    assert shown == f"[`broker`](../evidence/reports/broker.md) (report of {earlier.started:%Y-%m-%d})"


def test_a_spoilt_report_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "broker.json").write_text('{"evidence": [1]}')
    with pytest.raises(OpsError, match=r"broker.json is not a drill report: run `ops drill broker` again"):
        watched_of(BROKER, figures(tmp_path), tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match=r"--folder .*: "):
        write(report(tmp_path), tmp_path / "file")


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if f"`{name}`" in line.split("|")[1]]
    return [part.strip() for part in line.strip("|").split(" | ")]


def test_the_table_is_made_from_the_evidence(tmp_path: Path) -> None:
    write(report(tmp_path), tmp_path / "reports")
    text = record.measured(tmp_path)
    cells = row(text, "broker")
    assert cells[0] == "[`broker`](../evidence/reports/broker.md)"
    assert cells[2].startswith(f"[{BEGAN:%Y-%m-%d}](../evidence/broker-killed/), ")
    assert cells[3] == "longest pause of a producer 9.9 s; gateway clients retried 0 requests"
    assert cells[4] == "0 of 7,125 acknowledged points missing; 0 of the producer's 900 missing"
    assert cells[5].startswith("first symptom after 8.0 s")
    assert row(text, "gateway")[2:] == ["never", *[NOT_MEASURED] * 6]


def test_a_failed_run_is_said_to_have_failed(tmp_path: Path) -> None:
    figures(tmp_path, passed=False)
    assert row(record.measured(tmp_path), "broker")[2].endswith("**failed**: lost some, 1 of 1 runs failed")


Drilled = Callable[..., Result]


@pytest.fixture
def drilled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drilled:
    """The command on a made-up platform, whose test has ended as is wanted."""

    @contextmanager
    def context(platform: Any, kube: Any) -> Any:
        yield CONTEXT

    @contextmanager
    def nobody_else(name: str) -> Any:
        yield

    def call(*words: str, wrong: list[str] | None = None, passed: bool = True) -> Result:
        monkeypatch.setattr(command, "Context", context)
        monkeypatch.setattr(command, "alone", nobody_else)
        monkeypatch.setattr(command.platform_module, "load", lambda: PLATFORM)
        monkeypatch.setattr(command.Kube, "of", lambda _: None)
        monkeypatch.setattr(command, "BEFORE_S", 0.0)
        monkeypatch.setattr(command, "steady_problems", lambda _: wrong or [])
        ended = outcome(tmp_path, *([] if passed else ["AssertionError: lost"]))
        figures(tmp_path, passed=passed)

        def carry_out(drill: Drill, *_: Any) -> Report:
            return build_report(drill, CONTEXT, BEGAN, ended, SEEN, [], folder=tmp_path)

        monkeypatch.setattr(command, "_carry_out", carry_out)
        return CliRunner().invoke(app, ["drill", *words])

    return call


def test_a_scheduler_sees_by_the_exit_code_how_it_went(drilled: Drilled, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    good = drilled("broker", "--yes", "--json", "--folder", str(folder))
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["passed"] is True
    assert "report: " in good.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["broker.json", "broker.md"]
    bad = drilled("broker", "--yes", "--folder", str(folder), passed=False)
    assert bad.exit_code == 1
    assert "AssertionError: lost" in bad.stdout


def test_an_unsteady_platform_gets_no_drill_and_one_line(drilled: Drilled, tmp_path: Path) -> None:
    outcome = drilled("broker", "--yes", "--folder", str(tmp_path / "made"), wrong=["kafka: 2 of 3 ready", "Critical"])
    assert isinstance(outcome.exception, OpsError)
    assert str(outcome.exception) == "no steady state, drill not started: kafka: 2 of 3 ready; Critical"
    assert not (tmp_path / "made").exists()


def test_nothing_is_taken_away_where_nobody_can_be_asked(drilled: Drilled) -> None:
    outcome = drilled("broker")
    assert isinstance(outcome.exception, OpsError)
    assert "add --yes to run this on obs (region-a): SIGKILL to a broker" in str(outcome.exception)


def test_an_interruption_is_no_failure(drilled: Drilled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: Any) -> Report:
        raise KeyboardInterrupt

    drilled("broker", "--yes", "--folder", str(tmp_path / "first"))
    monkeypatch.setattr(command, "_carry_out", interrupted)
    outcome = CliRunner().invoke(app, ["drill", "broker", "--yes", "--folder", str(tmp_path / "made")])
    assert outcome.exit_code == 130
    assert "interrupted: drill broker was asked to stop and to revert its fault" in outcome.stderr
    assert not (tmp_path / "made").exists()


def test_the_list_asks_nobody() -> None:
    outcome = CliRunner().invoke(app, ["drill", "list", "--json"])
    assert outcome.exit_code == 0, outcome.output
    listed = {drill["name"]: drill for drill in json.loads(outcome.stdout)["drills"]}
    assert listed["erasure"]["carried_out_by"] == "ops.drills.erasure:erase_on_platform"
    assert {"load", "seconds", "limit_s", "evidence", "requirements", "newest"} <= set(listed["broker"])
    shown = CliRunner().invoke(app, ["drill", "list"])
    assert "load: " in shown.output


def test_each_drill_is_a_command_with_its_own_help() -> None:
    outcome = CliRunner().invoke(app, ["drill", "gateway", "--help"])
    assert outcome.exit_code == 0
    assert "One of two gateways killed" in outcome.output


def test_reports_stand_beside_the_evidence() -> None:
    assert record.FOLDER == evidence.FOLDER / "reports"
