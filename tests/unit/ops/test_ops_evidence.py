"""Evidence: complete, never replaced, judged against targets, stale when what it covers has changed."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.evidence import files as evidence
from ops.evidence.files import Catalog, Entry, Evidence, PlatformId, Standing, Target

CATALOG = Catalog(
    sources={"code": ("code/**/*",)},
    evidence={
        "a-drill": Entry(
            title="a drill", covers=("code",), run="make a", targets=(Target(figure="missing", equals=0),)
        ),
        "other": Entry(title="another", covers=("settings.yaml",), run="make b"),
    },
)
CHANGED_UNSEEN = "stale, run with uncommitted changes"
HERE = PlatformId(stack="local", namespace="obs", cluster_id="cluster-1")


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG)
    monkeypatch.delenv(evidence.SCOPE_VARIABLE, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "a.py").write_text("one\n")
    (folder / "settings.yaml").write_text("a: 1\n")
    git(folder, "init", "-q")
    save(folder, "first")
    return folder


def git(folder: Path, *arguments: str) -> None:
    options = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *options, *arguments], check=True, capture_output=True, timeout=60)


def save(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def write(project: Path, name: str = "a-drill", missing: int = 0) -> Evidence:
    return evidence.write(name, figures={"missing": missing}, kube=None, folder=project / "evidence", project=project)


def test_what_is_written_is_read_again_with_commit_machine_and_duration(project: Path) -> None:
    started = datetime.now(UTC) - timedelta(seconds=5)
    folder = project / "evidence"
    written = evidence.write(
        "a-drill",
        figures={"missing": 0},
        kube=None,
        started=started,
        settings={"load": 4},
        folder=folder,
        project=project,
    )
    assert evidence.newest("a-drill", folder) == written
    assert written.passed
    assert not written.dirty
    assert written.commit == evidence.commit(project) != "none"
    assert written.seconds is not None
    assert 4.5 < written.seconds < 60
    assert written.settings == {"load": 4}
    assert int(written.machine["cores"]) >= 1


def test_a_missed_target_fails_the_run_and_says_which(project: Path) -> None:
    written = write(project, missing=3)
    assert not written.passed
    assert written.problems == ("missing is 3, must be exactly 0",)


def test_a_run_that_failed_itself_stays_failed_whatever_its_figures(project: Path) -> None:
    written = evidence.write(
        "a-drill",
        figures={"missing": 0},
        kube=None,
        passed=False,
        problems=["a pod did not come back"],
        folder=project / "evidence",
        project=project,
    )
    assert not written.passed
    assert "a pod did not come back" in written.summary()


@pytest.mark.parametrize(
    ("target", "figures", "problem"),
    [
        (Target(figure="s", at_most=5), {"s": 5}, None),
        (Target(figure="s", at_most=5, unit="s"), {"s": 5.1}, "s is 5.1 s, must be at most 5"),
        (Target(figure="n", at_least=2), {"n": 1}, "n is 1, must be at least 2"),
        (Target(figure="a/b", equals=0), {"a": {"b": 0}}, None),
        (Target(figure="a/b", equals=0), {"a": {}}, "a/b was not measured"),
        (Target(figure="s", at_most=5), {"s": "fast"}, "s is fast, must be at most 5"),
        (Target(figure="s", at_most=5, only_below={"a/b": 2}), {"s": 6, "a": {"b": 1}}, "s is 6, must be at most 5"),
        (Target(figure="s", at_most=5, only_below={"a/b": 2}), {"s": 6, "a": {"b": 2}}, None),
        (Target(figure="s", at_most=5, only_below={"a/b": 2}), {"s": 6}, None),
    ],
)
def test_a_target_compares_one_figure(target: Target, figures: dict[str, object], problem: str | None) -> None:
    assert target.problem(figures) == problem


def test_a_run_of_before_a_target_is_judged_by_it_where_it_is_asked_of_its_machine(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "machine", lambda: {"cores": 2})
    earlier = evidence.write("other", figures={"s": 4}, kube=None, folder=project / "evidence", project=project)
    assert evidence.problems(earlier) == []
    for target, problems in (
        (Target(figure="s", at_most=3), ["s is 4, must be at most 3"]),
        (Target(figure="s", at_most=3, cores=4), []),
    ):
        entry = CATALOG.evidence["other"].model_copy(update={"targets": (target,)})
        today = CATALOG.model_copy(update={"evidence": {"other": entry}})
        monkeypatch.setattr(evidence, "catalog", lambda today=today: today)
        assert earlier.passed
        assert evidence.problems(earlier) == problems
        assert ("failed" in earlier.summary()) is bool(problems)


def test_a_second_run_is_a_second_file_and_the_newest_is_read(project: Path) -> None:
    write(project, missing=1)
    write(project)
    runs = evidence.read("a-drill", project / "evidence").runs
    assert [run.passed for run in runs] == [True, False]


def test_beyond_the_limit_the_oldest_passed_run_goes_and_failed_ones_stay(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "KEPT_RUNS", 5)
    for missing in (1, 0, 0, 0, 0, 0):
        write(project, missing=missing)
    runs = evidence.read("a-drill", project / "evidence").runs
    assert [run.passed for run in runs] == [True] * 4 + [False]


def test_the_newest_three_passed_runs_stay_whatever_fails_after_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "KEPT_RUNS", 5)
    for missing in (0, 0, 0, 0, 1, 2, 3, 4):
        write(project, missing=missing)
    runs = evidence.read("a-drill", project / "evidence").runs
    assert [run.figures["missing"] for run in runs] == [4, 3, 0, 0, 0]


def test_a_damaged_and_a_foreign_file_are_named_and_ignored(project: Path) -> None:
    written = write(project)
    folder = project / "evidence" / "a-drill"
    (folder / "20990101T000000000Z.json").write_text("{")
    (folder / "20990102T000000000Z.json").write_text(json.dumps({**written.model_dump(mode="json"), "name": "other"}))
    (folder / "20990103T000000000Z.json").write_text(json.dumps({**written.model_dump(mode="json"), "more": 1}))
    for name, changed in {
        "20990104T000000000Z": {"machine": {"memory_gib": 1.0}},
        "20990105T000000000Z": {"time": "2099-01-05T00:00:00"},
        "20990106T000000000Z": {"time": "2099-01-06T00:00:00Z"},
        "20990107T000000000Z": {},
    }.items():
        text = json.dumps({**written.model_dump(mode="json"), **changed})
        (folder / f"{name}.json").write_text(text)
    runs = evidence.read("a-drill", project / "evidence")
    assert runs.runs == (written,)
    assert runs.ignored[:4] == (
        f"20990107T000000000Z.json in a-drill/ is of another time, {written.time}",
        "20990106T000000000Z.json in a-drill/ is of the future",
        "a-drill/20990105T000000000Z.json is not an evidence file: time Input should have timezone info",
        "a-drill/20990104T000000000Z.json is not an evidence file: "
        "machine Value error, does not say on how many cores it ran",
    )
    assert [message.split(" ")[0] for message in runs.ignored[4:]] == [
        "a-drill/20990103T000000000Z.json",
        "20990102T000000000Z.json",
        "a-drill/20990101T000000000Z.json",
    ]


def test_a_name_that_the_catalog_does_not_have_is_refused(project: Path) -> None:
    with pytest.raises(OpsError, match=r"evidence '\.\./a' is not in catalog\.yaml"):
        write(project, name="../a")


def test_a_run_is_stale_by_the_commits_that_change_what_it_covers(project: Path) -> None:
    written = write(project)
    save(project, "evidence")
    (project / "settings.yaml").write_text("a: 2\n")
    save(project, "what it does not cover")
    assert evidence.staleness(written, project) is None
    (project / "code" / "a.py").write_text("two\n")
    assert evidence.staleness(written, project) == "stale, 1 commit"
    save(project, "what it covers")
    assert evidence.staleness(written, project) == "stale, 1 commit"
    (project / "code" / "b.py").write_text("three\n")
    save(project, "a new file")
    assert evidence.staleness(written, project) == "stale, 2 commits"


def test_a_run_of_uncommitted_changes_is_valid_once_they_are_committed_and_stale_when_dropped(project: Path) -> None:
    (project / "code" / "a.py").write_text("two\n")
    written = write(project)
    assert written.dirty
    save(project, "the change")
    assert evidence.staleness(written, project) is None
    git(project, "reset", "-q", "--hard", "HEAD~1")
    assert evidence.staleness(written, project) == CHANGED_UNSEEN


def test_a_run_of_sources_that_were_taken_back_is_stale(project: Path) -> None:
    (project / "code" / "a.py").write_text("two\n")
    save(project, "the change")
    written = write(project)
    assert not written.dirty
    git(project, "branch", "kept")
    git(project, "reset", "-q", "--hard", "HEAD~1")
    assert evidence.staleness(written, project) == "stale, run with sources that are not those of this checkout"
    git(project, "reset", "-q", "--hard", "kept")
    assert evidence.staleness(written, project) is None


def test_a_run_is_stale_where_git_does_not_tell_what_has_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(project).model_copy(update={"covers_digest": "0123456789abcdef"})
    ask = evidence._git

    def slow(folder: Path, *arguments: str) -> str:
        return "" if arguments[0] == "rev-list" else ask(folder, *arguments)

    monkeypatch.setattr(evidence, "_git", slow)
    assert evidence.staleness(written, project) == "stale, git does not tell what has changed since"


def test_a_run_whose_sources_were_changed_meanwhile_counts_for_neither(project: Path) -> None:
    began = evidence.covers("a-drill", project)
    (project / "code" / "a.py").write_text("two\n")
    written = evidence.write(
        "a-drill", figures={"missing": 0}, kube=None, folder=project / "evidence", project=project, covered=began
    )
    assert evidence.staleness(written, project) == "stale, 1 commit"
    save(project, "the change")
    assert evidence.staleness(written, project) == "stale, 1 commit"
    assert written.dirty


def test_a_folder_that_cannot_be_written_is_said_with_the_figures(project: Path) -> None:
    (project / "evidence").write_text("no folder")
    with pytest.raises(OpsError, match=r"cannot be written: .*missing.*0"):
        write(project)


def test_a_run_stays_valid_when_more_is_covered_unless_it_had_uncommitted_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(project)
    (project / "code" / "b.py").write_text("new\n")
    uncommitted = write(project)
    (project / "code" / "b.py").unlink()
    entry = CATALOG.evidence["a-drill"].model_copy(update={"covers": ("code", "settings.yaml")})
    more = CATALOG.model_copy(update={"evidence": {"a-drill": entry}})
    monkeypatch.setattr(evidence, "catalog", lambda: more)
    assert evidence.staleness(written, project) is None
    assert (written.dirty, uncommitted.dirty) == (False, True)
    assert evidence.staleness(uncommitted, project) == CHANGED_UNSEEN
    (project / "settings.yaml").write_text("a: 2\n")
    assert evidence.staleness(written, project) == "stale, 1 commit"


@pytest.mark.parametrize("name", ["a_test.go", "README.md"])
def test_what_does_not_run_makes_no_run_stale(project: Path, name: str) -> None:
    written = write(project)
    (project / "code" / name).write_text("new\n")
    assert evidence.staleness(written, project) is None
    assert write(project).covers_digest == written.covers_digest
    save(project, "no part of what runs")
    elsewhere = written.model_copy(update={"covers_digest": "0123456789abcdef"})
    assert evidence.staleness(elsewhere, project) is None


def test_a_run_of_a_commit_that_is_not_in_the_history_is_stale(project: Path) -> None:
    written = write(project)
    (project / "code" / "a.py").write_text("two\n")
    foreign = written.model_copy(update={"commit": "0123456789ab"})
    assert evidence.staleness(foreign, project) == "stale, commit not in this history"


def test_only_runs_of_the_same_cluster_count_unless_the_cluster_is_disposable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(project).model_copy(update={"platform": HERE})
    elsewhere = HERE.model_copy(update={"cluster_id": "cluster-2"})
    assert evidence.standing(written, HERE, project)[0] is Standing.VALID
    assert evidence.standing(written, elsewhere, project)[0] is Standing.FOREIGN
    monkeypatch.setenv(evidence.SCOPE_VARIABLE, "checkout")
    assert evidence.standing(written, elsewhere, project)[0] is Standing.VALID
    (project / "code" / "a.py").write_text("two\n")
    assert evidence.standing(written, elsewhere, project) == (Standing.STALE, "stale, 1 commit")


@pytest.mark.parametrize(("seconds", "age"), [(5, "5 s"), (125, "2 min"), (7300, "2 h"), (200000, "2 d")])
def test_the_age_is_in_words(project: Path, seconds: int, age: str) -> None:
    written = write(project)
    assert written.age(written.time + timedelta(seconds=seconds)) == age
