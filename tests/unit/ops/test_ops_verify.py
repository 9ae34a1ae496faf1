"""Rows and their states, evidence as it counts for them, the runner, and the command's output."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.checks import command
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.rows import (
    REQUIREMENT_IDS,
    Check,
    DrillResult,
    Finding,
    Row,
    Setup,
    State,
    Wait,
    choose,
    moment,
    run_checks,
)
from ops.evidence import files as evidence
from ops.evidence.files import Catalog, Entry, Evidence, PlatformId, Target
from ops.evidence.reading import Drills

NOWHERE = cast(Context, None)
HERE = PlatformId(stack="local", namespace="obs", cluster_id="here")
CATALOG = Catalog(
    sources={},
    evidence={
        "drill": Entry(
            title="a drill",
            covers=("code.py",),
            run="ops drill some",
            targets=(Target(figure="missing", equals=0),),
        ),
        "bench": Entry(
            title="a bench",
            covers=("code.py",),
            run="make bench",
            targets=(Target(figure="points/s", at_least=100_000, unit="points/s", cores=16),),
        ),
    },
)


def good(_: Context) -> Finding:
    return Finding(figures=["3 brokers"], seen=["described"])


def bad(_: Context) -> Finding:
    return Finding(seen=["described"], wrong=["RF is 1, must be 3"])


def broken(_: Context) -> Finding:
    raise OpsError("no answer from Kafka (127.0.0.1:9)")


def crashing(_: Context) -> Finding:
    nothing: dict[str, Finding] = {}
    return nothing["key"]


def relying(name: str) -> Check:
    def check(_: Context) -> Finding:
        finding = good(_)
        finding.drill(name, show=("points/s",))
        return finding

    return check


def test_all_rows_come_in_the_order_of_the_requirements_and_the_rest_is_absent() -> None:
    rows = run_checks(REQUIREMENT_IDS, {"P2": good, "K1": good}, NOWHERE)
    assert [row.id for row in rows] == list(REQUIREMENT_IDS)
    assert {row.id for row in rows if row.state is State.PASS} == {"K1", "P2"}
    assert {row.state for row in rows if row.id not in ("K1", "P2")} == {State.ABSENT}


def test_a_check_that_fails_or_crashes_stops_no_other() -> None:
    checks = {"K1": broken, "K2": crashing, "K3": bad, "K4": good}
    rows = {row.id: row for row in run_checks(["K1", "K2", "K3", "K4"], checks, NOWHERE)}
    assert rows["K1"].problems == ("no answer from Kafka (127.0.0.1:9)",)
    assert rows["K2"].problems == ("KeyError: 'key'",)
    assert rows["K3"].problems == ("RF is 1, must be 3",)
    assert [row.state for row in rows.values()] == [State.FAIL, State.FAIL, State.FAIL, State.PASS]


def test_a_check_that_hangs_is_a_failed_row() -> None:
    release = threading.Event()

    def hanging(_: Context) -> Finding:
        release.wait(20)
        return Finding()

    row = run_checks(["K1"], {"K1": hanging}, NOWHERE, seconds=0.2)[0]
    release.set()
    assert row.state is State.FAIL
    assert row.problems == ("gave no answer in 0 s",)


def test_progress_reports_every_row_that_is_checked() -> None:
    told: list[str] = []
    run_checks(["K1", "K2", "S1"], {"K1": good, "K2": bad}, NOWHERE, lambda row: told.append(f"{row.id} {row.state}"))
    assert told == ["K1 pass", "K2 fail"]


def test_chosen_rows_keep_the_order_whatever_their_case_and_separators() -> None:
    assert choose(["p1", "k2,K1"]) == ("K1", "K2", "P1")
    assert choose([]) == REQUIREMENT_IDS
    with pytest.raises(OpsError, match="no row X9"):
        choose(["K1", "X9"])


DUE = datetime.now(UTC) + timedelta(hours=2)
WAIT = Wait(what="first daily report", due=DUE, command="ops report run daily")
SETUP = Setup(what="no second region has reported", command="make up-dr")


def judged(state: State) -> Callable[[str], DrillResult]:
    return lambda name: DrillResult(name=name, state=state, summary=f"{name} {state}", command="ops drill some")


@pytest.mark.parametrize(
    ("finding", "drill", "state"),
    [
        (Finding(), State.PASS, State.PASS),
        (Finding(), State.STALE, State.STALE),
        (Finding(), State.FAIL, State.FAIL),
        (Finding(), State.NOT_SET_UP, State.NOT_SET_UP),
        (Finding(waits=[WAIT]), State.STALE, State.WAITING),
        (Finding(waits=[WAIT], setups=[SETUP]), State.PASS, State.NOT_SET_UP),
        (Finding(waits=[WAIT], setups=[SETUP], wrong=["x"]), State.PASS, State.FAIL),
        (Finding(waits=[WAIT], setups=[SETUP]), State.FAIL, State.FAIL),
    ],
)
def test_the_state_is_that_of_the_part_that_needs_most(finding: Finding, drill: State, state: State) -> None:
    finding.drill("drill")
    assert finding.row("K1", judged(drill)).state is state


def test_what_is_expected_by_a_time_waits_and_then_fails() -> None:
    finding = Finding()
    finding.expect_by(DUE, False, "first block", "no block")
    finding.expect_by(DUE, True, "nothing", "nothing")
    finding.expect_by(datetime(2026, 1, 1, tzinfo=UTC), False, "first span", "no span")
    assert finding.waits == [Wait(what="first block", due=DUE)]
    assert finding.wrong == ["no span (was due at 01 Jan 00:00 UTC)"]


def test_a_moment_has_its_day_where_that_is_not_today() -> None:
    at = datetime(2026, 11, 27, 21, 10, tzinfo=UTC)
    assert moment(at, at - timedelta(hours=3)) == "21:10 UTC"
    assert moment(at, at - timedelta(days=1)) == "27 Nov 21:10 UTC"


# Evidence


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one source and no history, where only runs of the same cluster count."""
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG)
    monkeypatch.delenv(evidence.SCOPE_VARIABLE, raising=False)
    (tmp_path / "code.py").write_text("one\n")
    return tmp_path


