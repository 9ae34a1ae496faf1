"""Leaves the times of ``.ci/run`` and ``make check`` as evidence where ``OBS_EVIDENCE=1``.

``python -m tests.ci CODE STEP=SECONDS ...``: CODE is the exit code of ``.ci/run``; the steps are those that ran, in
their order. A run that failed leaves a file, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.timing import EVIDENCE_VARIABLE
from ops.evidence import files as evidence
from ops.evidence.files import Evidence

NAME = "ci-run"
CHECK = "make-check"


def leave(code: int, steps: Sequence[str]) -> Evidence | None:
    """Write the evidence of a run that ends now; None where nobody asks for it.

    Args:
        code: Exit code of the run.
        steps: ``STEP=SECONDS`` for each step that ran.

    Raises:
        ValueError: A step has no whole number of seconds.
    """
    taken = {name: int(seconds) for name, _, seconds in (step.rpartition("=") for step in steps)}
    problem = f"exit code {code}, after {', '.join(taken) or 'nothing'}"
    return _left(NAME, sum(taken.values()), {"steps s": taken}, problem if code else "")


def leave_check(code: int, seconds: float, counts: Mapping[str, int]) -> Evidence | None:
    """Write the evidence of a ``make check`` that ends now; None where nobody asks for it.

    Args:
        code: Its exit code.
        seconds: How long it took.
        counts: Of what it looked at.
    """
    return _left(CHECK, round(seconds, 1), counts, f"exit code {code}" if code else "")


def _left(name: str, total_s: float, figures: Mapping[str, Any], problem: str) -> Evidence | None:
    if os.environ.get(EVIDENCE_VARIABLE) != "1":
        return None
    return evidence.write(
        name,
        figures={"total s": total_s, **figures},
        kube=None,
        passed=not problem,
        problems=[problem] if problem else [],
        started=datetime.now(UTC) - timedelta(seconds=total_s),
    )


if __name__ == "__main__":
    leave(int(sys.argv[1]), sys.argv[2:])
