"""The real promtool."""

from __future__ import annotations

import os
import subprocess

from lab.toolchain import tools

_GARBAGE = {"GOGC": "400"}
"""A test of rules is a short program that mostly allocates: with Go's default a third of it is garbage collection."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    command = [str(tools.path("promtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **_GARBAGE})


def accepted(*arguments: str) -> None:
    """Run promtool; its complaint is the failure."""
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
