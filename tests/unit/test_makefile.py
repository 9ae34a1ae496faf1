"""What targets print is theirs alone: the set-up that they depend on speaks on standard error."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.run import ROOT

_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\ncat "$5" > /dev/null\\n{pip}\\n' > "$3/bin/pip"
    chmod +x "$3/bin/pip"
else
    exec {python} "$@"
fi
"""

_COMMAND = ("make", "--silent", "-C", str(ROOT), "venv")


def _environment(folder: Path, pip: str) -> dict[str, str]:
    """Variables with which an environment is made in a folder, by a pip that runs a line of shell."""
    python = shutil.which("python3.11")
    assert python is not None
    (folder / "bin").mkdir()
    (folder / "bin" / "python3.11").write_text(_PYTHON.format(python=python, pip=pip))
    (folder / "bin" / "python3.11").chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        "OBS_CACHE": str(folder / "cache"),
        "PATH": os.pathsep.join((str(folder / "bin"), os.environ["PATH"])),
    }


def test_setting_up_says_nothing_on_standard_output(tmp_path: Path) -> None:
    environment = _environment(tmp_path, "echo a notice of pip")
    first, second = (
        subprocess.run(_COMMAND, env=environment, capture_output=True, text=True, timeout=60, check=True)
        for _ in range(2)
    )
    [folder] = (tmp_path / "cache").iterdir()
    assert first.stdout == second.stdout == f"{folder}\n"
    assert first.stderr == f"python environment in {folder} ...\na notice of pip\n"
    assert second.stderr == ""


def test_one_that_was_killed_is_waited_for_by_the_next(tmp_path: Path) -> None:
    told, go = tmp_path / "told", tmp_path / "go"
    pip = f"echo begins >> {told}; until [ -e {go} ]; do sleep 0.1; done; echo ends >> {told}"
    environment = _environment(tmp_path, pip)
    with subprocess.Popen(_COMMAND, env=environment, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 60
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        first.terminate()
    with subprocess.Popen(_COMMAND, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as second:
        assert second.stderr is not None
        assert second.stderr.readline().startswith(b"python environment in")
        time.sleep(0.5)
        go.touch()
        assert second.wait(60) == 0
    assert told.read_text().split() == ["begins", "ends", "begins", "ends"]
