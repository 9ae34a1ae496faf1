"""``ops docs``: pages say what the evidence says, with commit, staleness and failures, and the same bytes each time."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import pages
from ops.__main__ import app
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.evidence import files as evidence
from ops.evidence.files import Catalog, Entry, Evidence, Target
from ops.evidence.reading import named
from ops.pages import Row, Source, Tables
from tests.unit.ops.test_ops_evidence import git, save

CATALOG = Catalog(
    sources={"code": ("code/**/*",)},
    evidence={
        "kill": Entry(
            title="a thing killed",
            covers=("code",),
            run="ops drill kill",
            text="{missing} of {sent} missing; back after {back s} s; {parts/0} first",
        ),
        "load": Entry(title="load", covers=("settings.yaml",), run="make load", text="{average s} s"),
    },
)
TABLE = Tables(
    tables={
        "promises": (
            Row(
                promise="nothing is lost",
                shows={"killed": "{kill: missing} of {kill: sent}", "loaded": "{load: average s} s"},
                limits="one machine",
            ),
        )
    }
)
TITLE = "nothing is lost<br>*one machine*"
PAGE = "# Page\n\n<!-- evidence: promises -->\nold\n<!-- /evidence -->\n\nend\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("one\n")
    (tmp_path / "settings.yaml").write_text("a: 1\n")
    (tmp_path / "README.md").write_text(PAGE)
    git(tmp_path, "init", "-q")
    save(tmp_path, "first")
    return tmp_path


def left(project: Path, name: str = "kill", *problems: str, when: int = 1, **figures: Any) -> Evidence:
    """A run that was made at minute ``when``, on the checkout as it is."""
    run = evidence.write(
        name,
        figures=figures or {"missing": 0, "sent": 12345, "back s": 1.5},
        kube=None,
        passed=not problems,
        problems=problems,
        folder=project / "evidence",
        project=project,
    )
    folder = project / "evidence" / name
    written = max(folder.glob("*.json"))
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC) + timedelta(minutes=when)
    run = run.model_copy(update={"time": moment})
    (folder / f"{moment:%Y%m%dT%H%M%S}000Z.json").write_text(run.model_dump_json(indent=2))
    written.unlink()
    return run


def source(project: Path) -> Source:
    return Source(project / "evidence", project)


def table(project: Path) -> str:
    return pages.promises(TABLE.tables["promises"], source(project), project / "README.md")


def row_of(text: str, title: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_committed_pages_are_what_the_evidence_gives() -> None:
    if not evidence.whole_history():
        pytest.skip("staleness counts commits, and this checkout has not all of them")
    assert list(pages.changed()) == [], "run `make docs` and commit what it changes"


def test_every_placeholder_names_a_figure_of_the_newest_run() -> None:
    for row in (row for rows in pages.read_tables().tables.values() for row in rows):
        for text in row.shows.values():
            for placeholder in named(text):
                name, _, figure = placeholder.partition(": ")
                run = evidence.newest(name)
                if run is not None and run.passed:
                    value = evidence.figure(run.told, figure.removesuffix(pages.OF_A_DAY))
                    assert value is not None, f"{row.promise}: {placeholder}"


def test_every_part_of_a_catalog_text_has_figures_that_some_run_or_test_has() -> None:
    places = ("tests/e2e/*.py", "ops/loadtest/bench*.py", "ops/drills/procedures/*.py")
    writers = [file for place in places for file in PROJECT.glob(place)]
    written = "".join(file.read_text() for file in writers)
    for name, entry in evidence.catalog().evidence.items():
        runs = evidence.read(name).runs
        for figure in named(entry.text) if runs else ():
            # A bench has the figures of its first size and clients again for each other one that was asked for.
            single = re.sub(r"^\d+ (items a request|clients)/", "", figure)
            known = any(evidence.figure(run.told, single) is not None for run in runs)
            assert known or f'"{figure}"' in written, f"{name}: no run has {figure!r}"


def test_without_a_text_the_single_figures_are_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(project, sent=12345, parts=[1], ok=True)
    silent = {"kill": CATALOG.evidence["kill"].model_copy(update={"text": ""})}
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG.model_copy(update={"evidence": silent}))
    assert "| sent 12,345; ok yes |" in pages.catalog_table(source(project), project / "README.md")


def test_a_promise_shows_its_figures_and_their_run(project: Path) -> None:
    run = left(project)
    assert table(project).splitlines()[2:] == [
        "| nothing is lost<br>*one machine* | killed | 0 of 12,345 | "
        f"[`kill`](evidence/kill/) 2026-11-20, {run.commit[:7]} |",
        "|  | loaded | not measured | `load`: not measured on this version (`make load`) |",
    ]


def test_a_figure_of_a_day_is_its_least_and_greatest_whatever_the_sources_were(project: Path) -> None:
    rows = (Row(promise="fast", shows={"load": "{load: average s, of a day}"}),)

    def shown() -> str:
        return pages.promises(rows, source(project), project / "README.md").splitlines()[-1]

    assert "| load | not measured |" in shown()
    left(project, "load", when=1, **{"average s": 9.0})
    assert "| load | 9.0 in 1 run |" in shown()
    (project / "settings.yaml").write_text("a: 2\n")
    left(project, "load", when=2, **{"average s": 3.5})
    left(project, "load", when=3, **{"average s": 1.5})
    left(project, "load", "broke off", when=4, note=1)
    assert "| load | **failed**, 1.5 to 9.0 in 3 runs |" in shown()
    left(project, "load", when=24 * 60 + 2, **{"average s": 2.5})
    assert "| load | 1.5 to 3.5 in 3 runs |" in shown()


def test_texts_may_name_what_a_run_was_asked_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = left(project)
    with_settings = run.model_copy(update={"settings": {"rate": 3000.0, "size": [20], "share": 0.5}})
    entry = CATALOG.evidence["kill"].model_copy(
        update={"text": "at {settings/rate}/s, {settings/size/0} each, {settings/share}; {missing} missing"}
    )
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG.model_copy(update={"evidence": {"kill": entry}}))
    given = source(project)
    monkeypatch.setattr(given, "newest", lambda name: with_settings)
    assert "| at 3,000/s, 20 each, 0.5; 0 missing |" in pages.catalog_table(given, project / "README.md")


def test_what_each_side_of_the_comparison_guarantees_is_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOG.evidence["load"].model_copy(update={"run": "make bench PEER=1"})
    names = {**CATALOG.evidence, "bench-peer": entry}
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG.model_copy(update={"evidence": names}))
    assert pages.peer_table(source(project)) == "Not measured (`make bench PEER=1`)."
    left(project, "bench-peer", **{"average s": 1, "guarantees": {"order": {"ours": "kept", "peer": "a | b"}}})
    assert pages.peer_table(source(project)).splitlines()[-1] == r"| order | kept | a \| b |"


def test_runs_of_the_whole_loop_are_listed_with_their_steps(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(title="loop", covers=("code",), run="OBS_EVIDENCE=1 .ci/run")
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG.model_copy(update={"evidence": {"ci-run": entry}}))
    assert pages.loop_table(source(project)) == "Not measured (`OBS_EVIDENCE=1 .ci/run`)."
    run = left(project, "ci-run", "exit code 2", when=1, **{"total s": 9, "steps s": {"tools": 8, "test": 1}})
    left(project, "ci-run", when=2, **{"total s": 1300, "steps s": {"tools": 1, "test": 600, "up": 200}})
    lines = pages.loop_table(source(project)).splitlines()
    assert lines[0] == "| run | result | all | tools | test | up |"
    assert lines[2] == f"| 2026-11-20 10:02, {run.commit[:7]} | passed | 1,300 | 1 | 600 | 200 |"
    assert lines[3] == f"| 2026-11-20 10:01, {run.commit[:7]} | **failed**: exit code 2 | 9 | 8 | 1 | not measured |"


def test_what_changed_since_is_counted(project: Path) -> None:
    left(project)
    assert "stale" not in table(project)
    (project / "code" / "a.py").write_text("two\n")
    save(project, "second")
    (project / "settings.yaml").write_text("a: 2\n")
    save(project, "of no concern")
    assert "**stale, 1 commit**" in table(project)


def test_failed_runs_are_counted_and_the_newest_one_is_said_to_have_failed(project: Path) -> None:
    left(project, when=1)
    left(project, "kill", "10 lost", when=2)
    left(project, when=3)
    shown, runs = row_of(table(project), TITLE)[2:]
    assert "failed" not in shown
    assert "1 of 3 runs failed" in runs
    left(project, "kill", "a | b", when=4)
    shown, runs = row_of(table(project), TITLE)[2:]
    assert shown == "**failed**, 0 of 12,345"
    assert ", **failed**, 2 of 4 runs failed" in runs
    whole = pages.catalog_table(source(project), project / "README.md")
    assert r"| a thing killed | **failed**: a \| b; 0 of 12,345 missing; back after 1.5 s |" in whole
    listed = pages.failed_table(source(project), project / "docs" / "page.md").splitlines()[2:]
    assert [line.split(" | ")[-1] for line in listed] == [r"a \| b |", "10 lost |"]
    assert "(../evidence/kill/) 2026-11-20 10:04" in listed[0]


def test_a_run_that_misses_a_target_of_today_is_told_as_failed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(project, when=1, missing=3, sent=5)
    left(project, when=2)
    entry = CATALOG.evidence["kill"].model_copy(update={"targets": (Target(figure="missing", equals=0),)})
    monkeypatch.setattr(evidence, "catalog", lambda: CATALOG.model_copy(update={"evidence": {"kill": entry}}))
    assert source(project).run_line("kill", project / "README.md").endswith(", 1 of 2 runs failed")
    listed = pages.failed_table(source(project), project / "README.md").splitlines()[2:]
    assert [line.split(" | ")[-1] for line in listed] == ["missing is 3, must be exactly 0 |"]
    left(project, when=3, missing=4, sent=5)
    row = Row(promise="kept", shows={"killed": "{kill: missing} of {kill: sent}"})
    assert "| killed | **failed**, 4 of 5 |" in pages.promises([row], source(project), project / "README.md")


def test_a_failed_run_without_figures_is_not_measured(project: Path) -> None:
    left(project, "kill", "broke off", note=1)
    assert "| killed | **failed**, not measured |" in table(project)


def test_no_failed_run_is_said_in_words(project: Path) -> None:
    left(project)
    assert pages.failed_table(source(project), project / "README.md") == "No run that is kept failed."


def test_the_machines_are_those_of_the_runs(project: Path) -> None:
    assert pages.machines(source(project)) == "Not measured on any machine."
    run = left(project)
    size = f"{run.machine['cores']} cores, {run.machine['memory_gib']} GiB"
    told = f"Machine of the newest run of each of 1 names: {size}. Processor: {run.machine['processor']}."
    assert pages.machines(source(project)) == told


def test_kinds_are_counted_where_there_are_several() -> None:
    assert pages._counted(Counter(("slow", "fast", "fast"))) == "fast (2), slow (1)"


def test_the_versions_are_those_of_the_newest_run_that_recorded_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = left(project)
    assert pages.versions(source(project)) == "No run recorded its images."
    images = {"registry.example/b:2@sha256": "bb", "registry.example/a/a:1@sha256": "aa"}
    monkeypatch.setattr(pages, "_newest", lambda given: [run, run.model_copy(update={"versions": images})])
    assert pages.versions(source(project)).endswith("(its file has the digests): a:1, b:2.")


def test_a_page_is_filled_once_and_then_stays(project: Path) -> None:
    left(project)
    changed = pages.changed(project, source(project), TABLE)
    assert list(changed) == [project / "README.md"]
    text = changed[project / "README.md"]
    assert text.startswith("# Page\n\n<!-- evidence: promises -->\n\n| promise |")
    assert text.endswith("|\n\n<!-- /evidence -->\n\nend\n")
    (project / "README.md").write_text(text)
    assert pages.changed(project, source(project), TABLE) == {}


def test_before_and_after_the_commit_the_page_is_the_same(project: Path) -> None:
    left(project)
    save(project, "evidence")
    (project / "code" / "a.py").write_text("two\n")
    (project / "code" / "new.py").write_text("new\n")
    before = table(project)
    assert "**stale, 1 commit**" in before
    save(project, "change and pages")
    assert table(project) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "<!-- evidence: unknown -->\n<!-- /evidence -->\n",
            "no block 'evidence: unknown': use one of code: commands, ",
        ),
        ("<!-- evidence: promises -->\n", "each block needs the lines"),
        ("<!-- /evidence -->\n", "each block needs the lines"),
        ("<!-- code: commands -->\n<!-- /evidence -->\n", "each block needs the lines"),
        (PAGE + "<!-- evidence: promises -->\n", "each block needs the lines"),
    ],
)
def test_a_wrong_block_is_one_line_and_the_page_is_left_alone(project: Path, text: str, says: str) -> None:
    (project / "README.md").write_text(text)
    with pytest.raises(OpsError, match=says):
        pages.changed(project, source(project), TABLE)
    assert (project / "README.md").read_text() == text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is no checkout of the project: .*pages.yaml is missing"),
        ("tables: [", "pages.yaml: "),
        ("tables: {a: [{promise: b}]}", r"tables\.a\.0\.shows: Field required"),
        ("tables: {a: [{promise: b, shows: {c: '{nobody: knows}'}}]}", "evidence 'nobody' is not in catalog.yaml"),
    ],
)
def test_damaged_tables_are_one_line(project: Path, content: str | None, says: str) -> None:
    file = project / "pages.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OpsError, match=says):
        pages.read_tables(file)


def test_the_command_tells_what_is_out_of_date_and_writes_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(project)
    expected = pages.changed(project, source(project), TABLE)
    monkeypatch.setattr(pages, "PROJECT", project)
    monkeypatch.setattr(pages, "changed", lambda source: expected)
    monkeypatch.setattr(pages, "Source", lambda: source(project))
    (project / "evidence" / "kill" / "damaged.json").write_text("{")
    checked = CliRunner().invoke(app, ["docs", "--check"])
    assert (checked.exit_code, checked.stdout) == (1, "README.md: out of date\n")
    assert checked.stderr.startswith("ignored: kill/damaged.json is not an evidence file: ")
    assert (project / "README.md").read_text() == PAGE
    written = CliRunner().invoke(app, ["docs"])
    assert (written.exit_code, written.stdout) == (0, "README.md: changed\n")
    assert (project / "README.md").read_text() == expected[project / "README.md"]
    assert [file.name for file in project.glob(".README*")] == []


def test_a_history_that_was_cut_short_is_known(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert evidence.whole_history(project)
    save_again = project / "code" / "a.py"
    save_again.write_text("two\n")
    save(project, "second")
    folder = tmp_path_factory.mktemp("clones")
    clone = ["git", "clone", "-q", "--depth", "1", f"file://{project}", str(folder / "shallow")]
    subprocess.run(clone, check=True, capture_output=True, timeout=60)
    assert not evidence.whole_history(folder / "shallow")
    assert not evidence.whole_history(folder)
