"""What a drill is, as data, and how figures of an evidence file read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NOT_MEASURED = "not measured"
_NAMED = re.compile(r"\{([^{}]+)\}")


class Aspect(StrEnum):
    """What a report tells, in its order."""

    STEADY = "steady state"
    FAULT = "fault"
    DETECTION = "detection"
    RECOVERY = "recovery"
    RTO = "RTO"
    RPO = "RPO"
    ALERTS = "alerts raised"
    NOTICES = "notices sent"
    DASHBOARDS = "dashboards' answers"


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One drill that can be had.

    Attributes:
        name: As the command is called.
        shows: What holds when it passes, in one line.
        requirements: Ids of the requirements that it shows.
        test: Node id of the end-to-end test that does it.
        evidence: Name of the evidence file that the test writes.
        seconds: How long it takes, about.
        limit_s: Seconds after which it is ended; not less than the test's own limit.
        load: What runs meanwhile.
        fault: What is taken away.
        figures: Aspect -> texts about it, with names of figures of the evidence in braces.
        watched: Whether pods, partitions and panels are looked at from outside meanwhile.
        looked_at: Whether it starts only on a platform that is steady as a whole. A drill of two regions looks at both
            itself, and parts of them may be set aside.
    """

    name: str
    shows: str
    requirements: tuple[str, ...]
    test: str
    evidence: str
    seconds: int
    limit_s: int
    load: str
    fault: str
    figures: Mapping[Aspect, tuple[str, ...]] = field(default_factory=dict)
    watched: bool = True
    looked_at: bool = True


def told(figures: Mapping[str, Any], texts: Iterable[str]) -> list[str]:
    """Texts with their figures, in their order; one of whose figures is not there is left out."""
    return [found for text in texts if (found := filled(text, figures)) is not None]


def filled(text: str, figures: Mapping[str, Any]) -> str | None:
    """A text with the figure of each name in braces in its place (``a/b``: b within a); None when one is missing."""
    values = {name: _figure(figures, name) for name in named(text)}
    if None in values.values():
        return None
    return _NAMED.sub(lambda found: plain(values[found[1]]), text)


def named(text: str) -> list[str]:
    """Names of the figures in a text."""
    return _NAMED.findall(text)


def _figure(figures: Mapping[str, Any], name: str) -> object:
    found: object = figures
    for part in (name,) if name in figures else name.split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def plain(value: object) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {plain(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
