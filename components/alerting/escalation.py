"""When people are notified of an alert, as data: durations as Prometheus writes them, the times of Alertmanager's
routes, and escalation by rules that raise an alert again (requirement A2, section 6.2; ADR 0013).

Routes, the command line of Alertmanager, escalations and the tests of all of them read here the times of Alertmanager's
routes, and what lies between a fault and a notification.

Alertmanager cannot escalate: it does not know who has seen a notification. So every alert that escalates has a twin,
``<Alert>Escalated``: the same condition, true for as much longer as people may take to acknowledge, and a label that
says whom to tell. Both carry the same ``alert_id``: one silence on it is the acknowledgement, and stops both.

The next contact has the notification *within* the delay, counted from the fault and at worst: a twin waits for the
delay less what the way of a notification may take (`Way`), and less what an evaluation rounds up.

The twins stand in the group of their original. Rules of a group are evaluated at the same instant, so a twin starts to
count anew exactly when its original does.

Where the expression is wide, what it returns is recorded first, and both read the record: one evaluation for the two
(ADR 0052).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Final

from components.rules import Alert, Recording, RuleGroup, Severity

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


ESCALATION_LABEL = "escalation"
"""Label of an escalated alert: the contact to tell."""
SUFFIX = "Escalated"

LEVELS: Final[Mapping[Severity, str]] = MappingProxyType(
    {
        Severity.CRITICAL: "senior-manager",
        Severity.HIGH: "on-call-engineer",
        Severity.MEDIUM: "team-leader",
    }
)
"""Whom an unacknowledged alert of a priority is escalated to. Low is in the daily report and goes no further."""

NEVER: Final = frozenset({"Watchdog"})
"""Alerts that fire when all is well."""

_WORDS: Final = {"d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}
_WORDS_JA: Final = {"d": "日", "h": "時間", "m": "分", "s": "秒", "ms": "ミリ秒"}


@dataclass(frozen=True, kw_only=True)
class EscalationDelays:
    """Within which time the next level is notified of an alert that nobody acknowledged, as Prometheus durations.

    None: the next level has no channel, so there is none.

    Raises:
        ValueError: One of them is no duration, or is zero.
    """

    critical: str | None = "5m"
    high: str | None = "30m"
    medium: str | None = "4h"

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            try:
                positive = value is None or milliseconds(value) > 0
            except ValueError as error:
                raise ValueError(f"escalation delay {entry.name}: {error}") from None
            if not positive:
                raise ValueError(f"escalation delay {entry.name} is {value}: give people some time, for example 5m")

    def of(self, severity: Severity) -> str | None:
        """The delay of a priority; none for one that does not escalate."""
        delay: str | None = getattr(self, severity.value) if severity in LEVELS else None
        return delay


def escalated(
    groups: Iterable[RuleGroup], delays: EscalationDelays | None = None, way: Way | None = None
) -> tuple[RuleGroup, ...]:
    """The same groups, with the escalated twins of their alerts at the end of each.

    Args:
        groups: All groups of the platform, without twins.
        delays: Within which time the next contact is notified; the requirement's times if not given.
        way: What a notification may take; that of the platform if not given.

    Raises:
        ValueError: A group has twins already, or a delay is shorter than the way of a notification.
    """
    times, longest = delays or EscalationDelays(), way or Way()
    return tuple(_with_twins(group, times, longest) for group in groups)


_RECORD: Final = "alert:{}:value"
_READ: Final = re.compile(r"alert:(\w+):value and last_over_time\(alert:\1:value\[\w+\]\)")
_ROUNDING_MS: Final = 1_000


def recorded_of(expr: str) -> str:
    """Name of the record that an alert reads in place of its expression; empty where it has the expression itself."""
    match = _READ.fullmatch(expr)
    return _RECORD.format(match[1]) if match else ""


def _read(alert: Alert, group: RuleGroup) -> str:
    """What the alert and its twin read: the record as of this evaluation.

    A record that ends is marked as stale, and is gone at once. Only where Prometheus ended in between there is no mark,
    and the record would be there for five minutes more: so its last value may be one evaluation old, and no older.
    """
    record, window = _RECORD.format(alert.name), duration(milliseconds(group.interval) + _ROUNDING_MS)
    return f"{record} and last_over_time({record}[{window}])"


def waited_ms(group: RuleGroup, severity: Severity, delay: str, way: Way) -> int:
    """Milliseconds that a twin waits longer than its original, so that its notification is there within the delay.

    It is a whole number of evaluations: a rule fires at one of them, so anything else would be rounded up.

    Args:
        group: The rules of both.
        severity: Their priority.
        delay: Within which time the next contact is notified.
        way: What a notification may take.

    Raises:
        ValueError: The way takes longer than the delay.
    """
    interval, takes = milliseconds(group.interval), way.longest_ms(severity, group)
    evaluations = (milliseconds(delay) - takes) // interval
    if evaluations < 1:
        raise ValueError(
            f"escalation delay {severity}: within {delay} nobody can be notified of alerts of {group.name}, whose "
            f"notifications take up to {duration(takes)}: give at least {duration(takes + interval)}"
        )
    return evaluations * interval


def _with_twins(group: RuleGroup, delays: EscalationDelays, way: Way) -> RuleGroup:
    rules = list[Alert | Recording]()
    twins = list[Alert]()
    for rule in group.rules:
        if isinstance(rule, Recording) or rule.name in NEVER:
            rules.append(rule)
            continue
        if rule.original:
            raise ValueError(f"rules: {rule.name} is a twin already: hand over the groups as they were before")
        alert, delay = rule, delays.of(rule.severity)
        if delay and rule.wide:
            rules.append(Recording(record=_RECORD.format(rule.name), expr=rule.expr))
            alert = replace(rule, expr=_read(rule, group))
        rules.append(alert)
        if delay:
            twins.append(_twin(alert, delay, _hold(group, alert, waited_ms(group, alert.severity, delay, way))))
    return replace(group, rules=(*rules, *twins))


def _hold(group: RuleGroup, alert: Alert, waited: int) -> str:
    """How long a twin has to be true: its original's time, as evaluations round it up, and what it waits longer."""
    interval = milliseconds(group.interval)
    rounded = -(-milliseconds(alert.for_) // interval) * interval
    return duration(rounded + waited)


def _twin(alert: Alert, delay: str, for_: str) -> Alert:
    waited = milliseconds(delay)
    annotations = dict(alert.annotations)
    if "summary_ja" in annotations:
        annotations["summary_ja"] = f"{_japanese(waited)}確認されていません: {annotations['summary_ja']}"
    return replace(
        alert,
        name=f"{alert.name}{SUFFIX}",
        original=alert.name,
        for_=for_,
        summary=f"Not acknowledged for {_english(waited)}: {alert.summary}",
        labels={**alert.labels, ESCALATION_LABEL: LEVELS[alert.severity]},
        annotations=annotations,
    )


def _english(length_ms: int) -> str:
    return " ".join(f"{number} {_WORDS[unit]}{'s' * (number != 1)}" for number, unit in split(length_ms))


def _japanese(length_ms: int) -> str:
    return "".join(f"{number}{_WORDS_JA[unit]}" for number, unit in split(length_ms))
