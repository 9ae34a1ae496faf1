"""Every drill by its name."""

from __future__ import annotations

from ops.core.errors import OpsError
from ops.drills.drills_alerting import ALERTING
from ops.drills.drills_flow import FLOW
from ops.drills.drills_recovery import RECOVERY
from ops.drills.drills_traces import TRACES
from ops.drills.model import Drill

DRILLS: tuple[Drill, ...] = (*FLOW, *ALERTING, *TRACES, *RECOVERY)

SHOWN: dict[str, str] = {drill.name: drill.shows for drill in DRILLS}
"""Name -> what it shows."""


def find(name: str) -> Drill:
    """A drill by its name.

    Raises:
        OpsError: There is none of that name.
    """
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise OpsError(f"no drill {name!r}: use one of {', '.join(SHOWN)}; `ops drill list` tells what each shows")
