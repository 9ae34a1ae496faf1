"""``.ci/run`` and ``make check`` leave their times only where that is asked for, those of a failed run too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.timing import EVIDENCE_VARIABLE
from ops.evidence import files as evidence
from tests import ci


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for evidence, which is asked for."""
    real = evidence.write
    monkeypatch.setattr(evidence, "write", lambda name, **what: real(name, **{**what, "folder": tmp_path}))
    monkeypatch.setenv(EVIDENCE_VARIABLE, "1")
    return tmp_path


def runs(folder: Path) -> tuple[Any, ...]:
    return evidence.read(ci.NAME, folder).runs


def test_an_ordinary_run_leaves_nothing(requested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EVIDENCE_VARIABLE)
    assert ci.leave(0, ["tools=1"]) is None
    assert runs(requested) == ()


def test_the_steps_and_their_sum_are_left(requested: Path) -> None:
    ci.leave(0, ["tools=2", "test=598", "make up=200"])
    (run,) = runs(requested)
    assert run.passed
    assert run.figures == {"total s": 800, "steps s": {"tools": 2, "test": 598, "make up": 200}}
    assert run.seconds == pytest.approx(800, abs=5)


def test_a_failed_run_says_how_far_it_came(requested: Path) -> None:
    ci.leave(2, ["tools=2", "test=598", "down=1"])
    (run,) = runs(requested)
    assert (run.passed, run.problems) == (False, ("exit code 2, after tools, test, down",))


@pytest.mark.parametrize(
    ("steps", "passed"),
    [
        (["tools=4000", "test=900"], False),
        (["tools=3000", "test=900"], True),
        (["tools=120", "test=601", "e2e=1800"], True),
        (["tools=119", "test=600", "up=961", "e2e=720"], True),
        (["tools=119", "test=600", "up=962", "e2e=720"], False),
        (["tools=119", "test=600", "e2e=721"], False),
        (["tools=119", "test=601", "e2e=600"], False),
    ],
)
def test_a_run_that_took_too_long_failed(requested: Path, steps: list[str], passed: bool) -> None:
    """Its tests and all of it have less time where the tools were there."""
    ci.leave(0, steps)
    assert [run.passed for run in runs(requested)] == [passed]


@pytest.mark.parametrize(
    ("code", "seconds", "passed", "problems"),
    [
        (0, 48.26, True, ()),
        (0, 61.0, False, ("total s is 61.0 s, must be at most 60",)),
        (1, 20.0, False, ("exit code 1",)),
    ],
)
def test_a_check_says_what_it_looked_at(
    requested: Path, code: int, seconds: float, passed: bool, problems: tuple[str, ...]
) -> None:
    ci.leave_check(code, seconds, {"files changed": 3, "test files": 2})
    (run,) = evidence.read(ci.CHECK, requested).runs
    assert run.figures == {"total s": round(seconds, 1), "files changed": 3, "test files": 2}
    assert (tuple(evidence.problems(run)), not evidence.problems(run)) == (problems, passed)


def test_an_ordinary_check_leaves_nothing(requested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EVIDENCE_VARIABLE)
    assert ci.leave_check(0, 1.0, {}) is None
    assert evidence.read(ci.CHECK, requested).runs == ()
