"""Bookkeeping of sequence numbers: what was acknowledged, what arrived, what is missing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

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
        """Acknowledged numbers that are not among ``found``."""
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
