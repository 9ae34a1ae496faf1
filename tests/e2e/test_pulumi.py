"""The program on the live stack: no changes the second time, previews of other stacks, one line for mistakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from ops.core.context import Context
from ops.core.platform import PROJECT
from tests.support.results import recorded

NO_CHANGE_SECONDS = 90.0
"""What a look at the whole platform may take on the two cores that the platform itself uses."""
_WRONG_KEY = "no_such_setting"


def pulumi(*arguments: str, cwd: Path | None = None, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    """Run ``pulumi`` without questions and colours."""
    place = ["--cwd", str(cwd)] if cwd else []
    return subprocess.run(
        ["pulumi", *arguments, *place, "--non-interactive", "--color=never"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.timeout(600)
def test_after_up_a_preview_finds_nothing_to_change(settled: Context) -> None:
    """Read only: an `up` that finds a difference removes what it should have told of."""
    with recorded("pulumi-no-change", settled.kube) as figures:
        start = time.monotonic()
        done = pulumi("preview", "--diff", "--expect-no-changes")
        figures["seconds"] = round(time.monotonic() - start, 1)
        figures["target s"] = NO_CHANGE_SECONDS
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert figures["seconds"] <= NO_CHANGE_SECONDS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_the_other_stacks_preview(stack: str) -> None:
    known = pulumi("stack", "ls", "--json")
    assert known.returncode == 0, known.stderr
    for name in ("prod", "dr"):  # Each of them asks for the other's outputs.
        if f'"{name}"' not in known.stdout and f'/{name}"' not in known.stdout:
            process = pulumi("stack", "init", name, "--no-select")
            assert process.returncode == 0, process.stderr
    done = pulumi("preview", "--stack", stack)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "to create" in done.stdout


@pytest.mark.timeout(300)
def test_an_unknown_key_in_a_stack_file_is_one_clear_line(tmp_path: Path) -> None:
    copy = project_copy(tmp_path)
    file = copy / "Pulumi.local.yaml"
    settings = yaml.safe_load(file.read_text())
    key = next(key for key, value in settings["config"].items() if isinstance(value, dict) and "secure" not in value)
    settings["config"][key][_WRONG_KEY] = 1
    file.write_text(yaml.safe_dump(settings))
    done = pulumi("preview", "--stack", "local", cwd=copy)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert _WRONG_KEY in said
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if _WRONG_KEY in line]) <= 2, said


def project_copy(folder: Path) -> Path:
    """The project with its own stack files, as links; the salt of the live stack comes along."""
    live = Path(os.environ.get("PULUMI_OPTION_CWD", PROJECT))
    copy = folder / "project"
    copy.mkdir()
    for entry in live.iterdir():
        if entry.name.startswith("Pulumi.") and entry.name != "Pulumi.yaml":
            shutil.copy(entry, copy / entry.name)
        elif not entry.name.startswith("."):
            (copy / entry.name).symlink_to(entry.resolve())
    return copy
