"""Commands of `ops` as an operator gives them, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT

LIMIT_S: Final = 600.0
IDENTITY_MARK: Final = "AGE-SECRET-KEY"
_MOST_SHOWN: Final = 280


def ops(*words: str, good: Sequence[int] = (0,), limit_s: float = LIMIT_S) -> str:
    """Give a command; what it prints to standard output.

    Args:
        words: The command.
        good: Exit codes that are no failure.
        limit_s: Seconds that it has.

    Raises:
        OpsError: It fails, takes too long, or shows an identity that opens backups.
    """
    shown = f"`ops {' '.join(words)}`"
    command = [sys.executable, "-m", "ops", *words]
    try:
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"{shown} took over {limit_s:.0f} s and was ended") from None
    if IDENTITY_MARK in done.stdout + done.stderr:
        raise OpsError(f"{shown} shows an identity that opens backups")
    if done.returncode not in good:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise OpsError(f"{shown} failed ({done.returncode}): {one_line(' '.join(said[-3:]), _MOST_SHOWN)}")
    return done.stdout


def ops_json(*words: str, good: Sequence[int] = (0,)) -> dict[str, Any]:
    """The same for a command that prints JSON.

    Raises:
        OpsError: As `ops` says, or it prints none.
    """
    text = ops(*words, "--json", good=good)
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        raise OpsError(f"`ops {' '.join(words)} --json` printed no JSON: {one_line(text)}") from None
    return document
