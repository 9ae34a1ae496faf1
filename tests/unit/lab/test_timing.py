"""Steps of a long command: what each takes, how long the rest still takes, and a word every half minute."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from lab import timing
from lab.timing import Steps
from tests.config.servers import eventually


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    monkeypatch.setattr(timing, "COMMITTED", tmp_path / "committed.json")
    return tmp_path / "seconds" / "make-up.json"


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take no time, however busy the machine is."""
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: 100.0))


def steps() -> tuple[Steps, io.StringIO]:
    out = io.StringIO()
    return Steps("make up", Console(file=out, soft_wrap=True)), out


@pytest.mark.usefixtures("stopped_clock")
def test_the_first_run_knows_nothing_and_the_second_says_what_is_left(cache: Path, tmp_path: Path) -> None:
    first, out = steps()
    with first.step("cluster"):
        pass
    first.record("pulumi up", 200.0)
    first.save(tmp_path / "times.json")
    assert out.getvalue().splitlines() == [".. cluster", "ok cluster 0.0 s", "ok pulumi up 200.0 s"]
    assert json.loads((tmp_path / "times.json").read_text()) == json.loads(cache.read_text())
    second, out = steps()
    with second.step("cluster"):
        pass
    with second.step("pulumi up"):
        pass
    assert [line for line in out.getvalue().splitlines() if line.startswith("..")] == [
        ".. cluster (about 0 s; 200 s left)",
        ".. pulumi up (about 200 s; 200 s left)",
    ]
    assert second.left("pulumi up", 50.0) == 150.0
    assert second.left("unknown") == 0.0


def test_a_long_step_says_that_it_goes_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SILENT_S", 0.05)
    recorder, out = steps()
    with recorder.step("pulumi up"):
        gone = re.compile(r"^\.\. pulumi up: \d+ s gone$", re.MULTILINE)
        eventually(lambda: gone.search(out.getvalue()) is not None, 60, "it says so")


def test_a_step_that_fails_is_not_recorded_and_its_watch_ends(cache: Path) -> None:
    recorder, _ = steps()
    with pytest.raises(ValueError, match="no"), recorder.step("cluster"):
        raise ValueError("no")
    assert recorder.taken == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"seconds": 1}', '{"seconds": {"a": "b"}}'])
def test_a_spoilt_file_counts_as_no_run(cache: Path, text: str) -> None:
    cache.parent.mkdir()
    cache.write_text(text)
    assert steps()[0].last == {}


def test_a_machine_that_never_did_it_knows_the_committed_times(cache: Path) -> None:
    first, _ = steps()
    first.record("tool: kafka 1", 100.0)
    first.record("pulumi up", 200.0)
    first.save()
    assert timing.commit() == ["make up"]
    cache.unlink()
    second, out = steps()
    with second.step("tool: kafka 1"):
        pass
    assert ".. tool: kafka 1 (about 100 s; 300 s left)" in out.getvalue()


def test_what_is_done_once_is_remembered_and_not_counted_when_it_is_there(cache: Path) -> None:
    first, _ = steps()
    first.record("cluster", 5.0)
    first.record("tool: kafka 1", 100.0)
    first.record("pulumi up", 200.0)
    first.save()
    second, _ = steps()
    second.skip("tool: kafka 1")
    assert second.left("cluster") == 205.0
    second.record("pulumi up", 210.0)
    second.save()
    assert steps()[0].last == {"tool: kafka 1": 100.0, "pulumi up": 210.0}
