"""A line of a check: what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

_SHOWN: Final = 6


class State(StrEnum):
    """What a check says; only ``fail`` makes the exit code 1. ``warn``: look at it, it may be right as it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a check found, and what to do about it."""

    check: str
    state: State
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The line for machines."""
        return {name: str(value) for name, value in asdict(self).items()}


def ok(check: str, detail: str) -> Line:
    """It is as it has to be."""
    return Line(check=check, state=State.OK, detail=detail)


def fail(check: str, detail: str, remedy: str) -> Line:
    """Without the remedy the platform does not come up."""
    return Line(check=check, state=State.FAIL, detail=detail, remedy=remedy)


def warn(check: str, detail: str, remedy: str) -> Line:
    """It may be right as it is."""
    return Line(check=check, state=State.WARN, detail=detail, remedy=remedy)


def some(values: Sequence[str]) -> str:
    """The first few of many."""
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return f"{', '.join(values[:_SHOWN])}{more}"
