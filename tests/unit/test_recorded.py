"""What a drill leaves: evidence when it passed or failed, also by a missed target; nothing when interrupted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ops.core.kube import Kube
from ops.drills.tools import durations
from ops.evidence import files as evidence
from tests.support.results import recorded

KUBE = cast(Kube, None)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    real = evidence.write
    monkeypatch.setattr(evidence, "write", lambda name, **what: real(name, **{**what, "folder": tmp_path}))
    return lambda: evidence.read("secret-search", tmp_path).runs


def drill(measured: int, error: BaseException | None = None) -> None:
    with recorded("secret-search", KUBE) as figures:
        figures["found"] = measured
        if error is not None:
            raise error


def test_a_drill_that_held_leaves_its_figures(left: Any) -> None:
    drill(0)
    (run,) = left()
    assert (run.passed, run.problems, run.figures) == (True, (), {"found": 0})
    assert run.seconds is not None
    assert run.settings["durations"]["KAFKA_OUTAGE"] == durations.KAFKA_OUTAGE


def test_a_drill_that_broke_off_leaves_its_figures_and_why(left: Any) -> None:
    with pytest.raises(ValueError, match="lost"):
        drill(0, ValueError("lost 3"))
    (run,) = left()
    assert (run.passed, run.problems, run.figures) == (False, ("ValueError: lost 3",), {"found": 0})


def test_a_missed_target_fails_the_drill(left: Any) -> None:
    with pytest.raises(AssertionError, match="secret-search: found is 2"):
        drill(2)
    assert [run.passed for run in left()] == [False]


def test_an_interrupted_drill_says_nothing_about_the_platform(left: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        drill(0, KeyboardInterrupt())
    assert left() == ()