def ran(project: Path, name: str = "drill", number: int = 1, **differs: Any) -> Evidence:
    """Store a run, newer ones with a larger number."""
    run = Evidence.model_validate(
        {
            "name": name,
            "passed": True,
            "commit": "none",
            "dirty": False,
            "covers_digest": evidence.digest(("code.py",), project),
            "time": datetime.now(UTC) - timedelta(minutes=10 - number),
            "seconds": 5,
            "platform": HERE,
            "machine": {"cores": 2},
            "versions": {},
            "figures": {"missing": 0},
            **differs,
        }
    )
    file = project / "evidence" / name / f"{run.time:%Y%m%dT%H%M%S}{number:03}Z.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(run.model_dump_json())
    return run


def judge(project: Path, name: str = "drill") -> DrillResult:
    return Drills(lambda: HERE, project / "evidence", project).judge(name)


def test_a_run_of_this_cluster_and_these_sources_counts(project: Path) -> None:
    ran(project)
    result = judge(project)
    assert (result.state, result.command, result.runs) == (State.PASS, "ops drill some", 1)
    assert result.summary == "drill passed 9 min ago, commit none, this cluster"


def test_a_drill_that_never_ran_is_stale_and_the_cluster_is_not_asked_for(project: Path) -> None:
    def unreachable() -> PlatformId:
        raise OpsError("the cluster does not answer")

    result = Drills(unreachable, project / "evidence", project).judge("drill")
    assert (result.state, result.summary) == (State.STALE, "drill never ran")


