"""Durations as Prometheus and Alertmanager write them: ``90s``, ``1h30m``, ``4h``."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_PATTERN: Final = re.compile("".join(rf"(?:(?P<{unit}>\d+){unit})?" for unit in _UNITS))
_WRITTEN: Final = ("d", "h", "m", "s", "ms")


def milliseconds(text: str) -> int:
    """Length of a duration, in milliseconds.

    Raises:
        ValueError: It is no duration.
    """
    match = _PATTERN.fullmatch(text) if text else None
    if text != "0" and match is None:
        raise ValueError(f"{text!r} is no duration: write for example 30s, 5m or 1h30m")
    groups = match.groupdict() if match else {}
    return sum(int(number) * _UNITS[unit] for unit, number in groups.items() if number)


def split(length_ms: int) -> tuple[tuple[int, str], ...]:
    """A length in milliseconds as numbers and units, the largest first: ``((1, "h"), (30, "m"))``.

    Raises:
        ValueError: It is negative.
    """
    if length_ms < 0:
        raise ValueError(f"{length_ms} ms is no length of time: a duration is not negative")
    parts = []
    for unit in _WRITTEN:
        number, length_ms = divmod(length_ms, _UNITS[unit])
        parts += [(number, unit)] if number else []
    return tuple(parts)


def duration(length_ms: int) -> str:
    """A length in milliseconds as a duration.

    Raises:
        ValueError: It is negative.
    """
    return "".join(f"{number}{unit}" for number, unit in split(length_ms)) or "0s"


def divided(text: str, divisor: int) -> str:
    """A duration that is ``divisor`` times shorter, to the millisecond.

    Raises:
        ValueError: It is no duration, or the divisor is not a positive number.
    """
    if divisor < 1:
        raise ValueError(f"a duration cannot be divided by {divisor}: take 1 or more")
    return duration(round(milliseconds(text) / divisor))
