"""Commands of `ops` as an operator gives them, each in a process of its own; and a kubeconfig in which two contexts
have changed places, as an operator of two regions may have it by mistake.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ops.core.errors import OpsError, one_line
from ops.core.files import write_private
from ops.core.interrupts import uninterrupted
from ops.core.platform import PROJECT
from ops.core.pulumi import ENDS_S

LIMIT_S: Final = 600.0
IDENTITY_MARK: Final = "AGE-SECRET-KEY"
_MOST_SHOWN: Final = 280
_SPARE_S: Final = 30.0


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
    process = subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise OpsError(f"{shown} took over {limit_s:.0f} s and was ended") from None
    finally:
        _end(process)
    if IDENTITY_MARK in out + err:
        raise OpsError(f"{shown} shows an identity that opens backups")
    if process.returncode not in good:
        said = [line for line in (out + err).splitlines() if line.strip()]
        raise OpsError(f"{shown} failed ({process.returncode}): {one_line(' '.join(said[-3:]), _MOST_SHOWN)}")
    return out


def _end(process: subprocess.Popen[str]) -> None:
    """End a command as Ctrl-C does, so that it ends what it has begun itself, for example an update of the stack."""
    with uninterrupted():
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=ENDS_S + _SPARE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


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


_LIMIT_S = 30.0


def write_swapped(file: Path, one: str, other: str) -> None:
    """Write the kubeconfig that is in use, with two of its contexts swapped.

    Args:
        file: Where to; only its owner may read it.
        one: Name of a context.
        other: Name of another one.

    Raises:
        OpsError: There is no kubeconfig with both.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise OpsError("`kubectl` is not on PATH")
    command = [program, "config", "view", "--raw", "--flatten", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise OpsError(f"kubectl config view failed: {one_line(done.stderr)}")
    write_private(file, json.dumps(swapped(json.loads(done.stdout), one, other)).encode())


def swapped(kubeconfig: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    """A kubeconfig in which each of two contexts leads to where the other one did.

    Raises:
        OpsError: It does not have both.
    """
    leads = {entry["name"]: entry["context"] for entry in kubeconfig["contexts"]}
    missing = sorted({one, other} - leads.keys())
    if missing:
        raise OpsError(f"the kubeconfig has no context {' and no '.join(missing)}")
    leads[one], leads[other] = leads[other], leads[one]
    return {**kubeconfig, "contexts": [{"name": name, "context": context} for name, context in leads.items()]}
