"""Notification timing, as data: the times of Alertmanager's routes, and what lies between a fault and a notification.

Routes, the command line of Alertmanager, escalations and the tests of all of them read these times here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from components.alerting.durations import milliseconds
from components.rules import RuleGroup, Severity

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
