"""Escalation by rules that raise an alert again (requirement A2, section 6.2; ADR 0013).

Alertmanager cannot escalate: it does not know who has seen a notification. So every alert that escalates has a twin,
``<Alert>Escalated``: the same condition, true for as much longer as people may take to acknowledge, and a label that
says whom to tell. Both carry the same ``alert_id``: one silence on it is the acknowledgement, and stops both.

The next contact has the notification *within* the delay, counted from the fault and at worst: a twin waits for the
delay less what the way of a notification may take (``components.alerting.timings``), and less what an evaluation rounds
up.

The twins stand in the group of their original. Rules of a group are evaluated at the same instant, so a twin starts to
count anew exactly when its original does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final

from components.alerting.timings import Way, duration, milliseconds, split
from components.rules import Alert, RuleGroup, Severity

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
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                positive = value is None or milliseconds(value) > 0
            except ValueError as error:
                raise ValueError(f"escalation delay {field.name}: {error}") from None
            if not positive:
                raise ValueError(f"escalation delay {field.name} is {value}: give people some time, for example 5m")

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
    return tuple(replace(group, rules=(*group.rules, *_twins(group, times, longest))) for group in groups)


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


def _twins(group: RuleGroup, delays: EscalationDelays, way: Way) -> Iterable[Alert]:
    for alert in group.alerts:
        if alert.original:
            raise ValueError(f"rules: {alert.name} is a twin already: hand over the groups as they were before")
        delay = delays.of(alert.severity)
        if delay and alert.name not in NEVER:
            yield _twin(alert, delay, _hold(group, alert, waited_ms(group, alert.severity, delay, way)))


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
