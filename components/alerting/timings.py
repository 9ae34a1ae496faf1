"""Durations as Prometheus and Alertmanager write them (``90s``, ``1h30m``), and the timing of notifications, as data.

Routes, the command line of Alertmanager, escalations and the tests of all of them read here the times of Alertmanager's
routes, and what lies between a fault and a notification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from components.rules import RuleGroup, Severity

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


PEER_TIMEOUT_S: Final = 3
"""Seconds that the second Alertmanager waits for the first one, which may be gone (docs/adr/0012)."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When a group of alerts is told, as Prometheus durations.

    Attributes:
        group_wait: Before the first notification, so that alerts of one cause are in one notification.
        group_interval: Before news of the group (another alert, one that resolved); also between attempts.
        repeat_interval: Before the same is told again.
    """

    group_wait: str
    group_interval: str
    repeat_interval: str

    def data(self) -> dict[str, str]:
        """As a route has it."""
        return {
            "group_wait": self.group_wait,
            "group_interval": self.group_interval,
            "repeat_interval": self.repeat_interval,
        }


TIMINGS: Final[Mapping[Severity, Timing]] = MappingProxyType(
    {
        Severity.CRITICAL: Timing(group_wait="1s", group_interval="15s", repeat_interval="1h"),
        Severity.HIGH: Timing(group_wait="10s", group_interval="1m", repeat_interval="4h"),
        Severity.MEDIUM: Timing(group_wait="2m", group_interval="5m", repeat_interval="24h"),
        Severity.LOW: Timing(group_wait="1m", group_interval="5m", repeat_interval="24h"),
    }
)

FIRST_WITHIN: Final[Mapping[Severity, str]] = MappingProxyType({Severity.HIGH: "2m", Severity.MEDIUM: "1h"})
"""Longest time to a first notification (S2, 6.2). For Critical: 30 s in 95 of 100 cases; docs/adr/0012 counts them."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a fault and its notification may spend on their way at worst, as Prometheus durations (docs/adr/0012).

    Attributes:
        arrival: From the fault to its sample in Prometheus: until the next scrape or export.
        delivery: From Prometheus to Alertmanager, and from there through the channel.
        members: What the second Alertmanager waits for the first one.
        timings: What the routes wait, by priority.
    """

    arrival: str = "15s"
    delivery: str = "2s"
    members: str = f"{PEER_TIMEOUT_S}s"
    timings: Mapping[Severity, Timing] = field(default_factory=lambda: TIMINGS)

    def longest_ms(self, severity: Severity, group: RuleGroup) -> int:
        """Milliseconds from a fault to the notification of an alert that does not wait, at worst.

        Args:
            severity: Priority of the alert.
            group: Its rules, which are evaluated at an interval.
        """
        parts = (self.arrival, group.interval, self.timings[severity].group_wait, self.members, self.delivery)
        return sum(map(milliseconds, parts))