def test_a_run_of_another_cluster_is_never_green(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(project, platform=HERE.model_copy(update={"cluster_id": "there"}))
    result = judge(project)
    assert result.state is State.STALE
    assert result.summary.endswith("measured on another cluster")
    monkeypatch.setenv(evidence.SCOPE_VARIABLE, "checkout")
    assert judge(project).state is State.PASS


def test_a_run_of_another_cluster_does_not_hide_one_of_this_cluster(project: Path) -> None:
    ran(project)
    ran(project, number=2, platform=HERE.model_copy(update={"cluster_id": "there"}), passed=False)
    assert judge(project).state is State.PASS


@pytest.mark.parametrize("passed", [True, False])
def test_a_run_of_other_sources_is_neither_green_nor_red(project: Path, passed: bool) -> None:
    ran(project, passed=passed)
    (project / "code.py").write_text("two\n")
    result = judge(project)
    assert result.state is State.STALE
    assert "stale" in result.summary


def test_the_newest_run_decides_and_earlier_failed_ones_are_mentioned(project: Path) -> None:
    ran(project, number=1, passed=False, problems=["a record was lost"])
    ran(project, number=2)
    ran(project, number=3)
    result = judge(project)
    assert (result.state, result.runs, result.failed) == (State.PASS, 3, 1)
    assert result.summary.endswith("this cluster, 1 of 3 runs failed")
    ran(project, number=4, passed=False, problems=["a record was lost"])
    result = judge(project)
    assert result.state is State.FAIL
    assert result.summary == "drill failed 6 min ago (commit none, 2 of 4 runs failed): a record was lost"


def test_an_earlier_run_that_misses_a_target_of_today_counts_as_failed(project: Path) -> None:
    ran(project, "bench", number=1, machine={"cores": 16}, figures={"points/s": 4_861})
    ran(project, "bench", number=2, machine={"cores": 16}, figures={"points/s": 123_000})
    result = judge(project, "bench")
    assert (result.state, result.runs, result.failed) == (State.PASS, 2, 1)


def test_a_passed_run_that_misses_a_target_of_today_fails(project: Path) -> None:
    ran(project, figures={"missing": 3})
    result = judge(project)
    assert result.state is State.FAIL
    assert result.summary.endswith("missing is 3, must be exactly 0")


@pytest.mark.parametrize(
    ("cores", "reached", "state"),
    [
        (2, 4_861, State.NOT_SET_UP),
        (2, 100_000, State.PASS),
        (16, 4_861, State.FAIL),
        (16, 100_000, State.PASS),
    ],
)
def test_a_target_for_larger_machines_is_not_comparable_on_a_small_one(
    project: Path, cores: int, reached: float, state: State
) -> None:
    ran(project, "bench", machine={"cores": cores}, figures={"points/s": reached})
    result = judge(project, "bench")
    assert result.state is state
    if state is State.NOT_SET_UP:
        assert result.summary.startswith(
            "4,861 of 100,000 points/s on 2 cores; the target is for 16 (bench passed 9 min ago"
        )


def test_writing_evidence_does_not_fail_a_run_for_a_target_of_larger_machines(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "machine", lambda: {"cores": 2})
    small = evidence.write("bench", figures={"points/s": 5}, kube=None, folder=project / "e", project=project)
    monkeypatch.setattr(evidence, "machine", lambda: {"cores": 16})
    large = evidence.write("bench", figures={"points/s": 5}, kube=None, folder=project / "e", project=project)
    assert (small.passed, large.passed) == (True, False)


def test_files_that_are_no_evidence_are_named_and_ignored(project: Path) -> None:
    ran(project)
    (project / "evidence" / "drill" / "900.json").write_text("{")
    drills = Drills(lambda: HERE, project / "evidence", project)
    result = drills.judge("drill")
    assert result.state is State.PASS
    assert len(result.ignored) == 1
    assert result.ignored[0].startswith("drill/900.json is not an evidence file: ")
    assert drills.ignored == list(result.ignored)


def test_a_row_relies_on_its_drills_and_shows_their_figures(project: Path) -> None:
    ran(project, "bench", machine={"cores": 16}, figures={"points/s": 123_000})
    drills = Drills(lambda: HERE, project / "evidence", project)
    [row] = run_checks(["S2"], {"S2": relying("bench")}, NOWHERE, judge=drills.judge)
    assert row.state is State.PASS
    assert row.figures == ("3 brokers", "points/s 123000")
    [row] = run_checks(["K1"], {"K1": relying("drill")}, NOWHERE, judge=drills.judge)
    assert (row.state, row.line) == (State.STALE, "ops drill some")
    [row] = run_checks(["K1"], {"K1": relying("unknown")}, NOWHERE, judge=drills.judge)
    assert row.problems == ("evidence 'unknown' is not in catalog.yaml: add its title, covers, targets and command",)


# Output


def rows_of_every_state() -> list[Row]:
    long = "a problem that takes far more room than one line of a terminal with one hundred columns has for it"
    finding = Finding(figures=["3 brokers"], seen=["described"])
    return [
        finding.row("K1", judged(State.PASS)),
        Finding(wrong=[long, "another"]).row("K2", judged(State.PASS)),
        Finding(drills={"broker": (), "other": ()}).row("K3", judged(State.STALE)),
        Finding(waits=[WAIT, Wait(what="sooner", due=DUE - timedelta(hours=1))]).row("R1", judged(State.PASS)),
        Finding(setups=[SETUP]).row("D2", judged(State.PASS)),
        Row(id="S1", state=State.ABSENT),
    ]


def test_a_row_is_one_line_of_at_most_100_columns_and_the_totals_follow() -> None:
    rows = rows_of_every_state()
    lines = [command.line(row) for row in rows]
    assert all(len(line) <= 100 and "\n" not in line for line in lines)
    assert lines[0] == "K1 pass       Three brokers, RF 3, min ISR 2             3 brokers"
    assert lines[1].startswith("K2 fail       Topics and their partitions")
    assert lines[1].endswith("...")
    assert lines[2].endswith(" ops drill some")
    assert lines[3].rstrip(".").endswith(f"due {moment(DUE)}: first daily report (+1)"[:40])
    assert " make up-dr: no second region has reported" in lines[4]
    assert lines[5] == "S1 absent     Horizontal and vertical scaling"
    assert command.totals(rows) == "1 pass, 1 fail, 1 stale, 1 waiting, 1 not set up, 1 absent"


def test_details_show_everything(project: Path) -> None:
    ran(project, figures={"missing": 0, "seconds": 4.5})
    (project / "evidence" / "drill" / "900.json").write_text("{")
    finding = Finding(figures=["f"], seen=["s"], wrong=["w"], waits=[WAIT], setups=[SETUP])
    finding.drill("drill")
    text = command.details(finding.row("K1", Drills(lambda: HERE, project / "evidence", project).judge))
    for part in (
        "K1 fail: Three KRaft brokers, RF 3",
        "    f\n",
        "    w\n",
        f"first daily report is due at {moment(DUE)} (now: `ops report run daily`)",
        "no second region has reported: `make up-dr`",
        "pass       drill passed 9 min ago, commit none, this cluster",
        "missing 0; seconds 4.5",
        "ignored: drill/900.json is not an evidence file",
        "run it: `ops drill some`",
    ):
        assert part in text
    assert command.details(Row(id="S1", state=State.ABSENT)).endswith("not implemented")


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.PASS, State.STALE, State.WAITING, State.NOT_SET_UP, State.ABSENT), 0),
        ((State.PASS, State.FAIL), 1),
    ],
)
def test_the_exit_code_is_one_only_when_a_row_fails(states: tuple[State, ...], code: int) -> None:
    assert command.exit_code(Row(id="K1", state=state) for state in states) == code


