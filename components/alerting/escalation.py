"""Escalation by rules that raise an alert again (requirement A2, section 6.2; ADR 0013).

Alertmanager cannot escalate: it does not know who has seen a notice. So every alert that escalates has a twin,
``<Alert>Escalated``: the same condition, true for as much longer as people may take to acknowledge, and a label that
says whom to tell. Both carry the same ``alert_id``: one silence on it is the acknowledgement, and stops both.

The twins stand in the group of their original. Rules of a group are evaluated at the same instant, so a twin starts to
count anew exactly when its original does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final

from components.alerting.durations import divided, duration, milliseconds, split
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
    """How long an alert may fire unacknowledged before the next level is told, as Prometheus durations.

    Raises:
        ValueError: One of them is no duration, or is zero.
    """

    critical: str = "5m"
    high: str = "30m"
    medium: str = "4h"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                positive = milliseconds(value) > 0
            except ValueError as error:
                raise ValueError(f"escalation delay {field.name}: {error}") from None
            if not positive:
                raise ValueError(f"escalation delay {field.name} is {value}: give people some time, for example 5m")

    def of(self, severity: Severity) -> str | None:
        """The delay of a priority; none for one that does not escalate."""
        delay: str | None = getattr(self, severity.value) if severity in LEVELS else None
        return delay

    def divided_by(self, divisor: int) -> EscalationDelays:
        """The same delays in a world that runs ``divisor`` times as fast."""
        return EscalationDelays(**{field.name: divided(getattr(self, field.name), divisor) for field in fields(self)})


def escalated(groups: Iterable[RuleGroup], delays: EscalationDelays | None = None) -> tuple[RuleGroup, ...]:
    """The same groups, with the escalated twins of their alerts at the end of each.

    Args:
        groups: All groups of the platform, without twins.
        delays: How long people may take; the requirement's times if not given.

    Raises:
        ValueError: A group has twins already.
    """
    times = delays or EscalationDelays()
    return tuple(replace(group, rules=(*group.rules, *_twins(group.alerts, times))) for group in groups)


def _twins(alerts: Iterable[Alert], delays: EscalationDelays) -> Iterable[Alert]:
    for alert in alerts:
        if alert.original:
            raise ValueError(f"rules: {alert.name} is a twin already: hand over the groups as they were before")
        delay = delays.of(alert.severity)
        if delay and alert.name not in NEVER:
            yield _twin(alert, delay)


def _twin(alert: Alert, delay: str) -> Alert:
    waited = milliseconds(delay)
    annotations = dict(alert.annotations)
    if "summary_ja" in annotations:
        annotations["summary_ja"] = f"{_japanese(waited)}確認されていません: {annotations['summary_ja']}"
    return replace(
        alert,
        name=f"{alert.name}{SUFFIX}",
        original=alert.name,
        hold=duration(milliseconds(alert.hold) + waited),
        summary=f"Not acknowledged for {_english(waited)}: {alert.summary}",
        labels={**alert.labels, ESCALATION_LABEL: LEVELS[alert.severity]},
        annotations=annotations,
    )


def _english(length_ms: int) -> str:
    return " ".join(f"{number} {_WORDS[unit]}{'s' * (number != 1)}" for number, unit in split(length_ms))


def _japanese(length_ms: int) -> str:
    return "".join(f"{number}{_WORDS_JA[unit]}" for number, unit in split(length_ms))
