"""The drill of a change: one number is edited, and anything else in the review or the preview is a problem."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.telemetry.thresholds import THRESHOLDS
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.drills.procedures import change
from ops.drills.procedures.change import FILE, NAME, edited, in_preview, in_words, project, run

BATTERY = next(threshold for threshold in THRESHOLDS if threshold.name == NAME)


def test_one_number_in_one_file_is_edited(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yaml"
    before = (PROJECT / FILE).read_text()
    file.write_text(before)
    limit = edited(file, BATTERY)
    assert limit == pytest.approx(BATTERY.limit * 1.5)
    lines = [
        (old, new) for old, new in zip(before.splitlines(), file.read_text().splitlines(), strict=True) if old != new
    ]
    assert lines == [(f"    limit: {BATTERY.limit:g}", f"    limit: {limit:g}")]
    with pytest.raises(OpsError, match=f"thresholds.yaml has no threshold {NAME} with the limit"):
        edited(file, BATTERY)


def test_a_view_has_the_checkouts_files_and_the_live_stacks_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, checkout = tmp_path / "live", tmp_path / "checkout"
    for folder, text in ((live, "live"), (checkout, "committed")):
        folder.mkdir()
        for name in ("Pulumi.yaml", "Pulumi.local.yaml", "__main__.py", ".git"):
            (folder / name).write_text(text)
    monkeypatch.setenv("PULUMI_OPTION_CWD", str(live))
    view = project(checkout, tmp_path / "view")
    contents = {entry.name: entry.read_text() for entry in view.iterdir()}
    assert contents == {"Pulumi.yaml": "committed", "Pulumi.local.yaml": "live", "__main__.py": "committed"}


@pytest.mark.parametrize(
    ("sentences", "problems"),
    [
        (["DeviceBatteryLow fires below 30 % instead of 20 %."], 0),
        (["DeviceBatteryLow fires below 31 % instead of 20 %."], 1),
        (["DeviceBatteryLow fires below 30 %.", "A topic goes."], 1),
        ([], 1),
    ],
)
def test_a_review_says_the_new_limit_and_nothing_of_anything_else(sentences: list[str], problems: int) -> None:
    assert len(in_words(0.3, sentences)) == problems


URN = "urn:pulumi:local::observability::kubernetes:core/v1:ConfigMap::"


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ({"prometheus-rules": "update", "failover-agent": "update"}, ""),
        ({}, "the preview shows no change"),
        ({"prometheus-rules": "replace"}, "the preview does more than update: ['replace']"),
        ({"prometheus-rules": None}, "the preview does more than update: ['None']"),
        ({"kafka": "update", "prometheus-rules": "update"}, "something else changes: kafka"),
    ],
)
def test_a_preview_updates_what_a_threshold_is_part_of(steps: dict[str, str | None], problem: str) -> None:
    assert in_preview({f"{URN}{name}": step for name, step in steps.items()}) == ([problem] if problem else [])


def test_a_command_that_fails_or_takes_too_long_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, sys.executable, "-c", "import os; print(os.environ['PYTHONPATH'])") == f"{tmp_path}\n"
    with pytest.raises(OpsError, match="no such stack"):
        run(tmp_path, sys.executable, "-c", "import sys; sys.exit('no such stack')")
    monkeypatch.setattr(change, "LIMIT_S", 0.2)
    with pytest.raises(OpsError, match="took over 0 s"):
        run(tmp_path, sys.executable, "-c", "import time; time.sleep(30)")


def test_the_scratch_checkout_is_gone_afterwards() -> None:
    with change.scratch() as checkout:
        assert (checkout / FILE).is_file()
    assert not checkout.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert str(checkout) not in listed.stdout
