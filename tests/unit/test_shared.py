"""What workers of a run share: computed once, gone with the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run
from tests.support import shared

TWICE = """
import sys
from pathlib import Path
from tests.support import shared

def compute():
    with Path(sys.argv[1]).open("a") as log:
        log.write("computed\\n")
    return {"value": [1, 2]}

assert shared.once("a computation", compute) == {"value": [1, 2]}
"""


def test_processes_of_a_run_compute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shared.FOLDER, raising=False)
    log = tmp_path / "log"
    with shared.folder():
        folder = Path(os.environ[shared.FOLDER])
        with shared.folder():
            assert os.environ[shared.FOLDER] == str(folder), "a run inside a run uses its folder"
        started = [subprocess.Popen([sys.executable, "-c", TWICE, str(log)], cwd=run.ROOT) for _ in range(2)]
        assert [process.wait(60) for process in started] == [0, 0]
    assert log.read_text() == "computed\n"
    assert not folder.exists()
    assert shared.FOLDER not in os.environ


def test_names_do_not_mix_and_what_failed_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shared.FOLDER, str(tmp_path))

    def fails() -> int:
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        shared.once("one", fails)
    assert shared.once("one", lambda: 1) == 1
    assert shared.once("two", lambda: 2) == 2
    assert shared.once("one", lambda: 3) == 1


def test_without_a_run_everything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shared.FOLDER)
    assert [shared.once("one", lambda: 1), shared.once("one", lambda: 2)] == [1, 2]
