"""The second look at what failed: one, alone, named, and none where much failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run

PASSES = "def test_fine():\n    pass\n"
ALONE = f"""
import os, pytest

@pytest.mark.parametrize("number", range({{count}}))
def test_only_alone(number):
    assert os.environ.get({run.SECOND_LOOK!r}) == "1"
"""
NEVER = "def test_never():\n    assert False\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_a.py").write_text(PASSES)
    return tmp_path


def looked(folder: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run.main(["-n2", "-p", "no:randomly"], folder)
    return code, capfd.readouterr().out


def test_all_pass_and_nothing_is_looked_at_again(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = looked(folder, capfd)
    assert code == 0
    assert "second look" not in said


def test_what_passes_alone_passes_and_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_b.py").write_text(ALONE.format(count=2))
    code, said = looked(folder, capfd)
    assert code == 0
    assert "second look at 2 that failed" in said
    assert "unsteady: passed alone only: test_b.py::test_only_alone[0]" in said
    assert looked(folder, capfd)[0] == 0, "what failed in an earlier run is not carried on"


def test_what_fails_twice_fails(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_b.py").write_text(ALONE.format(count=1))
    (folder / "test_c.py").write_text(NEVER)
    code, said = looked(folder, capfd)
    assert code == 1
    assert "failed twice: test_c.py::test_never" in said
    assert "unsteady: passed alone only: test_b.py::test_only_alone[0]" in said


def test_where_much_fails_it_fails_at_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_b.py").write_text(ALONE.format(count=run.LIMIT + 1))
    code, said = looked(folder, capfd)
    assert code == 1
    assert "second look" not in said


def test_a_file_that_cannot_be_read_fails(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_b.py").write_text("import nothing_of_that_name\n")
    assert looked(folder, capfd)[0] != 0
