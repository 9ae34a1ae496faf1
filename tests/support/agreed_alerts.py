"""Writes ``policy/alerts.yaml`` from alerts of the committed stack files: ``python -m tests.support.agreed_alerts``.

The pack compares what a stack would run with this table; whoever weakens an alert writes it anew, where it is reviewed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

from policy.documents import Format, documents
from policy.model import Resource
from policy.rules._agreed import ALERTS_FILE
from policy.rules._alerting import SOURCE, TARGET, Alert, Matcher, all_alerts, all_routings, matchers, metrics_of
from policy.rules._values import Unknowns, seconds
from policy.rules.alerting_rules import SEVERITIES, parts
from tests.support.agreed_recordings import recordings

_HEAD = """# Alerts as they were agreed on: policy/rules/alerting_rules.py. By `python -m tests.support.agreed_alerts`.
# for, every: longest seconds that it is held back, and between two looks. reads: sets of metrics; it reads one set.
# with: it is in every stack that has one of these parts; []: in every stack; null: it hangs on no part.
# exactly: expressions, one of which it has: it keeps more urgent alerts quiet.
"""


def _alerts(resources: Sequence[Resource]) -> dict[str, dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    quieting = _keeping_more_urgent_ones_quiet(resources)
    for resource in resources:
        for document in documents(resource, Format.RULES):
            for group in document.node["groups"].elements():
                every = seconds(group["interval"].text()) or 0.0
                for rule in group["rules"].elements():
                    alert = Alert(rule, group.path)
                    if alert.name and not alert.label("escalation").exists:
                        entry = {
                            "severity": alert.label("severity").text(),
                            "for": alert.hold,
                            "every": every,
                            "reads": {metrics_of(rule["expr"].text())},
                            "exactly": {rule["expr"].text()} if alert.name in quieting else set(),
                        }
                        seen[alert.name] = _both(seen[alert.name], entry) if alert.name in seen else entry
    return seen


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What two rules of one name are agreed on for."""
    return {
        "severity": max(one["severity"], other["severity"], key=SEVERITIES.index),
        "for": max(one["for"], other["for"]),
        "every": max(one["every"], other["every"]),
        "reads": one["reads"] | other["reads"],
        "exactly": one["exactly"] | other["exactly"],
    }


def _keeping_more_urgent_ones_quiet(resources: Sequence[Resource]) -> set[str]:
    """Alerts of which nobody is notified while those that they keep quiet are what people are called for."""
    unknown = Unknowns()
    alerts = all_alerts(resources, unknown)
    names: set[str] = set()
    for routing in all_routings(resources, unknown):
        for inhibition in routing.node["inhibit_rules"].elements():
            source, target = (_chosen(alerts, list(matchers(inhibition, *keys))) for keys in (SOURCE, TARGET))
            urgent = min(map(_rank, target), default=len(SEVERITIES))
            names |= {alert.name for alert in source if _rank(alert) > urgent}
    unknown.tell()
    return names


def _chosen(alerts: Sequence[Alert], conditions: Sequence[Matcher]) -> list[Alert]:
    labelled = ((alert, dict(alert.labels)) for alert in alerts)
    return [alert for alert, labels in labelled if all(condition.fits(labels) for condition in conditions)]


def _rank(alert: Alert) -> int:
    return SEVERITIES.index(alert.label("severity").text())


def text() -> str:
    """The whole table."""
    stacks = list(recordings())
    by_stack = [_alerts(resources) for resources in stacks]
    there = [parts(resources) for resources in stacks]
    table: dict[str, dict[str, Any]] = {}
    for alerts in by_stack:
        for name, entry in alerts.items():
            table[name] = _both(table[name], entry) if name in table else entry
    return _HEAD + "".join(
        f"{name}: {_line(table[name], _needed_with([name in alerts for alerts in by_stack], there))}\n"
        for name in sorted(table)
    )


def _needed_with(has: Sequence[bool], there: Sequence[Set[str]]) -> list[str] | None:
    """The parts that most stacks with the alert have, and none without it; all of them imply that it is there."""
    if all(has):
        return []
    without = {part for parts_there, alert in zip(there, has, strict=True) if not alert for part in parts_there}
    times = Counter(part for parts_there in there for part in parts_there - without)
    return sorted(part for part, number in times.items() if number == max(times.values())) or None


def _line(entry: dict[str, Any], needed_with: list[str] | None) -> str:
    numbers = {key: int(entry[key]) if float(entry[key]).is_integer() else entry[key] for key in ("for", "every")}
    shown = {
        "severity": entry["severity"],
        **numbers,
        "reads": sorted(map(sorted, entry["reads"])),
        "with": needed_with,
        **({"exactly": sorted(entry["exactly"])} if entry["exactly"] else {}),
    }
    return json.dumps(shown)


if __name__ == "__main__":
    ALERTS_FILE.write_text(text(), encoding="utf-8")
