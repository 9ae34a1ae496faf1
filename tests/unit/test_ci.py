"""``.ci/run`` leaves the times of its steps only where that is asked for, those of a failed run too."""

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


def test_a_run_that_took_too_long_failed(requested: Path) -> None:
    ci.leave(0, ["tools=4000", "test=900"])
    assert [run.passed for run in runs(requested)] == [False]
