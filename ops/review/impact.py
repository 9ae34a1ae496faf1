"""Consequences of a change, by impact."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Impact(StrEnum):
    """Impact of a consequence; the comment has a heading for each, in this order."""

    LOSS = "Data at risk"
    REFUSED = "Refused"
    REPLACED = "Replaced: deleted and made anew"
    RESTARTS = "Pods that restart (steps one after the other, within a step at the same time)"
    AMOUNT = "Pods and partitions that come or go"
    NOTE = "Good to know"


@dataclass(frozen=True)
class Cost:
    """One consequence, as a sentence without a final full stop."""

    impact: Impact
    text: str
