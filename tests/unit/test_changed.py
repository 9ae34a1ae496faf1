"""Which tests `make check` runs: those that import what changed, the nearest first, as many as fit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.changed import changed_files, distance, selected
from tests.run import ROOT


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=made up", "-c", "user.email=made-up@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("1\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", name)
    return tmp_path


def test_files_that_changed_since_the_branch_began_and_new_ones(checkout: Path) -> None:
    git(checkout, "switch", "-q", "-c", "work")
    (checkout / "c.py").write_text("1\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "c")
    (checkout / "a.py").write_text("2\n")
    (checkout / "d.py").write_text("1\n")
    assert changed_files(checkout) == ["a.py", "c.py", "d.py"]
    assert changed_files(checkout, "HEAD") == ["a.py", "d.py"]


def test_where_nothing_changed_the_last_commit_is_looked_at(checkout: Path) -> None:
    assert changed_files(checkout) == ["b.py"]


def test_an_unknown_commit_is_one_line(checkout: Path) -> None:
    with pytest.raises(ValueError, match="no commit nowhere to compare with"):
        changed_files(checkout, "nowhere")


def test_tests_that_import_a_changed_module_are_found_and_the_nearest_are_first() -> None:
    distances = distance(["ops/drills/run.py"], ROOT)
    assert distances["tests/unit/ops/test_ops_drill_run.py"] == 1
    assert distances["tests/unit/ops/test_ops_drill_report.py"] >= 1
    assert "tests/unit/masking/test_masking_fast_path.py" not in distances
    assert not any(file.startswith(("tests/config", "tests/e2e")) for file in distances)


def test_a_changed_test_is_run_itself() -> None:
    assert distance(["tests/unit/test_changed.py"], ROOT) == {"tests/unit/test_changed.py": 0}


def test_fixtures_and_files_that_are_read_are_followed_too() -> None:
    assert "tests/unit/ops/test_ops_verify.py" in distance(["tests/unit/ops/conftest.py"], ROOT)
    assert "tests/unit/test_run.py" in distance(["tests/flaky.yaml"], ROOT)


def test_a_changed_page_is_read_by_the_tests_of_all_pages() -> None:
    assert distance(["docs/audit.md"], ROOT)["tests/unit/stacks/test_documented_pulumi.py"] == 0


def test_what_does_not_fit_is_left_out_and_named() -> None:
    files = ["tests/unit/test_changed.py", "tests/unit/test_run.py"]
    table = dict.fromkeys(files, 30.0)
    selection = selected(files, ROOT, 40.0, table)
    assert (selection.files, selection.left_out, selection.seconds) == ((files[0],), (files[1],), 30.0)
    assert selected(files[:1], ROOT, 1.0, table).files == (files[0],)
    assert selected([], ROOT, 40.0, table).files == ()
