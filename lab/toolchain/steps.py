"""One step of a build: a command, its log, and its time limit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.errors import LabError

BUILD_LIMIT_S = 40 * 60


def run_logged(command: list[str], *, cwd: Path, log: Path, env: dict[str, str] | None = None) -> None:
    """Run one build step with its output in ``log``; a failure names the log and shows its end."""
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=BUILD_LIMIT_S,
                env={**os.environ, **(env or {})},
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]} is not on PATH: install it, then repeat") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"{' '.join(command[:3])} took over {BUILD_LIMIT_S // 60} min: see {log}") from None
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise LabError(f"{' '.join(command[:3])} failed with exit code {done.returncode}, log {log}:\n{tail}")
