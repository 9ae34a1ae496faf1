"""Uptime from lines of shares: each point says which share of the step before it something was up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WHOLE = 1 - 1e-9


@dataclass(frozen=True, kw_only=True)
class Uptime:
    """How long something was up.

    Attributes:
        share: Share of the observed time; None where nothing was observed.
        down_s: Seconds that it was not.
        longest_s: Longest time on end with something down in each step.
        observed_s: Seconds of which anything is known.
        known: Share of the asked time of which anything is known.
    """

    share: float | None
    down_s: float
    longest_s: float
    observed_s: float
    known: float


def uptime(points: Sequence[tuple[float, float]], step: float, asked_s: float) -> Uptime:
    """Uptime of a line.

    Args:
        points: End of each step and the share of it that it was up.
        step: Seconds between points.
        asked_s: Length of the time that was asked for.
    """
    observed = len(points) * step
    down = [(at, (1 - min(max(value, 0.0), 1.0)) * step) for at, value in points]
    longest = run = 0.0
    last = None
    for at, seconds in down:
        joined = last is not None and at - last <= step * 1.5
        run = (run if joined else 0.0) + seconds if seconds > step * (1 - _WHOLE) else 0.0
        longest, last = max(longest, run), at
    lost = sum(seconds for _, seconds in down)
    return Uptime(
        share=1 - lost / observed if observed else None,
        down_s=lost,
        longest_s=longest,
        observed_s=observed,
        known=min(observed / asked_s, 1.0) if asked_s > 0 else 0.0,
    )
