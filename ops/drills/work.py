"""The process in which ``ops drill NAME`` carries a drill out: ``python -m ops.drills.work NAME``.

Its last lines on standard output are `PASSED` with the drill's name, or `PROBLEM` with what did not hold, a line each.
Exit codes: 0 passed, 1 failed, 2 not run, 130 interrupted, after what was taken away was put back.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.platform import READS, limited
from ops.drills.procedure import LONGEST, CannotRunError, Drill, carry_out, settle

PASSED: Final = "PASSED "
PROBLEM: Final = "PROBLEM "
DONE, FAILED, NOT_RUN, INTERRUPTED = 0, 1, 2, 130


def attempt(drill: Drill) -> list[str]:
    """Carry a drill out on the platform of the selected stack; what did not hold.

    Raises:
        CannotRunError: The platform does not answer, is not settled, or lacks something that the drill needs.
    """
    try:
        with limited(READS["drill"]):
            platform = platform_module.load()
        kube = Kube.of(platform)
    except OpsError as error:
        raise CannotRunError(str(error)) from error
    with Context(platform, kube) as context:
        if drill.looked_at:
            try:
                settle(context)
            except OpsError as error:
                raise CannotRunError(str(error)) from error
        return carry_out(drill, context)


def main(drill: Drill, attempted: Callable[[Drill], list[str]] = attempt) -> int:
    """Carry a drill out in this process and tell how it went; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        problems = attempted(drill)
    except KeyboardInterrupt:
        print("interrupted: what was taken away was put back", flush=True)
        return INTERRUPTED
    except CannotRunError as error:
        print(f"ERROR: {one_line(error, LONGEST)}", flush=True)
        return NOT_RUN
    except Exception as error:
        traceback.print_exc()
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        print(f"{PROBLEM}{one_line(problem, LONGEST)}", flush=True)
    if not problems:
        print(f"{PASSED}{drill.name}", flush=True)
    return FAILED if problems else DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does; a second signal does not stop what puts things back."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    from ops.drills.run import find

    sys.exit(main(find(sys.argv[1])))
