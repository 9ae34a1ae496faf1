"""Leaves the times of ``.ci/run`` as evidence where ``OBS_EVIDENCE=1``: ``python -m tests.ci CODE STEP=SECONDS ...``.

CODE is the exit code of the run; the steps are those that ran, in their order. A run that failed leaves a file, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lab.timing import EVIDENCE_VARIABLE
from ops.evidence import files as evidence
from ops.evidence.files import Evidence

NAME = "ci-run"


def leave(code: int, steps: Sequence[str]) -> Evidence | None:
    """Write the evidence of a run that ends now; None where nobody asks for it.

    Args:
        code: Exit code of the run.
        steps: ``STEP=SECONDS`` for each step that ran.

    Raises:
        ValueError: A step has no whole number of seconds.
    """
    if os.environ.get(EVIDENCE_VARIABLE) != "1":
        return None
    taken = {name: int(seconds) for name, _, seconds in (step.rpartition("=") for step in steps)}
    total = sum(taken.values())
    return evidence.write(
        NAME,
        figures={"total s": total, "steps s": taken},
        kube=None,
        passed=code == 0,
        problems=[] if code == 0 else [f"exit code {code}, after {', '.join(taken) or 'nothing'}"],
        started=datetime.now(UTC) - timedelta(seconds=total),
    )


if __name__ == "__main__":
    leave(int(sys.argv[1]), sys.argv[2:])
