"""A kubeconfig in which two contexts have changed places, as an operator of two regions may have it by mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.core.files import write_private

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
