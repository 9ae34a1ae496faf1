"""Alerting and recording rules as data, for every component that brings its own, and the conditions that several ask.

Every alert names a severity of requirement 6.2, has a runbook, ``docs/runbooks/<Alert>.md``, and carries the label
``alert_id``, its identity: one string, the same for an alert and for its escalated twin, such as
``KafkaBrokerDown/instance=kafka-1/job=kafka``: the name of the alert, then the labels of the series that fires, sorted
by name. What is not a letter, a digit or one of ``-_.~`` is escaped as in a URL's query, so that different alerts never
share an identity, and it is one plain word of a command line. The metric's name is left out, and what is an external
label of who evaluates the rule: a ruler finds those on every series, a Prometheus on none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote_plus

ID_LABEL = "alert_id"
"""Label with the identity. A silence on it acknowledges the alert at every level of its escalation."""

_METRIC = "__name__"


def id_template(name: str) -> str:
    """Value of the label in a rule, for Prometheus to fill in: its templates range over labels in order of names.

    Args:
        name: Name of the alert, for an escalated one the original's.
    """
    label = "/{{ $k | urlquery }}={{ $v | urlquery }}"
    told = f'and (ne $k "{_METRIC}") (ne $v (index $externalLabels $k))'
    return f"{name}{{{{ range $k, $v := $labels }}}}{{{{ if {told} }}}}{label}{{{{ end }}}}{{{{ end }}}}"


def alert_id(name: str, labels: Mapping[str, str]) -> str:
    """The string that Prometheus makes of ``id_template``.

    Args:
        name: Name of the alert, for an escalated one the original's.
        labels: Labels of the series that fires, without what the rule adds.
    """
    parts = (
        f"/{quote_plus(key)}={quote_plus(labels[key])}" for key in sorted(labels) if key != _METRIC and labels[key]
    )
    return name + "".join(parts)


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
        wide: Whether the expression reads a series of every sender: the alert and its escalated twin then share one
            evaluation (docs/adr/0052).
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
    wide: bool = False

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


class Reads(StrEnum):
    """What rules read: it says who evaluates them where the layers' series are divided over shards."""

    PLATFORM = "platform"
    """What is scraped, and what other such rules record: the first shard of every replica has it."""
    SHARD = "shard"
    """What a server holds itself: each evaluates them for its own part."""
    LAYERS = "layers"
    """What layers send, perhaps beside the platform's own: only all shards together have it."""


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated together, in order.

    Attributes:
        name: Unique name.
        rules: Alerts and recordings.
        interval: Time between two evaluations.
        reads: What they read.
    """

    name: str
    rules: tuple[Alert | Recording, ...]
    interval: str = "10s"
    reads: Reads = Reads.PLATFORM

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


FRESH_S = 45
"""Age below which a scrape tells of now: a target that is looked for no more is known for five minutes."""
SETTLED = "count(last_over_time(up[1m] offset 1m))"
"""True once Prometheus has scraped for a minute; before that, a target that it does not know yet is no news. What it
scraped before it was away does not count: without a range, it would be seen for five minutes."""

NOT_STOPPING = 'error_type!~"Shutdown|Canceled"'
"""Of a collector's failed sends: not those of a process that was told to end, since that data is sent again."""


def fewer_up(selector: str, least: int) -> str:
    """Whether fewer than ``least`` targets answer, those that Prometheus finds no more among them.

    Args:
        selector: Labels of the targets, for example ``job="gateway"``.
        least: The smallest number that is all right.
    """
    return f"(sum(up{{{selector}}}) or vector(0)) < {least} and on () {SETTLED}"


def arriving(topic: str, window: str) -> str:
    """Whether records come into a topic, from gateways or from the other region: the ends of its partitions move on.

    Args:
        topic: The topic.
        window: How long is looked back.
    """
    return f'sum(rate(kafka_topic_partition_current_offset{{job="kafka-lag",topic="{topic}"}}[{window}])) > 0'


def grew(counter: str, *, by: str, window: str = "5m") -> str:
    """Whether a counter of failures grew: such a counter mostly does not exist before the first failure.

    ``increase`` alone sees nothing of that one: to it, a series begins with its first value. What comes into being
    counts as growth where the same target was already scraped before.

    Args:
        counter: The counter with its selector.
        by: Labels to tell apart; ``job`` and ``instance`` have to be among them.
        window: How long it is told.

    Raises:
        ValueError: ``by`` lacks ``job`` or ``instance``.
    """
    if not {"job", "instance"} <= {label.strip() for label in by.split(",")}:
        raise ValueError(f"by is {by!r}: name job and instance among the labels, since each process counts for itself")
    now, before = f"sum by ({by}) ({counter})", f"sum by ({by}) ({counter} offset {window})"
    return any_of(
        (
            f"sum by ({by}) (increase({counter}[{window}])) > 0",
            f"{now} - {before} > 0",
            f"({now} unless {before}) > 0 and on (job, instance) up offset {window} == 1",
        )
    )
