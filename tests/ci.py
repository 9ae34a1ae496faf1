"""Runs ``.ci/run`` several times in a row on one commit and leaves the table of step times as evidence.

``python -m tests.ci --runs 3`` ends with exit code 0 only when every run passed in time. A run that fails ends the
series: what was seen until then is kept too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.evidence import files as evidence

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "run"
NAME = "ci-runs"
LIMIT_S = 90 * 60.0
"""Ends a run that hangs; it takes down what it brought up."""
_HEADER = re.compile(r"step +seconds +result")
_ROW = re.compile(r"(?P<step>[a-z0-9-]+) +(?P<seconds>\d+) +(?P<result>passed|failed \(\d+\))")


@dataclass(frozen=True)
class Run:
    """One run: its exit code, and the seconds of each step by the table that it ends with."""

    code: int
    seconds: Mapping[str, int]


def table(lines: list[str]) -> dict[str, int]:
    """Step -> seconds of the table at the end of ``.ci/run``; empty where it has none."""
    begins = [number for number, line in enumerate(lines) if _HEADER.fullmatch(line.strip())]
    if not begins:
        return {}
    rows = [row for line in lines[begins[-1] + 1 :] if (row := _ROW.fullmatch(line.strip()))]
    return {row["step"]: int(row["seconds"]) for row in rows}


def run(script: Path = SCRIPT, limit_s: float = LIMIT_S) -> Run:
    """Run ``.ci/run`` once; what it says is relayed."""
    lines: list[str] = []
    process = subprocess.Popen([str(script)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    ended = threading.Timer(limit_s, process.terminate)
    ended.daemon = True
    ended.start()
    assert process.stdout is not None
    with process.stdout as said:
        for line in said:
            print(line, end="", flush=True)
            lines.append(line)
    process.wait()
    ended.cancel()
    return Run(process.returncode, table(lines))


def series(wanted: int, script: Path = SCRIPT) -> list[Run]:
    """So many runs, one after the other; the first that fails is the last."""
    runs: list[Run] = []
    while len(runs) < wanted and not (runs and runs[-1].code):
        print(f"== .ci/run, {len(runs) + 1} of {wanted}", flush=True)
        runs.append(run(script))
    return runs


def figures(runs: list[Run], wanted: int) -> dict[str, Any]:
    """What the runs took, by step, in their order."""
    steps = list(dict.fromkeys(step for done in runs for step in done.seconds))
    return {
        "runs": wanted,
        "green": sum(done.code == 0 for done in runs),
        "longest s": max((done.seconds.get("all", 0) for done in runs), default=0),
        "longest make test s": max((done.seconds.get("test", 0) for done in runs), default=0),
        "seconds by step": {step: [done.seconds.get(step) for done in runs] for step in steps},
    }


def main(arguments: list[str]) -> int:
    """Run the series, write the evidence; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.ci", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, choices=range(1, 11))
    wanted = parser.parse_args(arguments).runs
    started = datetime.now(UTC)
    runs = series(wanted)
    failed = [f"run {number} ended with {done.code}" for number, done in enumerate(runs, 1) if done.code]
    written = evidence.write(
        NAME, figures=figures(runs, wanted), kube=None, passed=not failed, problems=failed, started=started
    )
    print(written.summary())
    return 0 if written.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
