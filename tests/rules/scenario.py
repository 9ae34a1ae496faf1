"""One alert's test as data: silent just before, firing just after, and a control that stays silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.alerting.escalation import milliseconds
from components.rules import ID_LABEL, Recording, RuleGroup, alert_id, rule_file

_SHORTEST_DELAY_MS = 300_000

Series = Mapping[str, str]
"""Series -> promtool values, for example ``up{job="kafka"}: "1x10 0x20"``."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What makes one alert fire.

    Attributes:
        alert: Name of the alert.
        bad: Series under which it fires.
        good: Series, as close to ``bad`` as possible, under which it never fires.
        silent_at: Last moment at which it is silent, a Prometheus duration.
        firing_at: A moment soon after, at which it fires.
        labels: Labels of the firing alert, without ``alertname``, ``severity`` and ``alert_id``.
        interval: Distance of the values.
        evaluated: Distance of evaluations; longer where hours pass and no moment is between two of them.
        original: The alert that ``alert`` raises again; empty for an alert of its own.
    """

    alert: str
    bad: Series
    good: Series
    silent_at: str
    firing_at: str
    labels: Mapping[str, str] = field(default_factory=dict)
    interval: str = "30s"
    evaluated: str = "15s"
    original: str = ""

    def identity(self, added: Mapping[str, str]) -> str:
        """The ``alert_id`` of the firing alert; ``added`` are the labels that the rule itself adds."""
        series = {name: value for name, value in self.labels.items() if name not in added}
        return alert_id(self.original or self.alert, series)


def needed(groups: Iterable[RuleGroup], *alerts: str) -> dict[str, Any]:
    """A rule file with some alerts and the recording rules that these read, directly or not.

    promtool evaluates all that it is given, for hours of a scenario; and it compares annotations word for word, so they
    are left out.
    """
    listed = list(groups)
    expressions = [alert.expr for group in listed for alert in group.alerts if alert.name in alerts]
    waiting = {rule.record: rule for group in listed for rule in group.rules if isinstance(rule, Recording)}
    records = set[str]()
    while names := [name for name in waiting if any(name in expr for expr in expressions)]:
        records.update(names)
        expressions = [waiting.pop(name).expr for name in names]
    kept = []
    for group in listed:
        rules = tuple(
            rule
            for rule in group.rules
            if (rule.record in records if isinstance(rule, Recording) else rule.name in alerts)
        )
        kept += [replace(group, rules=rules)] if rules else []
    content = rule_file(kept, "")
    for group_data in content["groups"]:
        for rule_data in group_data["rules"]:
            rule_data.pop("annotations", None)
    return content


def promtool_tests(
    scenario: Scenario, rule_file: str, expected: Mapping[str, Any], waiting: Sequence[str] = ()
) -> dict[str, Any]:
    """The scenario as promtool reads it.

    Args:
        scenario: The scenario.
        rule_file: Path of the rules.
        expected: The rule, with the labels that it adds under ``labels``.
        waiting: Names of alerts that fire five minutes later at the earliest.
    """
    added = expected["labels"]
    firing = {"exp_labels": {**added, **scenario.labels, ID_LABEL: scenario.identity(added)}}
    soon = milliseconds(scenario.firing_at) - milliseconds(scenario.silent_at) < _SHORTEST_DELAY_MS
    silent = (scenario.silent_at, scenario.firing_at) if soon else (scenario.silent_at,)

    def case(series: Series, moments: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        return {
            "interval": scenario.interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": moment, "alertname": scenario.alert, "exp_alerts": alerts}
                for moment, alerts in moments.items()
            ]
            + [{"eval_time": moment, "alertname": name, "exp_alerts": []} for moment in silent for name in waiting],
        }

    return {
        "rule_files": [rule_file],
        "evaluation_interval": scenario.evaluated,
        "fuzzy_compare": True,
        "tests": [
            case(scenario.bad, {scenario.silent_at: [], scenario.firing_at: [firing]}),
            case(scenario.good, {scenario.silent_at: [], scenario.firing_at: []}),
        ],
    }
