"""Every drill by its name, and those that cannot be had, with the reason."""

from __future__ import annotations

from ops.drill.drills_flow import FLOW
from ops.drill.drills_people import PEOPLE
from ops.drill.drills_recovery import RECOVERY
from ops.drill.drills_traces import TRACES
from ops.drill.model import Drill, Refused
from ops.errors import OpsError

DRILLS: tuple[Drill, ...] = (*FLOW, *PEOPLE, *TRACES, *RECOVERY)

REFUSED: tuple[Refused, ...] = (
    Refused(
        name="zone",
        shows="a zone gone: two of three of everything go on",
        requirements=("K1", "D3"),
        why="a zone can be taken away only where nodes stand in several, and no test does it: the embedded cluster is "
        "one node; that pods are spread over zones is checked by policies alone",
    ),
    Refused(
        name="certificate",
        shows="certificates renewed on the live platform",
        requirements=("K5",),
        why="no test renews certificates on the live platform: that servers take up a renewed one is tested with each "
        "server alone (tests/config), and Kafka's brokers read theirs only when they start",
    ),
)

SHOWN: dict[str, str] = {
    **{each.name: each.shows for each in DRILLS},
    **{each.name: each.shows for each in REFUSED},
}
"""Name -> what it shows, of all that can be asked for."""


def find(name: str) -> Drill:
    """A drill by its name.

    Raises:
        OpsError: There is none, or it cannot be had; the message says why.
    """
    for refused in REFUSED:
        if refused.name == name:
            raise OpsError(f"no drill of {name} can be had here: {refused.why}")
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise OpsError(f"no drill {name!r}: use one of {', '.join(SHOWN)}; `ops drill list` tells what each shows")
