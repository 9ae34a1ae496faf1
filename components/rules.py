"""Alerting and recording rules as data, for every component that brings its own.

Every alert names a severity of requirement 6.2 and has a runbook, ``docs/runbooks/<Alert>.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Priority of an alert: decides who is told, how, and how soon."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: Alert name, also the name of its runbook.
        expr: PromQL; every series it returns is a problem.
        hold: How long it has to be true.
        severity: Priority.
        summary: One line; may use the rule's template variables.
        description: What it means and what is at stake.
        labels: Further labels.
    """

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def data(self, runbook_base: str) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            "labels": {"severity": self.severity.value, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook_base.rstrip('/')}/{self.name}.md",
            },
        }


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording rule: ``record`` holds the result of ``expr``."""

    record: str
    expr: str

    def data(self, runbook_base: str) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        del runbook_base
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated together, in order."""

    name: str
    rules: tuple[Alert | Recording, ...]
    interval: str = "30s"

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The alerting rules among them."""
        return tuple(rule for rule in self.rules if isinstance(rule, Alert))

    def data(self, runbook_base: str) -> dict[str, Any]:
        """The group as Prometheus reads it."""
        rules = [rule.data(runbook_base) for rule in self.rules]
        return {"name": self.name, "interval": self.interval, "rules": rules}


def rule_file(groups: Iterable[RuleGroup], runbook_base: str) -> dict[str, Any]:
    """Content of one rule file.

    Raises:
        ValueError: Two alerts or two groups share a name.
    """
    listed = list(groups)
    names = [group.name for group in listed] + [alert.name for group in listed for alert in group.alerts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"rules: {', '.join(twice)} occurs twice: names of alerts and groups must be unique")
    return {"groups": [group.data(runbook_base) for group in listed]}


def any_of(conditions: Iterable[str]) -> str:
    """PromQL that is true where one of several conditions is; equal results are reported once.

    Metrics of different names cannot go through one ``rate``: without their names their series would be the same.
    """
    return " or ".join(conditions)
