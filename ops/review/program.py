"""Evaluates every stack of a revision, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ops.core.errors import OpsError, one_line
from ops.review import evaluate
from ops.review.model import StackPlan, stack_plan

_LIMIT_S = 120
_LONGEST = 300


def stacks(root: Path) -> list[str]:
    """Names of the stacks that a checkout has files for."""
    return sorted(file.name.split(".")[1] for file in root.glob("Pulumi.*.yaml") if file.name.count(".") == 2)


def plan(root: Path, stack: str, called: str) -> StackPlan:
    """Run the program of a checkout for a stack; empty when it has no such stack.

    Args:
        root: The checkout.
        stack: Name of the stack.
        called: What a message calls the checkout.

    Raises:
        OpsError: The program fails, or does not end.
    """
    if not (root / f"Pulumi.{stack}.yaml").exists():
        return StackPlan(stack)
    command = [sys.executable, "-P", evaluate.__file__, stack, "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"the program of {called} did not end within {_LIMIT_S} s for stack {stack}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
        raise OpsError(
            f"the program of {called} fails for stack {stack}: {one_line(reason.removeprefix('error: '), _LONGEST)}"
        )
    return stack_plan(json.loads(done.stdout))
