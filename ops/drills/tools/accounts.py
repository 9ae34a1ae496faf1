"""Bookkeeping of a load: what was acknowledged, what arrived, what is missing, as figures and as sentences."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from ops.core.errors import OpsError

Number = tuple[int, int]
"""Worker and its own running number."""


@dataclass
class Ledger:
    """Acknowledged, given-up and repeated numbers of a load; workers write to it side by side."""

    acknowledged: dict[Number, float] = field(default_factory=dict)
    given_up: set[Number] = field(default_factory=set)
    repeated: set[Number] = field(default_factory=set)
    retries: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def acknowledge(self, numbers: Iterable[Number], at: float) -> None:
        """The platform said that it has these."""
        with self._lock:
            self.acknowledged.update(dict.fromkeys(numbers, at))

    def give_up(self, numbers: Iterable[Number]) -> None:
        """Nobody said that they arrived; they may have."""
        with self._lock:
            self.given_up.update(numbers)

    def retry(self, problem: str, numbers: Iterable[Number] = ()) -> None:
        """One refused or failed attempt, and what may have arrived by it nevertheless."""
        with self._lock:
            self.retries += 1
            self.repeated.update(numbers)
            self.problems[problem] = self.problems.get(problem, 0) + 1

    def missing(self, numbers: Iterable[Number]) -> set[Number]:
        """Acknowledged numbers that are not among ``numbers``."""
        with self._lock:
            return set(self.acknowledged) - set(numbers)

    def between(self, start: float, end: float) -> set[Number]:
        """Numbers acknowledged in a span of time."""
        with self._lock:
            return {number for number, at in self.acknowledged.items() if start <= at <= end}

    def count_between(self, start: float, end: float) -> int:
        """How many numbers were acknowledged in a span of time."""
        return len(self.between(start, end))

    def longest_gap(self, start: float, end: float) -> float:
        """Longest time without an acknowledgement, in seconds."""
        with self._lock:
            times = sorted({start, end, *(at for at in self.acknowledged.values() if start <= at <= end)})
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


def gaps(times: Iterable[float], most: float) -> list[tuple[float, float]]:
    """Neighbours in ``times`` that are further apart than ``most`` seconds."""
    ordered = sorted(times)
    return [(a, b) for a, b in pairwise(ordered) if b - a > most]


class Counted(Protocol):
    """A load that keeps a ledger of what it sent."""

    ledger: Ledger


def account(figures: dict[str, Any], label: str, load: Counted, missing: int) -> list[str]:
    """Note what a load sent and what is missing; a problem where something is, or where nothing was acknowledged."""
    acknowledged = len(load.ledger.acknowledged)
    figures[f"{label} acknowledged"] = acknowledged
    figures[f"{label} missing"] = missing
    figures[f"{label} retries"] = load.ledger.retries
    return unmet(
        (acknowledged > 0, f"{label}: nothing was acknowledged"),
        (missing == 0, f"{label}: {missing} of {acknowledged} acknowledged are missing"),
    )


def all_arrived(load: Counted, missing: Mapping[str, Collection[Number]]) -> list[tuple[bool, str]]:
    """Conditions for `unmet`: something was acknowledged, and every store has all of it.

    Args:
        load: What was sent.
        missing: As `OtlpLoad.missing` tells it.
    """
    return [
        (bool(load.ledger.acknowledged), "no point was acknowledged"),
        *(
            (not numbers, f"{len(numbers)} acknowledged points are not in {place}")
            for place, numbers in missing.items()
        ),
    ]


def unmet(*conditions: tuple[bool, str]) -> list[str]:
    """Sentences of the conditions that do not hold, of pairs of a condition and what to say where it does not."""
    return [sentence for holds, sentence in conditions if not holds]


def must(holds: bool, otherwise: str) -> None:
    """End with a sentence where a condition does not hold.

    Raises:
        OpsError: It does not.
    """
    if not holds:
        raise OpsError(otherwise)