@pytest.fixture
def verify(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command with checks of its own on a platform that is not asked."""

    @contextmanager
    def context(platform: Any, kube: Any) -> Iterator[Any]:
        yield SimpleNamespace(platform=platform, kube=kube)

    monkeypatch.setattr(command, "Context", context)
    monkeypatch.setattr(command.platform_module, "load", lambda: SimpleNamespace(namespace="obs"))
    monkeypatch.setattr(command.Kube, "of", lambda _: None)
    drills = Drills(lambda: HERE, project / "evidence", project)
    monkeypatch.setattr(command.Drills, "of", lambda _: drills)

    def call(checks: dict[str, Check], *words: str) -> Result:
        monkeypatch.setattr(command, "CHECKS", checks)
        return CliRunner().invoke(app, ["verify", *words])

    return call


def test_json_is_all_that_is_printed_and_has_every_part(verify: Callable[..., Result], project: Path) -> None:
    ran(project)
    (project / "evidence" / "drill" / "900.json").write_text("{")
    done = verify({"K1": relying("drill"), "K2": bad}, "--json")
    assert done.exit_code == 1
    rows = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    assert list(rows) == list(REQUIREMENT_IDS)
    assert set(rows["K1"]) == {
        *("id", "title", "state", "figure", "due", "problems", "seen"),
        *("waits", "setups", "commands", "drills", "seconds"),
    }
    assert (rows["K1"]["state"], rows["K2"]["state"], rows["S1"]["state"]) == ("pass", "fail", "absent")
    [drill] = rows["K1"]["drills"]
    assert (drill["cluster_id"], drill["figures"]) == ("here", {"missing": 0})
    assert [line for line in done.stderr.splitlines() if line.startswith("ignored: ")] == [
        f"ignored: {rows['K1']['drills'][0]['ignored'][0]}"
    ]
    assert re.search(r"^\[1/2\] K1 pass after \d+\.\d s$", done.stderr, re.MULTILINE)


def test_what_measures_waiting_times_is_checked_when_nothing_else_is(verify: Callable[..., Result]) -> None:
    busy, order = set[str](), list[str]()

    def check(name: str) -> Check:
        def run_check(_: Context) -> Finding:
            order.append(name)
            assert name != "S2" or not busy
            busy.add(name)
            time.sleep(0.1)
            busy.discard(name)
            return Finding()

        return run_check

    done = verify({name: check(name) for name in ("S2", "K1", "K2", "M3", "M4")}, "--json")
    assert done.exit_code == 0
    assert order[-1] == "S2"
    assert [row["id"] for row in json.loads(done.stdout)["rows"]] == list(REQUIREMENT_IDS)


def test_the_overview_has_a_line_a_row_and_named_rows_have_details(verify: Callable[..., Result]) -> None:
    checks: dict[str, Check] = {"K1": good}
    overview = verify(checks)
    assert overview.exit_code == 0
    lines = overview.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(REQUIREMENT_IDS)]] == list(REQUIREMENT_IDS)
    assert lines[-2].startswith("1 pass, 0 fail, ")
    detailed = verify(checks, "k1")
    assert detailed.stdout.startswith("K1 pass: Three KRaft brokers")
    assert "3 brokers" in detailed.stdout
    unknown = verify(checks, "X1")
    assert isinstance(unknown.exception, OpsError)
