"""What a drill is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Aspect(StrEnum):
    """What a report tells, in its order."""

    STEADY = "steady state"
    FAULT = "fault"
    DETECTION = "detection"
    RECOVERY = "recovery"
    RTO = "RTO"
    RPO = "RPO"
    ALERTS = "alerts raised"
    NOTIFICATIONS = "notices sent"
    DASHBOARDS = "dashboards' answers"


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One drill that can be had.

    Attributes:
        name: As the command is called.
        shows: What holds when it passes, in one line.
        requirements: Ids of the requirements that it shows.
        procedure: What carries it out, as ``module:function``: see `ops.drills.procedure`.
        evidence: Name of the evidence that it writes.
        seconds: How long it takes, about.
        limit_s: Seconds after which it is ended.
        load: What runs meanwhile.
        fault: What is taken away.
        figures: Aspect -> texts about it, with names of figures of the evidence in braces.
        watched: Whether pods, partitions and panels are looked at from outside meanwhile.
        looked_at: Whether it starts only on a platform that is steady as a whole. A drill of two regions looks at both
            itself, and parts of them may be scaled down.
    """

    name: str
    shows: str
    requirements: tuple[str, ...]
    procedure: str
    evidence: str
    seconds: int
    limit_s: int
    load: str
    fault: str
    figures: Mapping[Aspect, tuple[str, ...]] = field(default_factory=dict)
    watched: bool = True
    looked_at: bool = True
