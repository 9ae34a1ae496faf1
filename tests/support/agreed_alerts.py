"""Writes ``policy/alerts.yaml`` from alerts of the committed stack files: ``python -m tests.support.agreed_alerts``.

The pack compares what a stack would run with this table; whoever weakens an alert writes it anew, where it is reviewed.
"""

from __future__ import annotations

import json
from typing import Any

from policy.documents import Format, documents
from policy.model import Resource
from policy.rules._agreed import ALERTS_FILE
from policy.rules._alerts import Alert, metrics_of
from policy.rules._values import seconds
from policy.rules.alerting_rules import SEVERITIES
from tests.support.engine import Recording, recorded, sharded

STACKS = ("kind", "local", "local-dr", "prod", "dr")
_HEAD = """# Alerts as they were agreed on: policy/rules/alerting_agreed.py. By `python -m tests.support.agreed_alerts`.
# for, every: longest seconds that it is held back, and between two looks. reads: sets of metrics; it reads one set.
# always: in every committed stack file.
"""


def _alerts(recording: Recording) -> dict[str, dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    for registered in recording.resources:
        resource = Resource(registered.token, registered.name, registered.inputs)
        for document in documents(resource, Format.RULES) if not registered.read else ():
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
    }


def text() -> str:
    """The whole table."""
    by_stack = [_alerts(recorded(stack)) for stack in STACKS] + [_alerts(sharded())]
    table: dict[str, dict[str, Any]] = {}
    for alerts in by_stack:
        for name, entry in alerts.items():
            table[name] = _both(table[name], entry) if name in table else entry
    return _HEAD + "".join(
        f"{name}: {_line(table[name], always=all(name in alerts for alerts in by_stack))}\n" for name in sorted(table)
    )


def _line(entry: dict[str, Any], *, always: bool) -> str:
    numbers = {key: int(entry[key]) if float(entry[key]).is_integer() else entry[key] for key in ("for", "every")}
    shown = {"severity": entry["severity"], **numbers, "reads": sorted(map(sorted, entry["reads"])), "always": always}
    return json.dumps(shown)


if __name__ == "__main__":
    ALERTS_FILE.write_text(text(), encoding="utf-8")
