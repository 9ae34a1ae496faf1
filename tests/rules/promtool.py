"""The real promtool."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.toolchain import tools

_GO = {"GOGC": "off", "GOMEMLIMIT": "256MiB", "GOMAXPROCS": "1"}
"""A test of rules is a short program that mostly allocates, and does one thing after the other: with Go's defaults a
third of it is garbage collection."""
_BEGINS = re.compile(r"^Processing test file: (.*)$\n", re.MULTILINE)
_PASSED = "  SUCCESS"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end; what it prints and what it complains of are in its order, in one text."""
    command = [str(tools.path("promtool")), *arguments]
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, **_GO},
    )


def accepted(*arguments: str) -> None:
    """Run promtool; its complaint is the failure."""
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout[-8000:]


def verdicts(files: Iterable[Path]) -> dict[Path, str]:
    """Run files of tests in one promtool, whose start takes longer than most files.

    Returns:
        File -> what promtool has against it; empty where all of the file's tests passed.
    """
    paths = list(files)
    done = promtool("test", "rules", *map(str, paths))
    _, *parts = _BEGINS.split(done.stdout)
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    judged = {path: said.get(str(path), f"not run:\n{done.stdout[-4000:]}") for path in paths}
    failed = {path: text for path, text in judged.items() if text.strip("\n") != _PASSED}
    assert (done.returncode == 0) == (not failed), done.stdout[-8000:]
    return {path: failed.get(path, "") for path in paths}
