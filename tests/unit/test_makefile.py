"""What targets print is theirs alone: the set-up that they depend on speaks on standard error."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.run import ROOT

_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\necho a notice of pip\\ncat "$5" > /dev/null\\n' > "$3/bin/pip"
    chmod +x "$3/bin/pip"
else
    exec {python} "$@"
fi
"""


def test_setting_up_says_nothing_on_standard_output(tmp_path: Path) -> None:
    python = shutil.which("python3.11")
    assert python is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.11").write_text(_PYTHON.format(python=python))
    (tmp_path / "bin" / "python3.11").chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        "OBS_CACHE": str(tmp_path / "cache"),
        "PATH": os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"])),
    }
    command = ["make", "--silent", "-C", str(ROOT), "venv"]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        for _ in range(2)
    )
    [folder] = (tmp_path / "cache").iterdir()
    assert first.stdout == second.stdout == f"{folder}\n"
    assert first.stderr == f"python environment in {folder} ...\na notice of pip\n"
    assert second.stderr == ""
