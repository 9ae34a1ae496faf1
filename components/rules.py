"""Alerting and recording rules as data, for every component that brings its own.

Every alert names a severity of requirement 6.2, has a runbook, ``docs/runbooks/<Alert>.md``, and carries the label
``alert_id`` (``components.alerting.identity``), which stays the same when the alert is raised again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from components.alerting.identity import ID_LABEL, id_template


class Severity(StrEnum):
    """Priority of an alert: decides who is notified, how, and how soon."""

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
        for_: How long it has to be true.
        severity: Priority.
        summary: One line; may use the rule's template variables.
        description: What it means and what is at stake.
        labels: Further labels.
        annotations: Further annotations, for example ``summary_ja`` and ``description_ja``.
        original: Name of the alert that this one raises again; empty for an alert of its own. It has the original's
            ``alert_id`` and runbook.
    """

    name: str
    expr: str
    for_: str
    severity: Severity
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    original: str = ""

    @property
    def origin(self) -> str:
        """Name of the alert that people know: the original's, else its own."""
        return self.original or self.name

    def data(self, runbook_base: str) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.for_,
            "labels": {"severity": self.severity.value, **self.labels, ID_LABEL: id_template(self.origin)},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                **self.annotations,
                "runbook_url": f"{runbook_base.rstrip('/')}/{self.origin}.md",
            },
        }


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording rule: ``record`` holds the result of ``expr``, with further ``labels``."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def data(self, runbook_base: str) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        del runbook_base
        return {"record": self.record, "expr": self.expr, **({"labels": dict(self.labels)} if self.labels else {})}


@dataclass(frozen=True, kw_only=True)
class Inhibition:
    """While a source alert fires, nobody is notified of the targets: their cause is known.

    Attributes:
        source: Names of alerts; any of them is enough.
        targets: Names of alerts that are kept quiet. Their escalated twins are added later
            (``components.alerting.inhibitions``).
        equal: Labels whose values have to be the same on both sides; empty: all alerts of that name.
        reason: Why the targets tell nothing new.
    """

    source: tuple[str, ...]
    targets: tuple[str, ...]
    equal: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated together, in order."""

    name: str
    rules: tuple[Alert | Recording, ...]
    interval: str = "10s"

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
