"""Runs pytest; what fails gets one second look, alone, and is named even when it passes then.

Usage: ``python -m tests.run ARGUMENTS OF PYTEST``. Servers of three workers and of the tests themselves share the
cores: a deadline that is missed beside others says something about the machine, one that is missed alone about us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 5
"""Where more fail there is no second look: that is no accident."""
SECOND_LOOK = "OBS_SECOND_LOOK"
"""Set during the second look, for evidence that is written then."""
_SOME_FAILED = 1
_CACHE = ".pytest_cache/run"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run, and look again at what failed.

    Returns:
        Exit code of pytest: of the second look where there was one.
    """
    cache = root / _CACHE
    common = [*arguments, "-o", f"cache_dir={cache}"]
    code = _pytest([*common, "--cache-clear"], root)
    failed = _failed(cache)
    if code != _SOME_FAILED or not 0 < len(failed) <= LIMIT:
        return code
    print(f"\n== second look at {len(failed)} that failed, alone", flush=True)
    again = _pytest([*common, "--last-failed", "--last-failed-no-failures=none", "-n0"], root, {SECOND_LOOK: "1"})
    remain = _failed(cache) if again else []
    for name in failed:
        print(f"{'failed twice' if name in remain else 'unsteady: passed alone only'}: {name}", flush=True)
    return again


def _pytest(arguments: Sequence[str], root: Path, more: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=root, env={**os.environ, **(more or {})}, check=False).returncode


def _failed(cache: Path) -> list[str]:
    file = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(file.read_text())) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
